"""The closed table of what an original file may hold: which component, below which prefix.

Source: diffusers 0.42.1, loaders/single_file_utils.py, whose conversions the tests compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.original.flux import FLUX
from denoisert.export.sources.diffusers.original.piece import Pieces, Shape
from denoisert.export.sources.diffusers.original.stable_diffusion_3 import STABLE_DIFFUSION_3
from denoisert.export.sources.diffusers.original.texts import (
    PROJECTION,
    clip_pieces,
    clip_spare,
    open_clip_pieces,
    open_clip_spare,
    t5_pieces,
)
from denoisert.export.sources.diffusers.original.unet import unet_pieces
from denoisert.export.sources.diffusers.original.vae import vae_pieces

CLIP: Final = ("CLIPTextModel", "CLIPTextModelWithProjection")
TEXT: Final = "text_encoder"
SECOND: Final = "text_encoder_2"
THIRD: Final = "text_encoder_3"
DIFFUSION: Final = "model.diffusion_model."


Shapes = Mapping[str, Shape]


def _no_spare(wanted: Shapes) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file may hold a component.

    Args:
        components: names that a folder gives it.
        classes: of its network.
        prefix: of all its keys.
        mark: how at least one key goes on.
        pieces: shapes of the network's tensors -> where they lie below the prefix.
        spare: likewise -> how keys go on that the network does not read.
        unit: tensors of the network that are the identity where the file has none.
    """

    components: tuple[str, ...]
    classes: tuple[str, ...]
    prefix: str
    mark: str
    pieces: Callable[[Shapes], Pieces]
    spare: Callable[[Shapes], tuple[str, ...]] = _no_spare
    unit: tuple[str, ...] = ()

    @property
    def beginning(self) -> str:
        """Of at least one key."""
        return self.prefix + self.mark

    def takes(self, component: Component) -> bool:
        """Whether it is a component of this name and class."""
        return component.name in self.components and component.class_name in self.classes


def _transformers(prefix: str) -> tuple[Place, ...]:
    kinds = (
        ("FluxTransformer2DModel", "double_blocks.", FLUX),
        ("SD3Transformer2DModel", "joint_blocks.", STABLE_DIFFUSION_3),
    )
    return tuple(
        Place(("transformer",), (kind,), prefix, mark, blocks.pieces)
        for kind, mark, blocks in kinds
    )


def _vae(prefix: str) -> Place:
    return Place(("vae",), ("AutoencoderKL",), prefix, "decoder.", vae_pieces)


def _clip(component: str, prefix: str, unit: tuple[str, ...] = ()) -> Place:
    return Place((component,), CLIP, prefix, "text_model.", clip_pieces, clip_spare, unit)


def _open_clip(component: str, prefix: str) -> Place:
    mark = "transformer.resblocks."
    return Place((component,), CLIP, prefix, mark, open_clip_pieces, open_clip_spare)


PLACES: Final = (
    Place(("unet",), ("UNet2DConditionModel",), DIFFUSION, "input_blocks.", unet_pieces),
    *_transformers(DIFFUSION),
    *_transformers(""),
    _vae("first_stage_model."),
    _vae("vae."),
    _clip(TEXT, "cond_stage_model.transformer."),  # Stable Diffusion 1
    _open_clip(TEXT, "cond_stage_model.model."),  # 2
    _clip(TEXT, "conditioner.embedders.0.transformer."),  # XL
    _open_clip(SECOND, "conditioner.embedders.1.model."),
    _open_clip(SECOND, "conditioner.embedders.0.model."),  # its refiner
    _clip(TEXT, "text_encoders.clip_l.transformer.", (PROJECTION,)),  # 3 and FLUX
    _clip(SECOND, "text_encoders.clip_g.transformer."),
    Place(
        (SECOND, THIRD),
        ("T5EncoderModel",),
        "text_encoders.t5xxl.transformer.",
        "encoder.",
        t5_pieces,
    ),
)
"""All places."""

UNREAD: Final = (
    "alphas_cumprod",
    "betas",
    "cond_stage_model.logit_scale",
    "cond_stage_model.text_projection",
    "denoiser.sigmas",
    "global_step",
    "log_one_minus_alphas_cumprod",
    "logvar",
    "lvlb_weights",
    "model_ema.",
    "posterior_",
    "scale_factor",
    "sqrt_",
    "text_encoders.clip_g.logit_scale",
    "text_encoders.clip_l.logit_scale",
    "text_encoders.t5xxl.logit_scale",
    "text_encoders.t5xxl.spiece_model",
)
"""Beginnings of keys that repeat the scheduler's numbers, or are left from training."""
