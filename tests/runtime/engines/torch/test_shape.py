"""Operators that read memory in another way, against ONNX Runtime."""

import numpy as np
import pytest

from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.one_node import (
    agree,
    graph_of,
    integers,
    ints,
    normal,
    saved_engine,
)

X = normal(2, 3, 4, 5)
LAST = np.iinfo(np.int64).max


@pytest.mark.parametrize("shape", [(2, 3, 20), (6, -1), (0, 0, 2, -1), (2, 0, 20), (120,)])
def test_reshape(shape, tmp_path):
    agree(tmp_path, "Reshape", [X, ints(*shape)], constants=(1,))


def test_reshape_takes_a_zero_by_its_word_where_told(tmp_path):
    empty = np.zeros((2, 0, 3), np.float32)
    agree(tmp_path, "Reshape", [empty, ints(3, 0)], {"allowzero": 1}, constants=(1,))


def test_a_reshape_that_does_not_fit_is_refused_with_its_sizes(tmp_path):
    outputs = [np.zeros((7, 2), np.float32)]
    model = graph_of("Reshape", [X, ints(7, 2)], {}, constants=(1,), outputs=outputs)
    engine = saved_engine(tmp_path, model)
    with pytest.raises(BuildError, match=r"Reshape 'node' turns \(2, 3, 4, 5\) into \[7, 2\]"):
        engine.plan(7)


def test_a_shape_that_is_fed_is_refused(tmp_path):
    model = graph_of("Reshape", [X, ints(6, 20)], {}, outputs=[X.reshape(6, 20)])
    engine = saved_engine(tmp_path, model)
    with pytest.raises(BuildError, match="'x1' as input 1, which depends on the values"):
        engine.plan(6)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, 4, -1, -2])
def test_flatten(axis, tmp_path):
    agree(tmp_path, "Flatten", [X], {"axis": axis})


@pytest.mark.parametrize("axes", [(1,), (-1,), (1, 4), None])
def test_squeeze(axes, tmp_path):
    x = normal(2, 1, 3, 4, 1)
    given = [x] if axes is None else [x, ints(*axes)]
    agree(tmp_path, "Squeeze", given, constants=range(1, len(given)))


@pytest.mark.parametrize("axes", [(0,), (-1,), (1, 3), (3, 1), (0, -1)])
def test_unsqueeze(axes, tmp_path):
    agree(tmp_path, "Unsqueeze", [normal(3, 4), ints(*axes)], constants=(1,))


@pytest.mark.parametrize("order", [None, (0, 2, 3, 1), (3, 1, 2, 0)])
def test_transpose(order, tmp_path):
    agree(tmp_path, "Transpose", [X], {} if order is None else {"perm": order})


@pytest.mark.parametrize("shape", [(2, 3, 4), (4,), (5, 2, 3, 4), (3, 1)])
def test_expand(shape, tmp_path):
    agree(tmp_path, "Expand", [normal(2, 3, 1)[:, :, :], ints(*_wide(shape))], constants=(1,))


def _wide(shape):
    return shape if len(shape) != 1 else (2, 1, shape[0])


@pytest.mark.parametrize("repeats", [(1, 2, 1, 3), (2, 1, 1, 1)])
def test_tile(repeats, tmp_path):
    agree(tmp_path, "Tile", [X, ints(*repeats)], constants=(1,))


SLICES = {
    "range": ((1,), (3,), (2,), None),
    "from the end": ((-3,), (-1,), (3,), None),
    "to the end": ((1, 0), (LAST, 2), (2, 1), None),
    "stride": ((0, 1), (LAST, LAST), (2, 3), (2, 3)),
    "backwards": ((LAST,), (-LAST - 1,), (3,), (-1,)),
    "backwards by two": ((3, 0), (0, 2), (2, 0), (-2, 1)),
    "backwards from the end": ((-1,), (-4,), (-1,), (-2,)),
    "all axes": ((0, 1, 0, 1), (2, 3, 3, 4), None, None),
    "beyond": ((0,), (99,), (1,), None),
}


@pytest.mark.parametrize("kind", SLICES)
def test_slice(kind, tmp_path):
    given = [None if part is None else ints(*part) for part in SLICES[kind]]
    fixed = [i for i, part in enumerate(given, 1) if part is not None]
    agree(tmp_path, "Slice", [X, *given], constants=fixed)


def test_an_empty_slice(tmp_path):
    agree(tmp_path, "Slice", [X, ints(3), ints(1), ints(2)], constants=(1, 2, 3))


@pytest.mark.parametrize("sizes", [(1, 4), (2, 2, 1), (5,)])
def test_split_into_given_sizes(sizes, tmp_path):
    options = {"constants": (1,), "count": len(sizes)}
    agree(tmp_path, "Split", [X, ints(*sizes)], {"axis": -1}, **options)


@pytest.mark.parametrize(("axis", "count"), [(1, 3), (3, 2), (3, 3), (2, 2), (3, 1)])
def test_split_into_equal_pieces_with_a_smaller_last_one(axis, count, tmp_path):
    agree(tmp_path, "Split", [X], {"axis": axis, "num_outputs": count}, count=count)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis, tmp_path):
    agree(tmp_path, "Concat", [X, normal(2, 3, 4, 5, seed=1), X], {"axis": axis})


def test_concat_of_one(tmp_path):
    agree(tmp_path, "Concat", [X], {"axis": 1})


WIDTHS = {"all": (0, 1, 2, 1, 0, 0, 1, 2), "cut": (0, 0, -1, 1, 0, 0, 2, -2)}


@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("filler", [None, 2.5])
def test_constant_borders(kind, filler, tmp_path):
    given = [X, ints(*WIDTHS[kind]), *([] if filler is None else [np.float32(filler)])]
    agree(tmp_path, "Pad", given, constants=range(1, len(given)))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_borders_from_the_picture(mode, tmp_path):
    given = [X, ints(0, 1, 2, 3, 0, 0, 3, 1)]
    agree(tmp_path, "Pad", given, {"mode": mode}, constants=(1,))


def test_borders_of_named_axes(tmp_path):
    given = [X, ints(1, 2, 0, 1), None, ints(3, -2)]
    agree(tmp_path, "Pad", given, {"mode": "edge"}, constants=(1, 3))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_pixels(mode, tmp_path):
    agree(tmp_path, "DepthToSpace", [normal(2, 12, 3, 5)], {"blocksize": 2, "mode": mode})


def test_pixels_become_channels(tmp_path):
    agree(tmp_path, "SpaceToDepth", [normal(2, 3, 4, 6)], {"blocksize": 2})


@pytest.mark.parametrize("op", ["Identity", "Dropout"])
@pytest.mark.parametrize("x", [X, integers(3, 4), X > 0], ids=["float", "int", "bool"])
def test_operators_that_change_nothing(op, x, tmp_path):
    if op == "Dropout" and x.dtype != np.float32:
        x = X
    agree(tmp_path, op, [x])
