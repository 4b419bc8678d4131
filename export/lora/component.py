"""Which network of a model a key's beginning means."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

DENOISERS: Final = ("unet", "transformer")
T5: Final = ("text_encoder_3", "text_encoder_2")
"""Where a T5 encoder stands in the models that have one beside CLIP."""

BEGINNINGS: Final = (
    ("lora_unet_", DENOISERS),  # kohya
    ("lora_transformer_", DENOISERS),
    ("lora_te_", ("text_encoder",)),
    ("lora_te1_", ("text_encoder",)),
    ("lora_te2_", ("text_encoder_2",)),
    ("lora_te3_", T5),
    ("unet.", DENOISERS),  # diffusers
    ("transformer.", DENOISERS),
    ("text_encoder.", ("text_encoder",)),
    ("text_encoder_2.", ("text_encoder_2",)),
    ("text_encoder_3.", ("text_encoder_3",)),
    ("diffusion_model.", DENOISERS),  # as ComfyUI keeps them
    ("text_encoders.clip_l.transformer.", ("text_encoder",)),
    ("text_encoders.clip_g.transformer.", ("text_encoder_2",)),
    ("text_encoders.t5xxl.transformer.", T5),
    ("base_model.model.", DENOISERS),  # peft, which does not say of what
    ("", DENOISERS),
)
"""How keys begin -> components that they may mean, the first that is there."""


def find_component(stem: str, components: Collection[str]) -> tuple[str, str]:
    """The component that a stem belongs to, and the rest of it.

    Args:
        stem: of a key.
        components: that the model has.

    Returns:
        A component's name, which the model need not have, and the layer's name in it.
    """
    beginning, meant = next(pair for pair in BEGINNINGS if stem.startswith(pair[0]))
    there = [name for name in meant if name in components]
    return (there or meant)[0], stem.removeprefix(beginning)
