"""Reductions and scans against ONNX Runtime."""

import numpy as np
import pytest

from denoisert.runtime.engines.torch.operators.reduction import REDUCTION
from tests.runtime.engines.torch.one_node import agree, integers, ints, normal, reference_answer

X = normal(2, 3, 4, 5)
REDUCTIONS = sorted(name for name in REDUCTION if name.startswith("Reduce"))


def positive(op):
    return np.abs(X) + 0.1 if op == "ReduceLogSum" else X


@pytest.mark.parametrize("axes", [(1,), (-1, -2), (0, 2, 3)], ids=str)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions_over_named_axes(op, axes, tmp_path):
    agree(tmp_path, op, [positive(op), ints(*axes)], {"keepdims": 1}, constants=(1,))
    agree(tmp_path, op, [positive(op), ints(*axes)], {"keepdims": 0}, constants=(1,))


@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions_over_everything(op, tmp_path):
    agree(tmp_path, op, [positive(op)])


def test_no_axes_may_mean_nothing(tmp_path):
    empty = {"noop_with_empty_axes": 1}
    agree(tmp_path, "ReduceSum", [X, ints()], empty, constants=(1,))
    agree(tmp_path, "ReduceSum", [X, ints()], constants=(1,))


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_axes_were_an_attribute_once(op, tmp_path):
    agree(tmp_path, op, [X], {"axes": [1, -1], "keepdims": 0}, opset=17)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceProd"])
def test_integers_stay_integers(op, tmp_path):
    agree(tmp_path, op, [integers(3, 4), ints(1)], constants=(1,))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op, axis, tmp_path):
    agree(tmp_path, op, [5 * X], {"axis": axis})


def test_softmax_of_the_last_axis_by_default(tmp_path):
    (wanted,) = agree(tmp_path, "Softmax", [X])
    np.testing.assert_allclose(wanted.sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
def test_running_sums(exclusive, reverse, tmp_path):
    attributes = {"exclusive": exclusive, "reverse": reverse}
    axis = np.array(-2, np.int64)
    agree(tmp_path, "CumSum", [X, axis], attributes, constants=(1,))
    agree(tmp_path, "CumSum", [integers(3, 4, dtype=np.int32), axis], attributes, constants=(1,))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_the_first_extreme_counts(op, axis, keepdims, tmp_path):
    attributes = {"axis": axis, "keepdims": keepdims}
    agree(tmp_path, op, [X], attributes)
    agree(tmp_path, op, [integers(5, 6, low=0, high=3).astype(np.float32)], attributes)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [1, -1])
def test_the_top_and_where_it_is(axis, largest, tmp_path):
    attributes = {"axis": axis, "largest": largest}
    agree(tmp_path, "TopK", [X, ints(2)], attributes, constants=(1,), count=2)


def test_an_oracle_of_another_kind_agrees(tmp_path):
    agree(tmp_path, "ReduceMean", [X, ints(1)], constants=(1,), answer=reference_answer)
