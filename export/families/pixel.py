"""UNets on pixels, with a class label or without: DDPM, DDIM, ADM, and consistency models.

Latents are the pictures. A consistency model is a UNet inside a boundary condition, which its
scheduler names and the graph computes.

Source: Ho et al. 2020, arXiv 2006.11239; Song et al. 2020, arXiv 2010.02502; Dhariwal and Nichol
2021, arXiv 2105.05233; Song et al. 2023, arXiv 2303.01469.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from denoisert.export.families.autoencoder import MOST_LEVELS
from denoisert.export.families.configuration import pair, whole
from denoisert.export.families.family import Build, Material
from denoisert.export.families.label import label_condition
from denoisert.export.families.prediction import network_of, output_ports
from denoisert.export.families.recipe import Recipe, write_card
from denoisert.export.families.roster import DIFFUSERS, SCHEDULERS, Roster, classes
from denoisert.export.families.sizes import Sizes, find_sizes
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.consistency import (
    CONSISTENCY,
    read_boundary,
    read_consistency,
)
from denoisert.export.sources.diffusers.families import DDIM
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.scheduler import Sampling, read_scheduler
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.solvers import DDPM, Bounded

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

UNET: Final = "unet"
CLASSES: Final = "num_class_embeds"
CHANNELS: Final = 3
"""Channels in and out of a UNet that does not say its own, as in diffusers."""

LEVELS: Final = (224, 448, 672, 896)
"""Widths of a UNet that does not say its own, as in diffusers."""

PICTURES: Final = (1, 3)
"""Channels of a picture: grey, or red, green and blue."""

READ: Final[Mapping[str, object]] = {"class_embed_type": None, "time_embedding_type": "positional"}
"""Setting -> the one value that the pipelines can feed."""

ANCESTRAL_STEPS: Final = 250
"""What ADM's samples of 1000 train times are made in; ancestral sampling needs many."""

_UNET: Final = classes(DIFFUSERS, "UNet2DModel")
_ROSTER: Final = Roster({"scheduler": SCHEDULERS, UNET: _UNET})
_OF_CONSISTENCY: Final = Roster(
    {"scheduler": {**SCHEDULERS, **classes(DIFFUSERS, CONSISTENCY)}, UNET: _UNET}
)
_TO_DDIM: Final = "DDIMPipeline"
"""The pipeline that makes a DDIM scheduler of whatever it is given."""


class PixelUNet:
    """The family of UNets on pixels."""

    pipelines: Mapping[str, Roster] = {
        "ConsistencyModelPipeline": _OF_CONSISTENCY,
        "DDIMPipeline": _ROSTER,
        "DDPMPipeline": _ROSTER,
    }

    def sampling(self, material: Material) -> Sampling:
        """The folder's scheduler, without guidance."""
        scheduler = material.parts["scheduler"]
        if scheduler.class_name == CONSISTENCY:
            return read_consistency(scheduler.config)
        is_ddim = material.folder.class_name == _TO_DDIM
        ports = output_ports(material.parts[UNET], default=CHANNELS)
        found = read_scheduler(
            DDIM if is_ddim else scheduler.class_name,
            scheduler.config,
            pipeline=Pipeline(ports=ports),
        )
        return _enough_steps(found)

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Pixels in, and perhaps a class; the prediction and perhaps its variance out."""
        unet = material.parts[UNET]
        _check_inputs(material, unet)
        channels = _channels(unet)
        recipe = Recipe(
            _sizes(material, unet).layouts(channels),
            network_of(channels, sampling),
            conditions=_conditions(material, unet),
        )
        return write_card(material, sampling, recipe)

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """The UNet alone."""
        from denoisert.export.graph.signature import denoiser_signature
        from denoisert.export.modules.pixels import ConsistencyDenoiser, PixelDenoiser

        scheduler = material.parts["scheduler"]
        module: nn.Module = PixelDenoiser(build(UNET))
        if scheduler.class_name == CONSISTENCY:
            bound = read_boundary(scheduler.config)
            module = ConsistencyDenoiser(module, bound.least, bound.data)
        yield module, denoiser_signature(card)


def _enough_steps(found: Sampling) -> Sampling:
    """More steps where the sampler is ancestral."""
    advice, count = found.recommended, found.training.schedule.train_steps
    solver = advice.solver.solver if isinstance(advice.solver, Bounded) else advice.solver
    if not isinstance(solver, DDPM) or count is None:
        return found
    steps = max(advice.steps, min(ANCESTRAL_STEPS, count // 4))
    return replace(found, recommended=replace(advice, steps=steps))


def _conditions(material: Material, unet: Component) -> tuple[ConditionInput, ...]:
    """A class label that is always told, where the UNet has classes."""
    if unet.config.get(CLASSES) is None:
        return ()
    return (replace(label_condition(material.folder, unet, key=CLASSES), null=None),)


def _check_inputs(material: Material, unet: Component) -> None:
    """Refuse a UNet that wants something else than whole times and perhaps a class."""
    for name, fed in READ.items():
        value = unet.config.get(name)
        if value not in (None, fed):
            raise ExportError(
                f"unet has {name} = {shown(value)}, which no part of a "
                f"{material.folder.class_name} feeds; only {fed!r} is compiled. Compile the "
                "denoiser alone as a torch module."
            )


def _channels(unet: Component) -> int:
    """Channels of a picture.

    Raises:
        ExportError: no picture has so many, or the UNet answers something else than pictures.
    """
    taken = whole(unet, "in_channels", CHANNELS)
    given = whole(unet, "out_channels", CHANNELS)
    if taken not in PICTURES or given not in (taken, 2 * taken):
        raise ExportError(
            f"unet takes {taken} channels and returns {given}; pictures have "
            f"{' or '.join(map(str, PICTURES))}, and an answer as many or twice as many."
        )
    return taken


def _sizes(material: Material, unet: Component) -> Sizes:
    """Sizes of pictures, which every level but the last halves.

    Raises:
        ExportError: no size, one that cannot be halved so often, or no levels.
        InvalidInput: a tile, which only a decoder has.
    """
    widths = unet.config.get("block_out_channels", LEVELS)
    if not isinstance(widths, list | tuple) or not 0 < len(widths) <= MOST_LEVELS:
        raise ExportError(
            f"block_out_channels of unet is {shown(widths)}; it must list 1 to {MOST_LEVELS} "
            "levels."
        )
    unit = int(2 ** (len(widths) - 1))
    if unet.config.get("sample_size") is None:
        raise ExportError(
            "unet has no sample_size, the size of its pictures. Write it into its config.json."
        )
    if material.options.tile is not None:
        raise InvalidInput(
            f"a tile of {material.options.tile}, and a {material.folder.class_name} has no "
            "decoder that would take tiles. Leave it out."
        )
    trained = pair(unet, "sample_size", unit)
    if trained[0] % unit or trained[1] % unit:
        raise ExportError(
            f"sample_size of unet is {shown(unet.config['sample_size'])}; with {len(widths)} "
            f"levels it must be a multiple of {unit}."
        )
    return find_sizes(trained, 1, material.options, multiple=unit)
