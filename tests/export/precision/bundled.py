"""Graphs of bundles, with inputs as parity draws them and ONNX Runtime's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.ports import read_ports
from denoisert.export.graph.signature import Signature
from denoisert.export.parity import Trial, draw_trials
from denoisert.export.sources.promises import promised_signature
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.open import Bundle


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
    return promised_signature(Bundle.open(path), component)


def first_trial(model: ir.Model, path: Path, component: str) -> tuple[Trial, ...]:
    """The one trial that a half type is fitted on."""
    signature = signature_of(path, component)
    evaluate = open_graph(ir.to_proto(model).SerializeToString(), path, component)
    ports = read_ports(model.graph.inputs)
    return draw_trials(signature, ports, evaluate, np.random.default_rng(0))[:1]
