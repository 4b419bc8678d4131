"""The closed tables of class names that a folder may ask for.

A folder names its classes as text. diffusers turns that text into an import; here it is only looked
up, so a name outside these tables can do nothing but be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from denoisert.runtime.errors import ExportError

SHOWN: Final = 80
"""Characters of a foreign text that an error repeats."""

DIFFUSERS: Final = "diffusers"
TRANSFORMERS: Final = "transformers"

SCHEDULERS: Final = (
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

COMPONENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "scheduler": dict.fromkeys(SCHEDULERS, DIFFUSERS),
    "text_encoder": {"CLIPTextModel": TRANSFORMERS},
    "tokenizer": {"CLIPTokenizer": TRANSFORMERS, "CLIPTokenizerFast": TRANSFORMERS},
    "transformer": {"DiTTransformer2DModel": DIFFUSERS, "Transformer2DModel": DIFFUSERS},
    "unet": {"UNet2DConditionModel": DIFFUSERS},
    "vae": {"AutoencoderKL": DIFFUSERS},
}
"""Component -> class -> its library."""

LEFT_OUT: Final[Mapping[str, Mapping[str, str]]] = {
    "feature_extractor": {
        "CLIPFeatureExtractor": TRANSFORMERS,
        "CLIPImageProcessor": TRANSFORMERS,
    },
    "image_encoder": {"CLIPVisionModelWithProjection": TRANSFORMERS},
    "safety_checker": {"StableDiffusionSafetyChecker": "stable_diffusion"},
}
"""Components that are known and not compiled."""

TEXT_TO_IMAGE: Final = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")

PIPELINES: Final[Mapping[str, tuple[str, ...]]] = {
    "DiTPipeline": ("scheduler", "transformer", "vae"),
    "StableDiffusionImg2ImgPipeline": TEXT_TO_IMAGE,
    "StableDiffusionPipeline": TEXT_TO_IMAGE,
}
"""Pipeline -> the components that it needs."""


@dataclass(frozen=True, slots=True)
class Named:
    """A class that a folder asks for, found in the tables.

    Args:
        library: the package that has it.
        class_name: its name.
        is_compiled: False for the parts of a pipeline that a bundle leaves out.
    """

    library: str
    class_name: str
    is_compiled: bool = True


def shown(value: object) -> str:
    """A foreign value as an error may repeat it: short, and without control characters."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def check_pipeline(class_name: object) -> str:
    """The pipeline's class name.

    Raises:
        ExportError: it is none of the table's.
    """
    if not isinstance(class_name, str) or class_name not in PIPELINES:
        raise ExportError(
            f"the folder is a pipeline of the class {shown(class_name)}; this version compiles "
            f"{_listed(PIPELINES)}. Compile its denoiser alone as a torch module."
        )
    return class_name


def find_class(pipeline: str, component: str, pair: list[Any]) -> Named | None:
    """What a pair [library, class] of `model_index.json` means; nothing is imported.

    Args:
        pipeline: a name of `PIPELINES`.
        component: the pair's key.
        pair: two texts, or two nulls for a component that is not there.

    Returns:
        The class, or None for nulls.

    Raises:
        ExportError: a component that the pipeline does not have, or a class outside the tables.
    """
    needed = PIPELINES[pipeline]
    if component not in (*needed, *LEFT_OUT):
        raise ExportError(
            f"{shown(component)} = {shown(pair)} is no component of {pipeline}, which has "
            f"{_listed(needed)}. Remove the entry from model_index.json if the model works without."
        )
    if pair == [None, None]:
        return None
    known = COMPONENTS[component] if component in needed else LEFT_OUT[component]
    library, class_name = pair
    if not isinstance(class_name, str) or known.get(class_name) != library:
        pairs = ", ".join(f"[{found}, {name}]" for name, found in known.items())
        raise ExportError(
            f"component {component} asks for {shown(pair)}, which is not in the table of classes "
            f"that are read: {pairs}. Nothing was imported for it. Save the model with one of them."
        )
    return Named(library, class_name, component in needed)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
