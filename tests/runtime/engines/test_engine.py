"""Ports: shapes and buffers for a number of lanes."""

import numpy as np
import pytest

from denoisert.runtime.engines.engine import Port


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("lanes", 4, 8, 8), (5, 4, 8, 8)),
        ((3, 4, 8, 8), (3, 4, 8, 8)),
        (("lanes",), (5,)),
        ((1,), (1,)),
        ((), ()),
    ],
)
def test_a_named_first_dimension_becomes_the_lanes(dims, shape):
    assert Port("x", "float32", dims).shape(5) == shape


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "float16"])
def test_buffers_are_zeroed_contiguous_and_of_the_ports_dtype(dtype):
    buffer = Port("x", dtype, ("lanes", 2, 3)).buffer(4)
    assert buffer.shape == (4, 2, 3)
    assert buffer.dtype == np.dtype(dtype)
    assert buffer.flags.c_contiguous
    assert not buffer.any()
