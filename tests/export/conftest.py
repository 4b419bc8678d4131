"""Graphs that are exported once for each test run."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest
import torch

from denoisert.export import Compiled, compile_bundle
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.graph.trace import trace
from tests.export.networks import ConvDenoiser, card_of


@pytest.fixture(scope="session")
def conv_module() -> ConvDenoiser:
    torch.manual_seed(20)
    return ConvDenoiser()


@pytest.fixture(scope="session")
def traced(conv_module: ConvDenoiser) -> ir.Model:
    """Shared: clone it before changing it."""
    return trace(conv_module, denoiser_signature(card_of()))


@pytest.fixture(scope="session")
def conv_bundle(conv_module: ConvDenoiser, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Shared: copy it before changing it."""
    out: Path = tmp_path_factory.mktemp("bundles") / "conv.bundle"
    return compile_bundle(conv_module, out, card=card_of())
