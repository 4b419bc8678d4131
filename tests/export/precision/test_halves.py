"""Weights in half types: rounded, kept finite, and made when they are read."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from denoisert.export.bundle import write_weights
from denoisert.export.graph.externalise import externalise
from denoisert.export.precision.halves import HALVES, LARGEST, converted, half_type
from denoisert.export.precision.rewrite import narrow
from denoisert.runtime.errors import InvalidInput
from tests.export.precision.narrowed import graph_of
from tests.runtime.engines.torch.graphs import node, weight

EACH = pytest.mark.parametrize("dtype", list(HALVES))


class Counted:
    """A tensor that counts how often its values are asked for."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape = ir.Shape(array.shape)
        self.reads = 0

    def numpy(self) -> np.ndarray:
        self.reads += 1
        return self._array


@EACH
def test_numbers_are_rounded_to_the_nearest(dtype: str) -> None:
    half = half_type(dtype)
    array = np.array([1.0, 1 / 3, -1e-3, 0.0], np.float32)
    found = converted(ir.tensor(array), half, "w").numpy()
    assert found.dtype == half.numpy()
    unit = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert (np.abs(found.astype(np.float64) - array) <= unit * np.abs(array)).all()
    assert (found.astype(np.float32) != array).any()


@EACH
def test_finite_numbers_stay_finite_and_others_as_they_are(dtype: str) -> None:
    half = half_type(dtype)
    lowest = np.finfo(np.float32).min
    array = np.array([lowest, -lowest, -np.inf, np.inf, np.nan], np.float32)
    found = converted(ir.tensor(array), half, "w").numpy().astype(np.float64)
    assert found[:2].tolist() == [-LARGEST[half], LARGEST[half]]
    assert found[2:4].tolist() == [-np.inf, np.inf]
    assert np.isnan(found[4])


@EACH
def test_the_largest_number_is_the_type_s_own(dtype: str) -> None:
    kind = half_type(dtype).numpy()
    largest = LARGEST[half_type(dtype)]
    assert float(np.float64(largest).astype(kind)) == largest
    with np.errstate(over="ignore"):
        assert np.isinf(np.float64(largest * 1.01).astype(kind).astype(np.float64))


def test_nothing_is_converted_before_it_is_read() -> None:
    tensor = Counted(weight(3, 4))
    found = converted(tensor, HALVES["float16"], "w")
    assert (found.dtype, tuple(found.shape), found.nbytes) == (HALVES["float16"], (3, 4), 24)
    assert tensor.reads == 0
    found.numpy()
    found.tobytes()
    assert tensor.reads == 2, "and nothing is kept"


def test_large_weights_go_to_their_file_one_by_one(tmp_path: Path) -> None:
    """No tensor that was converted outlives its reader."""
    nodes = [node("MatMul", "x w1", "a"), node("MatMul", "a w2", "b"), node("MatMul", "b w3", "y")]
    weights = {name: weight(40, 40, seed=i) for i, name in enumerate(("w1", "w2", "w3"))}
    model = graph_of(nodes, {"x": ["lanes", 40]}, {"y": ["lanes", 40]}, weights)
    narrow(model, "float16")
    made: list[weakref.ref] = []
    alive: list[int] = []

    def write(tensors):
        for name in tensors:
            made.append(weakref.ref(tensors[name]))
            alive.append(sum(reference() is not None for reference in made))
        name, places = write_weights(tmp_path, tensors)
        return name, places

    (file,) = externalise(model, tmp_path, write)
    assert alive == [0, 0, 0]
    size = (tmp_path / file).stat().st_size
    assert 3 * 3200 <= size <= 3 * 3200 + 600, "half of 4 bytes for each weight, and a header"
    stored = model.graph.initializers["w2"].const_value
    assert isinstance(stored, ir.ExternalTensor)
    assert (stored.numpy() == weights["w2"].astype(np.float16)).all()


def test_other_names_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'float32' asked for; graphs are narrowed to float16"):
        half_type("float32")
