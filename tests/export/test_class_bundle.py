"""A folder of a class-conditioned diffusion transformer, compiled and compared with diffusers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiTTransformer2DModel

from denoisert.export import compile_bundle
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.modules.dit import ClassDenoiser
from denoisert.export.parity import relative_error
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.export.sources.module import evaluate_module
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.open import Bundle
from tests.export.diffusers_tiny import write_class_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folder(tmp_path_factory.mktemp("class") / "painter")


def network(folder: Path) -> torch.nn.Module:
    return DiTTransformer2DModel.from_pretrained(folder / "transformer")


def test_the_card_has_labels_and_no_text(folder: Path) -> None:
    card = DiffusersFolder(folder).card
    (label,) = card.conditions
    assert (label.classes, label.null, label.labels) == (3, 3.0, ("cat", "dog", "owl"))
    assert card.components == ("denoiser", "decoder", "encoder")
    assert card.network.ports[0][0].channels == 4


def test_every_drawn_label_is_known_to_the_network(folder: Path) -> None:
    signature = denoiser_signature(DiffusersFolder(folder).card)
    inputs = signature.draw(16, np.random.default_rng(0))
    assert inputs["label"].max() == 3, "with the null class"
    module = ClassDenoiser(network(folder))
    found = evaluate_module(module, signature.output_names, inputs)["prediction"]
    assert found.shape == (16, 8, 8, 8)


@pytest.mark.slow
def test_the_bundle_equals_the_network(folder: Path, tmp_path: Path) -> None:
    compiled = compile_bundle(folder, tmp_path / "a.bundle")
    bundle = Bundle.open(compiled.path)
    entry = bundle.manifest.engines["onnxruntime"].graphs["denoiser"]
    generator = np.random.default_rng(1)
    inputs = {
        "latent": generator.standard_normal((3, 4, 8, 8)).astype(np.float32),
        "time": np.array([999.0, 500.0, 0.0], np.float32),
        "label": np.array([0, 2, 3]),
    }
    graph = bundle.verified(entry.path).read_bytes()
    found = open_graph(graph, bundle.root, entry.path)(inputs)["prediction"]
    with torch.no_grad():
        expected = network(folder)(
            torch.from_numpy(inputs["latent"]),
            timestep=torch.from_numpy(inputs["time"]),
            class_labels=torch.from_numpy(inputs["label"]),
        ).sample
    assert relative_error(found, expected.numpy()) < 1e-4
