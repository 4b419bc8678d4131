"""What a network that repaints part of a picture is shown: a mask, and the rest of the picture.

Such a UNet takes latent, mask and masked latent side by side, 2 C + 1 channels. One that takes the
latent alone repaints by replacement, which is the sampler's business: nothing of this is needed.

Source: Rombach et al. 2022, arXiv 2112.10752; diffusers, StableDiffusionInpaintPipeline.
"""

from __future__ import annotations

from typing import Final

from denoisert.export.families.configuration import whole
from denoisert.export.sources.diffusers.component import Component
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import ExportError
from denoisert.runtime.layout import StateLayout

MASK: Final = "mask"
MASKED: Final = "masked_latent"

PLAIN: Final = 4
"""`in_channels` of a UNet that does not say its own, as in diffusers."""


def repaints(unet: Component, latent: int) -> bool:
    """Whether a UNet takes a mask and a masked latent beside the latent.

    Args:
        unet: takes `in_channels`.
        latent: channels that the autoencoder has.
    """
    return whole(unet, "in_channels", PLAIN) == 2 * latent + 1


def channels_beside(unet: Component, latent: int, *, asked: str, repainting: str) -> int:
    """Channels of a UNet's input that are none of the state's.

    Args:
        unet: takes `in_channels`.
        latent: channels that the autoencoder has.
        asked: class of the folder's pipeline.
        repainting: class of the pipeline that shows a network mask and picture.

    Returns:
        Those of mask and masked latent, or 0.

    Raises:
        ExportError: a UNet that repaints, in a pipeline that has no mask for it.
    """
    if not repaints(unet, latent):
        return 0
    if asked != repainting:
        raise ExportError(
            f"{unet.name} takes {2 * latent + 1} channels, those of latent, mask and masked latent "
            f"of a model that repaints, and a {asked} has no mask. Write {repainting!r} as "
            "_class_name into model_index.json."
        )
    return latent + 1


def shown_conditions(layout: StateLayout) -> tuple[ConditionInput, ...]:
    """Mask and masked latent, position by position beside the latent.

    Args:
        layout: of a state whose first part is (C, h, w); the card's default.
    """
    channels, height, width = layout.parts[0].shape
    return (
        ConditionInput(MASK, Source.MASK, "float32", (1, height, width)),
        ConditionInput(MASKED, Source.EXTERNAL_PICTURE, "float32", (channels, height, width)),
    )
