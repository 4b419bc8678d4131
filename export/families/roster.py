"""Which components a pipeline has, and which classes each of them may be of.

A folder names its classes as text. diffusers turns that text into an import; here it is only looked
up, so a name outside these tables can do nothing but be refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

DIFFUSERS: Final = "diffusers"
TRANSFORMERS: Final = "transformers"


@dataclass(frozen=True, slots=True)
class Class:
    """A class that a component may be of.

    Args:
        library: the package that has it.
        name: its present name; a key of the table of networks where it is one.
    """

    library: str
    name: str


Classes = Mapping[str, Class]
"""Name that a folder gives -> the class that is meant."""


def classes(library: str, *names: str, former: Mapping[str, str] | None = None) -> Classes:
    """Classes of one library.

    Args:
        library: the package that has them.
        names: as they are called today.
        former: older name -> name of today.
    """
    known = {name: name for name in names} | dict(former or {})
    return {name: Class(library, today) for name, today in known.items()}


def image_processors(name: str) -> tuple[str, ...]:
    """Names of an image processor: transformers saves which of its forms was installed.

    Args:
        name: of its class.
    """
    return name, f"{name}Fast", f"{name}Pil"


SCHEDULERS: Final = classes(
    DIFFUSERS,
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)

CLIP_TEXT: Final = classes(TRANSFORMERS, "CLIPTextModel")
CLIP_PROJECTED: Final = classes(TRANSFORMERS, "CLIPTextModelWithProjection")
CLIP_TOKENIZERS: Final = classes(TRANSFORMERS, "CLIPTokenizer", "CLIPTokenizerFast")
T5_TEXT: Final = classes(TRANSFORMERS, "T5EncoderModel")
T5_TOKENIZERS: Final = classes(TRANSFORMERS, "T5Tokenizer", "T5TokenizerFast")
AUTOENCODERS: Final = classes(DIFFUSERS, "AutoencoderKL", "AutoencoderTiny")

LEFT_OUT: Final[Mapping[str, Classes]] = {
    "feature_extractor": classes(
        TRANSFORMERS, "CLIPFeatureExtractor", *image_processors("CLIPImageProcessor")
    ),
    "image_encoder": classes(TRANSFORMERS, "CLIPVisionModelWithProjection"),
    "safety_checker": classes("stable_diffusion", "StableDiffusionSafetyChecker"),
}
"""Components that are known and not compiled."""


@dataclass(frozen=True, slots=True)
class Roster:
    """The components of one pipeline class.

    Args:
        needed: component -> classes; each of them must be there.
        optional: component -> classes; null in the index, or missing, means without.
        left_out: component -> classes that are known and not compiled.
    """

    needed: Mapping[str, Classes]
    optional: Mapping[str, Classes] = field(default_factory=dict)
    left_out: Mapping[str, Classes] = field(default_factory=lambda: LEFT_OUT)

    @property
    def compiled(self) -> Mapping[str, Classes]:
        """All components that a bundle is made of."""
        return {**self.needed, **self.optional}

    def __iter__(self) -> Iterator[str]:
        """Names of all compiled components."""
        return iter(self.compiled)
