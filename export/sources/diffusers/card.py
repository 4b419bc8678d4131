"""The card of a diffusers folder, from its configurations alone: no weights, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from denoisert.export.graph.signature import LATENT
from denoisert.export.sources.diffusers.folder import Component, Folder
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.export.sources.diffusers.tokenizer import Tokens
from denoisert.runtime.bundle.card import Card, Network, OutputSlice, Recommended, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DDPM, Bounded, Variance

LARGEST_TILE: Final = 64
"""Positions of a latent along one axis that a decoder takes at once, unless asked otherwise."""

MOST_LEVELS: Final = 8
"""Levels of an autoencoder."""

DEFAULT_SAMPLE: Final = 64
"""Latent size of a denoiser that does not say its own, as in diffusers."""

GUIDANCE: Final = {"unet": 7.5, "transformer": 4.0}
"""Guidance scale of the pipelines' own calls."""

VOCABULARY: Final = 49408
"""Tokens of a CLIP text encoder that does not say how many it knows."""

PLAIN_NAME: Final = "model"

TEXT: Final = "text_encoder"
STATES: Final = "hidden_states"
LABEL: Final = "label"
PREDICTION: Final = "prediction"
TIME: Final = "time"

FOREIGN_INPUTS: Final = (
    *("addition_embed_type", "class_embed_type", "encoder_hid_dim", "encoder_hid_dim_type"),
    *("num_class_embeds", "time_cond_proj_dim"),
)
"""Settings that give a UNet inputs which no part of the folder feeds."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes that the caller chooses, or that follow from the folder.

    Args:
        latent: (height, width) of the latent.
        tile: (height, width) of what the decoder and encoder take.
        factor: pixels per latent position.
    """

    latent: tuple[int, int]
    tile: tuple[int, int]
    factor: int


def denoiser_of(folder: Folder) -> Component:
    """The component that predicts."""
    name = next(name for name in GUIDANCE if name in folder.components)
    return folder.components[name]


def guidance_of(folder: Folder, readme: Readme) -> CFG:
    """What the README recommends, else what the pipeline does when nothing is said."""
    scale = readme.guidance_scale
    return CFG(GUIDANCE[denoiser_of(folder).name] if scale is None else scale)


def whole(component: Component, key: str, default: int) -> int:
    """A whole number of a configuration.

    Raises:
        ExportError: it is something else, or below 1.
    """
    value = component.config.get(key)
    value = default if value is None else value
    if type(value) is not int or value < 1:
        raise ExportError(f"{key} of {component.name} is {value!r}; it must be a whole number.")
    return value


def build_card(
    folder: Folder, sizes: Sizes, sampling: Sampling, readme: Readme, tokens: Tokens | None
) -> Card:
    """Everything that the runtime has to know.

    Args:
        folder: its configurations.
        sizes: of latent and tile.
        sampling: from the scheduler.
        readme: licence and recommendation.
        tokens: of the text encoder; None for a model without text.

    Raises:
        ExportError: configurations that contradict each other, or ask for inputs that nothing
            feeds.
    """
    channels = _channels(folder)
    texts, conditions = _text(folder, tokens) if tokens else ((), _label(folder))
    advice: Recommended = sampling.recommended
    return Card(
        name=_name(folder.root),
        licence=readme.licence,
        training=sampling.training,
        layout=StateLayout((Part(LATENT, (channels, *sizes.latent)),)),
        conditions=conditions,
        network=Network(TIME, TimeShape.LANES, "float32", _ports(channels, sampling)),
        sampler=replace(advice, steps=readme.steps) if readme.steps else advice,
        picture=Picture(-1.0, 1.0),
        texts=texts,
        autoencoder=Autoencoder(
            sizes.factor, whole(folder.components["vae"], "out_channels", 3), sizes.tile
        ),
    )


def find_sizes(folder: Folder, size: tuple[int, int] | None, tile: tuple[int, int] | None) -> Sizes:
    """Sizes in latent positions.

    Args:
        folder: says the size that the model was trained at.
        size: (height, width) in pixels instead of that.
        tile: (height, width) of the decoder's latents; by default all, at most 64.

    Raises:
        InvalidInput: a size that is no multiple of the factor, or a tile larger than the latent.
    """
    factor = _factor(folder.components["vae"])
    latent = _sample_size(denoiser_of(folder))
    if size is not None:
        if min(size) < 1 or size[0] % factor or size[1] % factor:
            raise InvalidInput(
                f"size {size[0]}x{size[1]} must be positive multiples of {factor} pixels, which is "
                "what one position of the latent covers."
            )
        latent = (size[0] // factor, size[1] // factor)
    chosen = tile or (min(latent[0], LARGEST_TILE), min(latent[1], LARGEST_TILE))
    if min(chosen) < 1 or chosen[0] > latent[0] or chosen[1] > latent[1]:
        raise InvalidInput(f"a tile of {chosen} does not lie in a latent of {latent} positions.")
    return Sizes(latent, chosen, factor)


def _factor(vae: Component) -> int:
    """Pixels per latent position: every level but the last halves the picture."""
    blocks = vae.config.get("block_out_channels", [64])
    if not isinstance(blocks, list) or not 0 < len(blocks) <= MOST_LEVELS:
        raise ExportError(
            f"block_out_channels of vae is {blocks!r}; it must list 1 to {MOST_LEVELS} levels."
        )
    return int(2 ** (len(blocks) - 1))


def _name(root: Path) -> str:
    """The folder's name; its parent's where it is just called the model, or a revision of it."""
    if root.parent.name == "snapshots":  # models--<owner>--<name>/snapshots/<commit>
        return root.parent.parent.name.rsplit("--", 1)[-1]
    return root.parent.name if root.name == PLAIN_NAME else root.name


def _sample_size(denoiser: Component) -> tuple[int, int]:
    found = denoiser.config.get("sample_size") or DEFAULT_SAMPLE
    pair = found if isinstance(found, list) else [found, found]
    if len(pair) != 2 or not all(type(value) is int and value > 0 for value in pair):
        raise ExportError(f"sample_size of {denoiser.name} is {found!r}; it must be 1 or 2 sizes.")
    return pair[0], pair[1]


def _channels(folder: Folder) -> int:
    """Channels of the latent, on which denoiser and autoencoder agree."""
    denoiser, vae = denoiser_of(folder), folder.components["vae"]
    found = whole(denoiser, "in_channels", 4)
    latent = whole(vae, "latent_channels", 4)
    predicted = whole(denoiser, "out_channels", found)
    if found != latent or predicted not in (found, 2 * found):
        raise ExportError(
            f"{denoiser.name} takes {found} channels and returns {predicted}, the autoencoder has "
            f"{latent}; only models that denoise nothing but the autoencoder's latent are compiled."
        )
    return latent


def pipeline_of(folder: Folder) -> Pipeline:
    """How the folder's pipeline calls its scheduler, and the outputs that its denoiser has."""
    denoiser = denoiser_of(folder)
    taken = whole(denoiser, "in_channels", 4)
    return Pipeline(ports=2 if whole(denoiser, "out_channels", taken) == 2 * taken else 1)


def _ports(channels: int, sampling: Sampling) -> tuple[tuple[OutputSlice, ...], ...]:
    """The estimate, and a learned variance behind it where the sampler reads one."""
    solver = sampling.recommended.solver
    inner = solver.solver if isinstance(solver, Bounded) else solver
    is_learned = isinstance(inner, DDPM) and inner.variance is not Variance.FIXED
    firsts = (0, channels) if is_learned else (0,)
    return tuple((OutputSlice(PREDICTION, first, channels),) for first in firsts)


def _text(
    folder: Folder, tokens: Tokens
) -> tuple[tuple[TextEncoder, ...], tuple[ConditionInput, ...]]:
    unet, encoder = denoiser_of(folder), folder.components[TEXT]
    foreign = [name for name in FOREIGN_INPUTS if unet.config.get(name) is not None]
    if foreign:
        raise ExportError(
            f"unet has {foreign[0]} = {unet.config[foreign[0]]!r}: an input that no part of a "
            f"{folder.class_name} feeds. Compile the denoiser alone as a torch module."
        )
    width = whole(encoder, "hidden_size", 512)
    taken = unet.config.get("cross_attention_dim", 1280)
    if taken != width:
        raise ExportError(
            f"unet attends to states of width {taken!r}, text_encoder gives {width}; the folder "
            "mixes parts of two models."
        )
    vocabulary = whole(encoder, "vocab_size", VOCABULARY)
    if tokens.size > vocabulary:
        raise ExportError(
            f"tokenizer has {tokens.size} tokens, text_encoder knows {vocabulary}; the folder "
            "mixes parts of two models."
        )
    length = min(tokens.length, whole(encoder, "max_position_embeddings", 77))
    text = TextEncoder(
        TEXT, f"tokenizers/{TEXT}.json", length, tokens.start, tokens.end, tokens.pad
    )
    condition = ConditionInput(
        STATES, Source.ENCODER_OUTPUT, "float32", (length, width), encoder=TEXT, output=STATES
    )
    return (text,), (condition,)


def _label(folder: Folder) -> tuple[ConditionInput, ...]:
    classes = whole(denoiser_of(folder), "num_embeds_ada_norm", 1000)
    names = folder.settings.get("id2label")
    labels = tuple(_names(names, classes)) if isinstance(names, Mapping) else ()
    return (
        ConditionInput(LABEL, Source.CLASS_LABEL, "int64", (), classes, float(classes), labels),
    )


def _names(names: Mapping[str, Any], classes: int) -> list[str]:
    """Names of all classes by number, or nothing where one is missing or not a text."""
    found = [names.get(str(number)) for number in range(classes)]
    texts = [name for name in found if isinstance(name, str) and name]
    return texts if len(texts) == classes else []
