"""T5 text encoders: their place in a card, and the graphs of models that have CLIP and T5.

How many tokens T5 is given is the pipeline's choice and stands in no folder, so it stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from denoisert.export.families.configuration import whole
from denoisert.export.families.family import Build, Material
from denoisert.export.families.text import VOCABULARY, tokenizer_path
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Cleaning, TextEncoder
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

MASK: Final = "token_mask"
T5: Final = "T5EncoderModel"

LENGTHS: Final[Mapping[str, int]] = {
    "FluxImg2ImgPipeline": 512,
    "FluxInpaintPipeline": 512,
    "FluxPipeline": 512,
    "PixArtAlphaPipeline": 120,
    "PixArtSigmaPipeline": 300,
    "StableDiffusion3Img2ImgPipeline": 256,
    "StableDiffusion3InpaintPipeline": 256,
    "StableDiffusion3Pipeline": 256,
}
"""Pipeline -> tokens that it gives T5 when nothing is said."""

VOCABULARIES: Final[Mapping[str, int]] = {
    "CLIPTextModel": VOCABULARY,
    "CLIPTextModelWithProjection": VOCABULARY,
    T5: 32128,
}
"""Class -> tokens of a text encoder that does not say how many it knows."""


def t5_width(encoder: Component) -> int:
    """Width of a T5 encoder's states."""
    return whole(encoder, "d_model", 512)


def t5_encoder(
    encoder: Component,
    tokens: Tokens,
    length: int,
    *,
    mask: str = "",
    cleaning: Cleaning = Cleaning.NONE,
) -> TextEncoder:
    """A T5 encoder with its tokenizer.

    Args:
        encoder: its configuration.
        tokens: its tokenizer.
        length: tokens of an input; see `LENGTHS`.
        mask: `MASK` where the pipeline hides padding from it; FLUX and SD3 do not.
        cleaning: what the pipeline does to a prompt first.

    Raises:
        ExportError: the tokenizer has more tokens than the encoder knows, or it is a decoder.
    """
    vocabulary = whole(encoder, "vocab_size", VOCABULARIES[T5])
    if tokens.size > vocabulary:
        raise ExportError(
            f"the tokenizer of {encoder.name} has {tokens.size} tokens, the encoder knows "
            f"{vocabulary}; the folder mixes parts of two models. Take all parts from one."
        )
    if encoder.config.get("is_decoder"):
        raise ExportError(
            f"is_decoder of {encoder.name} is {shown(encoder.config['is_decoder'])}: its tokens "
            "would see only those before them. Use the configuration that the encoder was saved "
            "with."
        )
    return TextEncoder(
        encoder.name,
        tokenizer_path(encoder.name),
        length,
        tokens.start,
        tokens.end,
        tokens.pad,
        cleaning=cleaning,
        mask=mask,
    )


def text_graphs(
    material: Material, card: Card, build: Build
) -> Iterator[tuple[nn.Module, Signature]]:
    """Text encoders of every class; what is read of each of them the card's conditions say."""
    from denoisert.export.graph.signature import text_signature

    for text in card.texts:
        component = material.parts[text.name]
        vocabulary = whole(component, "vocab_size", VOCABULARIES[component.class_name])
        signature = text_signature(card, text, vocabulary)
        module = _module_of(component.class_name)
        yield module(build(text.name), text, signature.output_names), signature


def _module_of(class_name: str) -> Callable[[nn.Module, TextEncoder, tuple[str, ...]], nn.Module]:
    """What makes the module of a network of a class."""
    from denoisert.export.modules.clip import CLIPText
    from denoisert.export.modules.t5 import T5Text

    if class_name == T5:
        return lambda network, text, outputs: T5Text(network, text.tokens, outputs)
    return lambda network, _, outputs: CLIPText(network, outputs)
