"""Graphs of bundles, with inputs as parity draws them and ONNX Runtime's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.ports import read_ports
from denoisert.export.graph.signature import (
    Signature,
    decoder_signature,
    denoiser_signature,
    encoder_signature,
    text_signature,
)
from denoisert.export.parity import Trial, draw_trials
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.open import Bundle

VOCABULARY = 40
"""Token ids below it are in every vocabulary here."""

KINDS = {
    "denoiser": denoiser_signature,
    "decoder": decoder_signature,
    "encoder": encoder_signature,
}


def loaded(path: Path, component: str) -> ir.Model:
    """A component's graph; its weights stay in the bundle."""
    entry = Bundle.open(path).manifest.graphs[component]
    model = ir.load(path / entry.path)
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value.base_dir = path
    return model


def signature_of(path: Path, component: str) -> Signature:
    """What the runtime feeds to a component."""
    card = Bundle.open(path).manifest.card
    if component in KINDS:
        return KINDS[component](card)
    text = next(text for text in card.texts if text.name == component)
    return text_signature(card, text, VOCABULARY)


def first_trial(model: ir.Model, path: Path, component: str) -> tuple[Trial, ...]:
    """The one trial that a half type is fitted on."""
    signature = signature_of(path, component)
    evaluate = open_graph(ir.to_proto(model).SerializeToString(), path, component)
    ports = read_ports(model.graph.inputs)
    return draw_trials(signature, ports, evaluate, np.random.default_rng(0))[:1]
