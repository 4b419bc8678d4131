"""Which engine of a bundle runs here, and why."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines import here
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.here import installed
from denoisert.runtime.engines.loading import DENOISER, components, load
from denoisert.runtime.engines.target import OnnxRuntime, Torch
from denoisert.runtime.errors import BuildError, Incompatible, Tampered
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return compiled(perceptron(), tmp_path_factory.mktemp("toy"))


@pytest.fixture
def bundle(path):
    return Bundle.open(path)


def versions(monkeypatch, **found):
    monkeypatch.setattr(here, "installed", lambda name: found.get(name.replace("-", "_")))


def test_the_choice_names_target_versions_and_reason(bundle):
    chosen = choose(bundle)
    assert chosen.target == OnnxRuntime()
    assert installed("onnxruntime") in chosen.reason
    assert "the bundle's engine" in chosen.reason


def test_torch_runs_the_graphs_of_the_bundle(bundle):
    chosen = choose(bundle, Torch("cpu", "float16"))
    assert chosen.target == Torch("cpu", "float16")
    assert installed("torch") in chosen.reason
    assert "in float16" in chosen.reason
    assert components(bundle, chosen) == ("denoiser",)
    engine = load(bundle, chosen, DENOISER, 1)
    assert {port.dtype for port in engine.outputs} == {"float16"}
    engine.close()


@pytest.mark.parametrize(
    ("target", "missing"), [(Torch("cpu"), "onnx"), (Torch("cuda"), "triton"), (Torch(), "torch")]
)
def test_torch_says_what_it_lacks(bundle, monkeypatch, target, missing):
    have = {"torch": "2", "onnx": "1", "triton": "3"}
    versions(monkeypatch, **{name: value for name, value in have.items() if name != missing})
    with pytest.raises(Incompatible, match=rf"needs {missing}.*denoisert\[torch\]"):
        choose(bundle, target)


def test_installed_asks_the_distributions():
    assert installed("numpy") == np.__version__
    assert installed("no-such-distribution-anywhere") is None


def test_two_runtimes_over_each_other_are_refused(bundle, monkeypatch):
    versions(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.0")
    with pytest.raises(Incompatible, match=r"overwrite each other's files\. Uninstall"):
        choose(bundle)


def test_without_onnxruntime_it_says_what_to_install(bundle, monkeypatch):
    versions(monkeypatch)
    with pytest.raises(Incompatible, match=r"pip install 'denoisert\[cpu\]'"):
        choose(bundle)


def test_the_gpu_package_runs_on_the_cpu_too(bundle, monkeypatch):
    versions(monkeypatch, onnxruntime_gpu="1.31.0")
    assert "1.31.0" in choose(bundle).reason


def test_a_bundle_without_engines_says_so(bundle):
    manifest = replace(bundle.manifest, engines={})
    with pytest.raises(Incompatible, match=r"no target, .* --target onnxruntime, or .* Torch"):
        choose(Bundle(bundle.root, manifest))


def test_load_gives_an_engine_with_the_cards_ports(bundle):
    engine = load(bundle, choose(bundle), DENOISER, 1)
    assert [port.name for port in engine.inputs] == ["latent", "time", "label"]
    assert [port.name for port in engine.outputs] == ["out_latent"]


def test_a_component_that_the_bundle_lacks_is_named(bundle):
    with pytest.raises(Incompatible, match=r"have no 'decoder', only denoiser"):
        load(bundle, choose(bundle), "decoder", 1)


@pytest.mark.parametrize("folder", ["engines", "weights"])
def test_changed_bytes_are_found_before_anything_is_loaded(path, tmp_path, folder):
    copy = tmp_path / "copy.bundle"
    shutil.copytree(path, copy)
    files = json.loads((copy / "manifest.json").read_text())["files"]
    victim = copy / next(name for name in sorted(files) if name.startswith(folder))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    bundle = Bundle.open(copy)
    with pytest.raises(Tampered):
        load(bundle, choose(bundle), DENOISER, 1)


def test_an_honest_manifest_of_a_broken_graph_is_a_build_error(path, tmp_path, monkeypatch):
    shutil.copytree(path, tmp_path / "copy.bundle")
    bundle = Bundle.open(tmp_path / "copy.bundle")
    (bundle.root / "engines" / "onnxruntime" / "denoiser.onnx").write_bytes(b"broken")
    monkeypatch.setattr(Bundle, "verified", lambda self, name: self.root / name)
    with pytest.raises(BuildError):
        load(bundle, choose(bundle), DENOISER, 1)


def test_a_denoiser_knows_its_time_shape(tmp_path):
    for time in TimeShape:
        denoiser = perceptron(time=time).denoiser(tmp_path)
        assert isinstance(denoiser, Denoiser)
        assert denoiser.has_scalar_time == (time is TimeShape.SCALAR)
