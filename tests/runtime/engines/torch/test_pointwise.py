"""Pointwise operators against ONNX Runtime, on values where they are interesting."""

import numpy as np
import pytest

from denoisert.runtime.engines.torch.operators.pointwise import POINTWISE
from tests.runtime.engines.torch.one_node import agree, integers, normal, reference_answer

X = normal(3, 4, 5)
POSITIVE = np.abs(X) + 0.1
INSIDE = np.tanh(X)
HALVES = np.array([[-2.5, -1.5, -0.5, 0.5], [1.5, 2.5, -0.0, 7.0]], np.float32)

UNARY = {
    "Abs": X, "Acos": INSIDE, "Acosh": POSITIVE + 1, "Asin": INSIDE, "Asinh": X, "Atan": X,
    "Atanh": INSIDE, "Ceil": X, "Cos": X, "Cosh": X, "Erf": X, "Exp": X, "Floor": X,
    "HardSwish": 4 * X, "Log": POSITIVE, "Mish": X, "Neg": X, "Reciprocal": POSITIVE, "Relu": X,
    "Round": HALVES, "Sigmoid": 5 * X, "Sign": X, "Sin": X, "Sinh": X, "Softplus": X,
    "Softsign": X, "Sqrt": POSITIVE, "Tan": INSIDE, "Tanh": X,
}  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_functions_of_one_input(op, tmp_path):
    agree(tmp_path, op, [UNARY[op]])


WITH_ATTRIBUTES = {
    "Elu": {"alpha": 1.7},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "LeakyRelu": {"alpha": 0.2},
    "Gelu": {"approximate": "tanh"},
}


@pytest.mark.parametrize("op", WITH_ATTRIBUTES)
def test_functions_with_attributes_and_with_their_defaults(op, tmp_path):
    agree(tmp_path, op, [3 * X], WITH_ATTRIBUTES[op])
    agree(tmp_path, op, [3 * X])


@pytest.mark.parametrize("alpha", [1.0, 1.7])
def test_swish(alpha, tmp_path):
    wanted = X / (1 + np.exp(-alpha * X))
    agree(
        tmp_path,
        "Swish",
        [X],
        {"alpha": alpha},
        opset=24,
        answer=lambda model, given, names: [wanted.astype(np.float32)],
    )


BROADCAST = [((3, 4, 5), (3, 4, 5)), ((3, 4, 5), (5,)), ((3, 1, 5), (4, 1)), ((2, 3), (1,))]


@pytest.mark.parametrize("shapes", BROADCAST, ids=str)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_is_broadcast(op, shapes, tmp_path):
    agree(tmp_path, op, [normal(*shapes[0]), normal(*shapes[1], seed=1)])


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_with_a_constant_on_either_side(op, tmp_path):
    agree(tmp_path, op, [X, np.float32(0.3)], constants=(1,))
    agree(tmp_path, op, [np.float32(0.3), X], constants=(0,))


def test_integer_division_rounds_towards_zero(tmp_path):
    divisor = np.where(integers(4, 6, seed=1) < 0, -3, 2)
    (wanted,) = agree(tmp_path, "Div", [integers(4, 6, low=-20, high=20), divisor])
    assert (wanted < 0).any()


@pytest.mark.parametrize("kind", ["int", "float"])
def test_remainders_have_the_sign_of_the_divisor_or_of_the_dividend(kind, tmp_path):
    x = integers(4, 6, low=-20, high=20) if kind == "int" else 5 * normal(4, 6)
    y = np.where(integers(4, 6, seed=1) < 0, -3, 2).astype(x.dtype)
    if kind == "int":
        agree(tmp_path, "Mod", [x, y])
    agree(tmp_path, "Mod", [x, y], {"fmod": 1})


@pytest.mark.parametrize("exponent", [2.0, 0.5, 3.0, -1.0])
def test_powers_with_a_constant_exponent(exponent, tmp_path):
    agree(tmp_path, "Pow", [POSITIVE, np.float32(exponent)], constants=(1,))


def test_powers_take_the_type_of_their_base(tmp_path):
    agree(tmp_path, "Pow", [POSITIVE, integers(3, 4, 5)])
    agree(tmp_path, "Pow", [POSITIVE, ints_exponent()], constants=(1,))
    agree(tmp_path, "Pow", [POSITIVE, normal(5)])
    agree(tmp_path, "Pow", [integers(3, 4, low=0), np.float32(2.0)], constants=(1,))


def ints_exponent():
    return np.array(3, np.int64)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("op", ["Max", "Min", "Mean", "Sum"])
def test_any_number_of_inputs(op, count, tmp_path):
    agree(tmp_path, op, [normal(3, 4, seed=i) for i in range(count)])


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op, tmp_path):
    agree(tmp_path, op, [integers(4, 5), integers(4, 5, seed=1)])
    agree(tmp_path, op, [normal(4, 5), np.float32(0.0)], constants=(1,))


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op, tmp_path):
    agree(tmp_path, op, [normal(4, 5) > 0, normal(4, 5, seed=1) > 0])


def test_not(tmp_path):
    agree(tmp_path, "Not", [normal(4, 5) > 0])


@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bits(op, tmp_path):
    agree(tmp_path, op, [integers(4, 5), integers(4, 5, seed=1)])


def test_bits_turned_over(tmp_path):
    agree(tmp_path, "BitwiseNot", [integers(4, 5)])


@pytest.mark.parametrize("limits", [(-0.5, 0.7), (None, 0.2), (-0.1, None), (None, None)], ids=str)
def test_limits(limits, tmp_path):
    given = [None if limit is None else np.float32(limit) for limit in limits]
    fixed = [i for i, limit in enumerate(limits, 1) if limit is not None]
    agree(tmp_path, "Clip", [X, *given], constants=fixed)


def test_limits_that_are_fed(tmp_path):
    agree(tmp_path, "Clip", [X, np.array(-0.3, np.float32), np.array(0.2, np.float32)])


@pytest.mark.parametrize("shape", [(3, 4, 5), (5,), (3, 1, 1)])
def test_where_is_broadcast(shape, tmp_path):
    agree(tmp_path, "Where", [normal(*shape) > 0, X, normal(4, 5, seed=1)])
    agree(tmp_path, "Where", [normal(*shape) > 0, X, np.float32(-np.inf)], constants=(2,))


def test_slopes_of_negative_numbers(tmp_path):
    agree(tmp_path, "PRelu", [X, normal(4, 1)])


@pytest.mark.parametrize("op", ["IsNaN", "IsInf"])
def test_what_is_no_finite_number(op, tmp_path):
    x = np.array([[0.0, np.nan, np.inf, -np.inf]], np.float32)
    (wanted,) = agree(tmp_path, op, [x])
    assert wanted.sum() == (1 if op == "IsNaN" else 2)


def test_every_pointwise_operator_is_tested():
    """The names below have tests of their own in this file."""
    others = {
        "Add", "And", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Clip", "Div", "Equal",
        "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Max", "Mean", "Min",
        "Mod", "Mul", "Not", "Or", "PRelu", "Pow", "Sub", "Sum", "Swish", "Where", "Xor",
    }  # fmt: skip
    assert set(POINTWISE) == others | set(UNARY) | set(WITH_ATTRIBUTES)


def test_the_reference_evaluator_agrees_where_both_know_an_operator(tmp_path):
    agree(tmp_path, "Add", [X, X], answer=reference_answer)
