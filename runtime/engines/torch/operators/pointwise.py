"""Operators that work element by element; their result may lie over an input that ends there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import (
    Call,
    Function,
    Kind,
    Operand,
    Operator,
    Site,
    X,
    Y,
    Z,
)

aten = torch.ops.aten


def unary(function: Function, writer: Function | None, site: Site) -> Call:
    """One input, no attributes; `writer` takes `out`."""
    return Call(function, kind=Kind.POINTWISE, writer=writer)


def binary(function: Function, site: Site) -> Call:
    """Two inputs that are broadcast against each other."""
    return Call(function, (X, Y), kind=Kind.POINTWISE, writer=function)


def divided(site: Site) -> Call:
    """Quotient; that of integers is rounded towards zero."""
    if site.dtype().is_floating_point:
        return binary(torch.div, site)
    rounding = {"rounding_mode": "trunc"}
    return Call(torch.div, (X, Y), rounding, kind=Kind.POINTWISE, writer=torch.div)


def modulo(site: Site) -> Call:
    """Remainder with the sign of the divisor, or of the dividend where fmod is 1."""
    return binary(torch.fmod if site.node.integer("fmod", 0) else torch.remainder, site)


def power(site: Site) -> Call:
    """x to the y; the result has the dtype of x whatever that of y."""
    if site.value(1).constant is not None and site.value(1).specimen.numel() == 1:
        exponent = site.scalar(1)
        return Call(torch.pow, (X, exponent), kind=Kind.POINTWISE, writer=torch.pow)
    if site.dtype(0) == site.dtype(1):
        return binary(torch.pow, site)
    return Call(mixed_power, (X, Y))


def mixed_power(x: Tensor, y: Tensor) -> Tensor:
    """x to the y in the dtype of x."""
    return torch.pow(x, y).to(x.dtype)


def folded(pair: Function, several: Function, site: Site) -> Call:
    """Any number of inputs: `pair` takes two, `several` the other counts."""
    if len(site.values) == 2:
        return binary(pair, site)
    return Call(several, tuple(map(Operand, range(len(site.values)))))


def total(*tensors: Tensor) -> Tensor:
    """The sum, element by element."""
    return reduce(torch.add, tensors)


def largest(*tensors: Tensor) -> Tensor:
    """The maximum, element by element."""
    return reduce(torch.maximum, tensors)


def smallest(*tensors: Tensor) -> Tensor:
    """The minimum, element by element."""
    return reduce(torch.minimum, tensors)


def average(site: Site) -> Call:
    """Mean of any number of inputs."""
    return Call(mean_of, tuple(map(Operand, range(len(site.values)))))


def mean_of(*tensors: Tensor) -> Tensor:
    """The mean, element by element."""
    return total(*tensors) / len(tensors)


def where(site: Site) -> Call:
    """y where x holds, z elsewhere."""
    return Call(torch.where, (X, Y, Z), kind=Kind.POINTWISE, writer=torch.where)


def clipped(site: Site) -> Call:
    """Limits from the inputs; one that is left out does not limit."""
    limits = [i for i in (1, 2) if site.has(i)]
    if not limits:
        return Call(aten.alias.default, kind=Kind.VIEW)
    if any(site.value(i).constant is None for i in limits):
        return Call(torch.clamp, (X, site.optional(1), site.optional(2)))
    low, high = (site.scalar(i) if site.has(i) else None for i in (1, 2))
    return Call(torch.clamp, (X, low, high), kind=Kind.POINTWISE, writer=torch.clamp)


def rectified(site: Site) -> Call:
    """max(x, 0)."""
    return Call(torch.clamp_min, (X, 0), kind=Kind.POINTWISE, writer=torch.clamp_min)


def gelu(site: Site) -> Call:
    """x times the normal distribution's integral, exact or by tanh."""
    form = {"approximate": site.node.text("approximate", "none")}
    return Call(torch.nn.functional.gelu, (X,), form, kind=Kind.POINTWISE, writer=aten.gelu.out)


def elu(site: Site) -> Call:
    """x where positive, alpha (exp(x) - 1) elsewhere."""
    alpha = site.node.number("alpha", 1.0)
    return Call(torch.nn.functional.elu, (X, alpha), kind=Kind.POINTWISE, writer=aten.elu.out)


def leaky(site: Site) -> Call:
    """x where positive, alpha x elsewhere."""
    alpha = site.node.number("alpha", 0.01)
    function = torch.nn.functional.leaky_relu
    return Call(function, (X, alpha), kind=Kind.POINTWISE, writer=aten.leaky_relu.out)


def hard_sigmoid(site: Site) -> Call:
    """alpha x + beta, limited to 0 .. 1."""
    alpha, beta = site.node.number("alpha", 0.2), site.node.number("beta", 0.5)
    return Call(limited_line, (X, alpha, beta))


def limited_line(x: Tensor, alpha: float, beta: float) -> Tensor:
    """alpha x + beta, limited to 0 .. 1."""
    return torch.clamp(x * alpha + beta, 0, 1)


def swish(site: Site) -> Call:
    """x sigmoid(alpha x)."""
    alpha = site.node.number("alpha", 1.0)
    if alpha == 1.0:
        return unary(torch.nn.functional.silu, aten.silu.out, site)
    return Call(scaled_swish, (X, alpha))


def scaled_swish(x: Tensor, alpha: float) -> Tensor:
    """x sigmoid(alpha x)."""
    return x * torch.sigmoid(x * alpha)


def sloped(site: Site) -> Call:
    """x where positive, y x elsewhere."""
    return Call(rectified_slope, (X, Y))


def is_nan(site: Site) -> Call:
    """Only what is no number differs from itself."""
    return Call(torch.ne, (X, X), writer=torch.ne)


def rectified_slope(x: Tensor, slope: Tensor) -> Tensor:
    """x where positive, slope x elsewhere, broadcast."""
    return torch.where(x < 0, x * slope, x)


def _plain(function: Function) -> Operator:
    """An operator whose torch function has `out`."""
    return Operator(partial(unary, function, function))


def _with_out(function: Function, packet: str) -> Operator:
    """An operator whose `out` form exists as an aten overload only."""
    return Operator(partial(unary, function, getattr(aten, packet).out))


F = torch.nn.functional
SAME: dict[str, Function] = {
    "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin,
    "Asinh": torch.asinh, "Atan": torch.atan, "Atanh": torch.atanh, "Ceil": torch.ceil,
    "Cos": torch.cos, "Cosh": torch.cosh, "Erf": torch.erf, "Exp": torch.exp,
    "Floor": torch.floor, "Log": torch.log, "Neg": torch.neg, "Reciprocal": torch.reciprocal,
    "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin,
    "Sinh": torch.sinh, "Sqrt": torch.sqrt, "Tan": torch.tan, "Tanh": torch.tanh,
}  # fmt: skip
PAIRS: dict[str, Function] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
}  # fmt: skip
TESTS: dict[str, Function] = {
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor, "Equal": torch.eq,
    "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
}  # fmt: skip

POINTWISE: Mapping[str, Operator] = MappingProxyType(
    {name: _plain(function) for name, function in SAME.items()}
    | {name: Operator(partial(binary, function)) for name, function in PAIRS.items()}
    | {name: Operator(partial(binary, function)) for name, function in TESTS.items()}
    | {
        "BitwiseNot": _plain(torch.bitwise_not),
        "Clip": Operator(clipped),
        "Div": Operator(divided),
        "Elu": Operator(elu, "alpha"),
        "Gelu": Operator(gelu, "approximate"),
        "HardSigmoid": Operator(hard_sigmoid, "alpha beta"),
        "HardSwish": _with_out(F.hardswish, "hardswish"),
        "IsInf": Operator(
            partial(unary, torch.isinf, None), "", {"detect_negative": 1, "detect_positive": 1}
        ),
        "IsNaN": Operator(is_nan),
        "LeakyRelu": Operator(leaky, "alpha"),
        "Max": Operator(partial(folded, torch.maximum, largest)),
        "Mean": Operator(average),
        "Min": Operator(partial(folded, torch.minimum, smallest)),
        "Mish": _with_out(F.mish, "mish"),
        "Mod": Operator(modulo, "fmod"),
        "Not": _plain(torch.logical_not),
        "PRelu": Operator(sloped),
        "Pow": Operator(power),
        "Relu": Operator(rectified),
        "Softplus": _with_out(F.softplus, "softplus"),
        "Softsign": Operator(partial(unary, F.softsign, None)),
        "Sum": Operator(partial(folded, torch.add, total)),
        "Swish": Operator(swish, "alpha"),
        "Where": Operator(where),
    }
)
