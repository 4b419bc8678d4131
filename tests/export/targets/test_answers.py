"""What an engine answers in a process of its own, and what is said when that process fails."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.targets import answers as module
from denoisert.export.targets.answers import answers
from denoisert.export.targets.arrays import read_arrays, write_arrays
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import BuildError, EngineError
from tests.export.targets.conftest import ROOT

LATENT = Port("latent", "float32", ("lanes", 2, "height"))
TIME = Port("time", "float32", ())
EPS = Port("eps", "float32", ("lanes", 2, "height"))
ENTRY = GraphEntry("denoiser.onnx", (), (LATENT, TIME), (EPS,), 23)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a graph whose time is one number for all lanes: eps = 2 latent + time."""
    folder = tmp_path_factory.mktemp("answers")
    nodes = [
        helper.make_node("Mul", ["latent", "two"], ["double"]),
        helper.make_node("Add", ["double", "time"], ["eps"]),
    ]
    inputs, output = (
        [helper.make_tensor_value_info(port.name, TensorProto.FLOAT, port.dims) for port in ports]
        for ports in ((LATENT, TIME), (EPS,))
    )
    two = numpy_helper.from_array(np.float32(2), "two")
    graph = helper.make_graph(nodes, "double", inputs, output, [two])
    opset = [helper.make_opsetid("", 23)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / ENTRY.path)
    return folder


def call(lanes: int, height: int, time: float) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    latent = np.random.default_rng(lanes).standard_normal((lanes, 2, height)).astype(np.float32)
    latent = np.asfortranarray(latent)
    return {"latent": latent, "time": np.array(time, np.float32)}, {"height": height}


def test_every_call_is_answered_at_its_own_sizes(root: Path) -> None:
    calls = [call(1, 4, 0.5), call(3, 7, -1.0)]
    found = answers(root, ENTRY, "onnxruntime", calls)
    assert len(found) == len(calls)
    for (inputs, _), outputs in zip(calls, found, strict=True):
        assert set(outputs) == {"eps"}
        np.testing.assert_array_equal(outputs["eps"], 2 * inputs["latent"] + inputs["time"])


def test_an_engine_that_cannot_be_loaded_says_why(root: Path, tmp_path: Path) -> None:
    (tmp_path / ENTRY.path).write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"denoiser\.onnx does not run here\. BuildError: .*"):
        answers(tmp_path, ENTRY, "onnxruntime", [call(1, 4, 0.5)])


def test_a_crash_is_an_error_message(root: Path) -> None:
    with pytest.raises(
        BuildError, match=r"process ended with status 1\. It said: .*no target has the key"
    ):
        answers(root, ENTRY, "abacus", [call(1, 4, 0.5)])
    other = dataclasses.replace(ENTRY, path="absent.onnx")
    with pytest.raises(EngineError, match=r"absent\.onnx"):
        answers(root, other, "onnxruntime", [call(1, 4, 0.5)])


CRASHES = f"""
import os
os.write(2, b"last words")
os.kill(os.getpid(), {int(signal.SIGSEGV)})
"""


def test_a_library_that_crashes_is_one_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashes.py").write_text(CRASHES, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.setattr(module, "MODULE", "crashes")
    with pytest.raises(
        BuildError, match=r"was ended by signal 11, Segmentation fault\. It said: last words"
    ):
        answers(root, ENTRY, "onnxruntime", [])


def test_arrays_keep_names_types_and_shapes(tmp_path: Path) -> None:
    arrays = {
        "file": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2],
        "a/b.npy": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float16),
        "allow_pickle": np.array([True, False]),
    }
    write_arrays(tmp_path / "a.npz", arrays)
    found = read_arrays(tmp_path / "a.npz")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_objects_are_no_arrays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "a.npz", {"bad": np.array([{}], dtype=object)})
