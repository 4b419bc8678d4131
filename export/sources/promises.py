"""What a bundle's card promises about each of its graphs, as signatures to draw inputs from."""

from __future__ import annotations

from tokenizers import Tokenizer

from denoisert.export.graph.signature import (
    DECODER,
    DENOISER,
    ENCODER,
    Signature,
    decoder_signature,
    denoiser_signature,
    encoder_signature,
    text_signature,
)
from denoisert.runtime.bundle.condition import TextEncoder
from denoisert.runtime.bundle.open import Bundle


def promised_signature(bundle: Bundle, component: str) -> Signature:
    """The signature of one of a bundle's graphs.

    Args:
        bundle: the opened bundle.
        component: one of its card's.

    Raises:
        Tampered: a tokenizer differs from the manifest.
    """
    card = bundle.card
    makers = {
        DENOISER: denoiser_signature,
        DECODER: decoder_signature,
        ENCODER: encoder_signature,
    }
    if component in makers:
        return makers[component](card)
    text = next(text for text in card.texts if text.name == component)
    return text_signature(card, text, _vocabulary(bundle, text))


def _vocabulary(bundle: Bundle, text: TextEncoder) -> int:
    """How many tokens there are; an encoder may have rows for more, which nobody reads."""
    path = bundle.verified(text.tokenizer)
    return int(Tokenizer.from_file(str(path)).get_vocab_size())
