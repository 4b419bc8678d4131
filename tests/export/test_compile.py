"""`compile_bundle`: what it writes, what it reports, the cache, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from denoisert.export import Compiled, Progress, compile_bundle
from denoisert.export.graph.signature import Signature
from denoisert.export.graph.trace import evaluating
from denoisert.export.parity import BOUND
from denoisert.export.sources import module as module_source
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import (
    BundleError,
    DenoiseRTError,
    ExportError,
    InvalidInput,
    ParityError,
)
from denoisert.runtime.layout import Part
from tests.export import foreign
from tests.export.foreign import CHANNELS, SCALAR_CARD, SIZE, VECTOR_CARD, denoiser, save
from tests.export.networks import TWO_PARTS_CARD, ConvDenoiser, TwoParts, card_of


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def run_engine(bundle: Bundle, path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return open_graph(bundle.verified(path).read_bytes(), bundle.root, path)(inputs)


def test_the_bundle_holds_graph_engine_and_weights_once(conv_bundle: Compiled) -> None:
    bundle = Bundle.open(conv_bundle.path, expect=conv_bundle.id)
    bundle.verify_all()
    kinds = sorted(path.split("/")[0] for path in bundle.manifest.files)
    assert kinds == ["engines", "graphs", "weights"]
    graph = bundle.manifest.graphs["denoiser"]
    engine = bundle.manifest.engines["onnxruntime"].graphs["denoiser"]
    assert graph.weights == engine.weights
    assert (graph.opset, engine.opset) == (23, 23)
    assert Port("time", "float32", ("lanes",)) in graph.inputs
    assert engine.inputs == graph.inputs
    assert bundle.manifest.engines["onnxruntime"].buckets == ()
    assert bundle.card == card_of()


def test_the_graph_keeps_operators_that_the_engine_has_lowered(conv_bundle: Compiled) -> None:
    kinds = {}
    for name in ("graphs", "engines/onnxruntime"):
        model = onnx.load_model(conv_bundle.path / name / "denoiser.onnx", load_external_data=False)
        kinds[name] = [node.op_type for node in model.graph.node]
        assert not model.producer_name.startswith("/")
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert "GroupNormalization" in kinds["graphs"]
    assert "InstanceNormalization" in kinds["engines/onnxruntime"]
    assert kinds["graphs"].count("Transpose") > kinds["engines/onnxruntime"].count("Transpose")


def test_no_file_names_this_machine(conv_bundle: Compiled) -> None:
    for path in conv_bundle.path.rglob("*.onnx"):
        content = path.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in content
        assert b"site-packages" not in content


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_graph_and_engine_equal_the_module(
    conv_bundle: Compiled, conv_module: ConvDenoiser, lanes: int
) -> None:
    generator = np.random.default_rng(100 + lanes)
    inputs = {
        "latent": generator.standard_normal((lanes, 2, 6, 6)).astype(np.float32),
        "time": generator.random(lanes, np.float32),
        "label": generator.integers(0, 4, lanes),
    }
    with evaluating(conv_module):
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        expected = conv_module(**tensors).numpy()
    bundle = Bundle.open(conv_bundle.path)
    for path in ("graphs/denoiser.onnx", "engines/onnxruntime/denoiser.onnx"):
        found = run_engine(bundle, path, inputs)["velocity"]
        assert np.abs(found - expected).max() < BOUND * np.abs(expected).max()


def test_the_report_has_figures_times_and_no_warning(conv_bundle: Compiled) -> None:
    assert not conv_bundle.is_cached
    assert conv_bundle.notes == ()
    assert {figure.graph for figure in conv_bundle.parity} == {"graph", "onnxruntime"}
    assert all(0 <= figure.relative_error < 1e-5 for figure in conv_bundle.parity)
    phases = {"load", "graph", "reference", "engines", "parity", "write"}
    assert set(conv_bundle.phases_ms) == phases
    assert min(conv_bundle.phases_ms.values()) > 0


def test_the_same_again_writes_nothing(conv_bundle: Compiled, conv_module: ConvDenoiser) -> None:
    before = state_of(conv_bundle.path.parent)
    seen: list[Progress] = []
    again = compile_bundle(conv_module, conv_bundle.path, card=card_of(), progress=seen.append)
    assert again.is_cached
    assert (again.id, again.parity) == (conv_bundle.id, ())
    assert state_of(conv_bundle.path.parent) == before
    assert [step.phase for step in seen] == ["done"]


def two_parts(seed: int = 3) -> TwoParts:
    torch.manual_seed(seed)
    return TwoParts()


def test_progress_names_every_phase_and_ends_with_done(tmp_path: Path) -> None:
    seen: list[Progress] = []
    out = tmp_path / "deep" / "two.bundle"
    compile_bundle(two_parts(), out, card=TWO_PARTS_CARD, progress=seen.append)
    phases = ["load", "graph", "reference", "parity", "engines", "write", "done"]
    assert [step.phase for step in seen] == phases
    assert [step.index for step in seen[:6]] == list(range(6))
    assert seen[-1].index == seen[-1].count
    assert [path.name for path in out.parent.iterdir()] == ["two.bundle"]


@pytest.fixture(scope="module")
def two_bundle(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    out = tmp_path_factory.mktemp("two") / "two.bundle"
    return compile_bundle(two_parts(), out, card=TWO_PARTS_CARD)


@pytest.fixture
def first(two_bundle: Compiled, tmp_path: Path) -> Compiled:
    """The bundle of `two_parts()` in the test's own folder."""
    copy = shutil.copytree(two_bundle.path, tmp_path / "a.bundle")
    return dataclasses.replace(two_bundle, path=copy)


def test_equal_models_make_equal_bundles_and_changed_ones_do_not(
    first: Compiled, tmp_path: Path
) -> None:
    second = compile_bundle(two_parts(), tmp_path / "b.bundle", card=TWO_PARTS_CARD)
    assert first.id == second.id
    changed = two_parts()
    with torch.no_grad():
        changed.mix.bias[0] += 1e-3
    replaced = compile_bundle(changed, tmp_path / "a.bundle", card=TWO_PARTS_CARD)
    assert not replaced.is_cached
    assert replaced.id != first.id
    renamed = dataclasses.replace(TWO_PARTS_CARD, name="other")
    card_changed = compile_bundle(two_parts(), tmp_path / "b.bundle", card=renamed)
    assert not card_changed.is_cached


def test_a_damaged_bundle_is_made_again(first: Compiled) -> None:
    graph = first.path / "graphs" / "denoiser.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    again = compile_bundle(two_parts(), first.path, card=TWO_PARTS_CARD)
    assert (again.is_cached, again.id) == (False, first.id)
    Bundle.open(first.path).verify_all()


def test_a_module_that_cannot_be_read_is_known_by_its_graph(tmp_path: Path) -> None:
    module = two_parts()
    module.secret = object()
    first = compile_bundle(module, tmp_path / "a.bundle", card=TWO_PARTS_CARD)
    again = compile_bundle(module, tmp_path / "a.bundle", card=TWO_PARTS_CARD)
    assert not first.is_cached
    assert again.is_cached
    with torch.no_grad():
        module.mix.weight[0, 0] += 1
    changed = compile_bundle(module, tmp_path / "a.bundle", card=TWO_PARTS_CARD)
    assert not changed.is_cached


def test_an_onnx_file_is_compiled_with_its_opset(tmp_path: Path) -> None:
    model = denoiser(opset=19)
    path = save(denoiser(opset=19), tmp_path / "model.onnx", location="weights.bin")
    compiled = compile_bundle(path, tmp_path / "a.bundle", card=VECTOR_CARD)
    assert max(figure.relative_error for figure in compiled.parity) < 2e-6
    bundle = Bundle.open(compiled.path)
    assert bundle.manifest.graphs["denoiser"].opset == 19
    assert len(bundle.manifest.graphs["denoiser"].weights) == 1
    (path.parent / "weights.bin").unlink()  # the bundle is whole without its source
    generator = np.random.default_rng(5)
    x = generator.standard_normal((2, CHANNELS, SIZE)).astype(np.float32)
    time = generator.random(2, np.float32)
    found = run_engine(bundle, "engines/onnxruntime/denoiser.onnx", {"x": x, "time": time})
    np.testing.assert_allclose(found["eps"], foreign.evaluate(model, x, time), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dims", [(), (1,)])
def test_a_scalar_time_is_compiled_and_noted(tmp_path: Path, dims: tuple[int, ...]) -> None:
    path = save(denoiser(opset=23, time_dims=dims), tmp_path / "model.onnx")
    compiled = compile_bundle(path, tmp_path / "a.bundle", card=SCALAR_CARD)
    assert any("one time per call" in note for note in compiled.notes)
    inputs = Bundle.open(compiled.path).manifest.graphs["denoiser"].inputs
    assert Port("time", "float32", dims) in inputs


def test_a_fixed_batch_is_the_engine_s_only_bucket(tmp_path: Path) -> None:
    path = save(denoiser(batch=4, time_dims=[4]), tmp_path / "model.onnx")
    compiled = compile_bundle(path, tmp_path / "a.bundle", card=VECTOR_CARD)
    assert Bundle.open(compiled.path).manifest.engines["onnxruntime"].buckets == (4,)


def test_a_wrong_graph_is_refused_and_the_old_bundle_stays(
    first: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(tmp_path)
    real = module_source.trace

    def wrong(module: nn.Module, signature: Signature) -> object:
        other = copy.deepcopy(module)
        with torch.no_grad():
            other.mix.weight *= 1.01
        return real(other, signature)

    monkeypatch.setattr(module_source, "trace", wrong)
    with pytest.raises(ParityError, match="'mixed' of the denoiser's graph differs"):
        compile_bundle(two_parts(seed=4), first.path, card=TWO_PARTS_CARD)
    assert state_of(tmp_path) == before


def test_a_dead_input_is_noted(tmp_path: Path) -> None:
    class Timeless(nn.Module):
        def forward(self, latent: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return latent * 2 + 0 * time[:, None]

    card = card_of((Part("latent", (2,)),), conditions=())
    compiled = compile_bundle(Timeless(), tmp_path / "a.bundle", card=card)
    assert any("input 'time' hardly changes" in note for note in compiled.notes)


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(BundleError, match="is no bundle"):
        compile_bundle(two_parts(), tmp_path, card=TWO_PARTS_CARD)
    with pytest.raises(BundleError, match="is no bundle"):
        compile_bundle(two_parts(), tmp_path / "thesis.txt", card=TWO_PARTS_CARD)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert len(os.listdir(tmp_path)) == 1


def test_models_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    checkpoint = tmp_path / "model.ckpt"
    checkpoint.touch()
    notes = tmp_path / "notes.txt"
    notes.touch()
    path = save(denoiser(), tmp_path / "model.onnx")
    refused: list[tuple[object, Card | None, type[DenoiseRTError], str]] = [
        ("no-such-model", None, InvalidInput, "one of digits"),
        (checkpoint, None, ExportError, "pickled"),
        (notes, None, ExportError, "not a kind of model"),
        (path, None, InvalidInput, "needs a card"),
        (two_parts(), None, InvalidInput, "needs a card"),
        (TwoParts, TWO_PARTS_CARD, InvalidInput, "model is a type"),
        (tmp_path, None, ExportError, r"has no config\.json|pickled"),
    ]
    for model, card, error, words in refused:
        with pytest.raises(error, match=words):
            compile_bundle(model, out, card=card)
    assert not out.exists()
