"""Buffers: used in place, on the engine's device, and refused when they do not fit."""

import ml_dtypes
import numpy as np
import pytest
import torch

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.torch.buffers import place_buffers
from denoisert.runtime.errors import OutOfProfile

CPU = torch.device("cpu")
META = torch.device("meta")
IN = (Port("x", "float32", ("lanes", 3)), Port("i", "int64", ("lanes",)))
OUT = (Port("y", "float32", ("lanes", 2)),)


def arrays(lanes=4):
    return {port.name: port.buffer(lanes) for port in (*IN, *OUT)}


def tensors(lanes=4):
    return {name: torch.from_numpy(array) for name, array in arrays(lanes).items()}


@pytest.mark.parametrize("make", [arrays, tensors])
def test_buffers_on_the_device_are_used_in_place(make):
    given = make()
    placed = place_buffers(IN, OUT, 4, given, CPU)
    for name, buffer in given.items():
        start = buffer.ctypes.data if isinstance(buffer, np.ndarray) else buffer.data_ptr()
        assert placed.tensors[name].data_ptr() == start
    assert placed.fetch == placed.store == ()
    assert not placed.is_on_gpu


def test_host_arrays_of_another_device_are_copied_in_and_out():
    placed = place_buffers(IN, OUT, 4, arrays(), META)
    assert {tensor.device for tensor in placed.tensors.values()} == {META}
    assert (len(placed.fetch), len(placed.store)) == (2, 1)
    assert not placed.is_on_gpu


def test_numpy_has_bfloat16_through_ml_dtypes():
    port = Port("y", "bfloat16", ("lanes", 2))
    array = np.ones((4, 2), ml_dtypes.bfloat16)
    placed = place_buffers((), (port,), 4, {"y": array}, CPU)
    assert placed.tensors["y"].dtype == torch.bfloat16
    placed.tensors["y"].fill_(2.5)
    assert (array == 2.5).all()


WRONG = {
    "shape": lambda b: b | {"x": b["x"][:, :2]},
    "lanes": lambda b: b | {"x": b["x"][:3]},
    "rank": lambda b: b | {"i": b["i"][:, None]},
    "output": lambda b: b | {"y": b["y"][:3]},
    "missing": lambda b: {name: v for name, v in b.items() if name != "i"},
}


@pytest.mark.parametrize("make", [arrays, tensors])
@pytest.mark.parametrize("kind", WRONG)
def test_shapes_that_do_not_fit_are_refused(kind, make):
    with pytest.raises(OutOfProfile, match=r"x takes|y takes|i takes|no buffer for i"):
        place_buffers(IN, OUT, 4, WRONG[kind](make()), CPU)


def test_dtypes_that_do_not_fit_are_refused():
    with pytest.raises(OutOfProfile, match=r"x takes float32 \(4, 3\), the buffer is float64"):
        place_buffers(IN, OUT, 4, arrays() | {"x": np.zeros((4, 3))}, CPU)
    with pytest.raises(OutOfProfile, match="the buffer is float16"):
        place_buffers(IN, OUT, 4, tensors() | {"x": torch.zeros(4, 3).half()}, CPU)
    with pytest.raises(OutOfProfile, match="the buffer is int32"):
        place_buffers(IN, OUT, 4, arrays() | {"i": np.zeros(4, np.int32)}, CPU)


def test_layouts_that_do_not_fit_are_refused():
    wide = np.zeros((4, 6), np.float32)
    with pytest.raises(OutOfProfile, match="buffer of x is not contiguous"):
        place_buffers(IN, OUT, 4, arrays() | {"x": wide[:, ::2]}, CPU)
    with pytest.raises(OutOfProfile, match="buffer of x is not contiguous"):
        place_buffers(IN, OUT, 4, tensors() | {"x": torch.zeros(3, 4).T}, CPU)


def test_read_only_arrays_are_refused():
    array = np.zeros((4, 3), np.float32)
    array.flags.writeable = False
    with pytest.raises(OutOfProfile, match="read-only"):
        place_buffers(IN, OUT, 4, arrays() | {"x": array}, CPU)


def test_tensors_of_another_device_are_refused():
    with pytest.raises(OutOfProfile, match="x is on meta, the engine on cpu"):
        place_buffers(IN, OUT, 4, tensors() | {"x": torch.zeros(4, 3, device="meta")}, CPU)


def test_a_buffer_that_records_gradients_is_taken_without_them():
    given = tensors() | {"x": torch.zeros(4, 3, requires_grad=True)}
    assert not place_buffers(IN, OUT, 4, given, CPU).tensors["x"].requires_grad
