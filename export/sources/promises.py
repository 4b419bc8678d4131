"""What a bundle's card promises about each of its graphs, as signatures to draw inputs from."""

from __future__ import annotations

from tokenizers import Tokenizer

from denoisert.export.division import conditioner_signature, fed_signature
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
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.condition import TextEncoder
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.conditioner import CONDITIONER


def promised_signature(bundle: Bundle, component: str) -> Signature:
    """The signature of one of a bundle's graphs.

    Args:
        bundle: the opened bundle.
        component: one of its card's, or the conditioner.

    Raises:
        Tampered: a tokenizer or the conditioner differs from the manifest.
    """
    card = bundle.card
    makers = {
        DENOISER: denoiser_signature,
        DECODER: decoder_signature,
        ENCODER: encoder_signature,
    }
    if component in (CONDITIONER, DENOISER) and CONDITIONER in bundle.manifest.graphs:
        return _half(bundle, component)
    if component in makers:
        return makers[component](card)
    text = next(text for text in card.texts if text.name == component)
    return text_signature(card, text, _vocabulary(bundle, text))


def components_of(bundle: Bundle) -> tuple[str, ...]:
    """Names of a bundle's graphs in the order of its card; a conditioner comes first."""
    extra = (CONDITIONER,) if CONDITIONER in bundle.manifest.graphs else ()
    return (*extra, *bundle.card.components)


def _half(bundle: Bundle, component: str) -> Signature:
    """Of a denoiser that is divided."""
    whole, graphs = denoiser_signature(bundle.card), bundle.manifest.graphs
    first = graphs[CONDITIONER]
    if component == CONDITIONER:
        return conditioner_signature(whole, first.inputs, first.outputs)
    for path in first.weights:
        bundle.verified(path)
    text = bundle.verified(first.path).read_bytes()
    evaluate = open_graph(text, bundle.root, first.path)
    return fed_signature(whole, graphs[DENOISER].inputs, first.inputs, evaluate)


def _vocabulary(bundle: Bundle, text: TextEncoder) -> int:
    """How many tokens there are; an encoder may have rows for more, which nobody reads."""
    path = bundle.verified(text.tokenizer)
    return int(Tokenizer.from_file(str(path)).get_vocab_size())
