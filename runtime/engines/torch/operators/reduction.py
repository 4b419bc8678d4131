"""Operators that shrink or scan dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import (
    Call,
    Function,
    Kind,
    Operator,
    Site,
    X,
)


def reduced(function: Function, writer: Function | None, site: Site) -> Call:
    """A reduction over constant axes, all of them where none is named."""
    axes = site.integers(1) if site.has(1) else site.node.integers("axes")
    if not axes and site.node.integer("noop_with_empty_axes", 0):
        return Call(torch.ops.aten.alias.default, kind=Kind.VIEW)
    dims = tuple(axis % site.rank() for axis in axes) or tuple(range(site.rank()))
    kept = {"keepdim": site.node.integer("keepdims", 1) == 1}
    return Call(function, (X, dims), kept, writer=writer)


def _product(x: Tensor, dims: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """The product over several dimensions."""
    for dim in sorted(dims, reverse=True):
        x = torch.prod(x, dim, keepdim=keepdim)
    return x


def _sum_of_magnitudes(x: Tensor, dims: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """The L1 norm."""
    return torch.sum(x.abs(), dims, keepdim=keepdim)


def _sum_of_squares(x: Tensor, dims: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """The square of the L2 norm."""
    return torch.sum(x * x, dims, keepdim=keepdim)


def _length(x: Tensor, dims: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """The L2 norm."""
    return torch.sqrt(_sum_of_squares(x, dims, keepdim=keepdim))


def _log_of_sum(x: Tensor, dims: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """The logarithm of the sum."""
    return torch.log(torch.sum(x, dims, keepdim=keepdim))


def softmax(function: Function, site: Site) -> Call:
    """Exponentials that sum to one along an axis; half types accumulate in float32."""
    return Call(function, (X, site.axis(-1)), writer=function)


def cumulative(site: Site) -> Call:
    """Running sums along a constant axis, from either end, with or without the own element."""
    axis = int(site.scalar(1)) % site.rank()
    exclusive, reverse = site.node.integer("exclusive", 0), site.node.integer("reverse", 0)
    if exclusive or reverse:
        return Call(running_sum, (X, axis, exclusive, reverse))
    return Call(torch.cumsum, (X, axis), {"dtype": site.dtype()}, writer=torch.cumsum)


def running_sum(x: Tensor, axis: int, exclusive: int, reverse: int) -> Tensor:
    """Running sums; exclusive leaves out the own element, reverse starts at the end."""
    ordered = x.flip(axis) if reverse else x
    sums = torch.cumsum(ordered, axis, dtype=x.dtype)
    sums = sums - ordered if exclusive else sums
    return sums.flip(axis) if reverse else sums


def extreme(function: Function, site: Site) -> Call:
    """The place of the first largest or smallest element along an axis."""
    axis, kept = site.axis(0), site.node.integer("keepdims", 1) == 1
    return Call(function, (X, axis), {"keepdim": kept}, writer=function)


def top(site: Site) -> Call:
    """The largest or smallest elements along an axis and their places."""
    count, axis = int(site.scalar(1)), site.axis(-1)
    order = {"largest": site.node.integer("largest", 1) == 1, "sorted": True}
    return Call(torch.topk, (X, count, axis), order)


def _reduction(function: Function, writer: Function | None = None) -> Operator:
    return Operator(partial(reduced, function, writer), "axes keepdims noop_with_empty_axes")


REDUCTION: Mapping[str, Operator] = MappingProxyType(
    {
        "ArgMax": Operator(
            partial(extreme, torch.argmax), "axis keepdims", {"select_last_index": 0}
        ),
        "ArgMin": Operator(
            partial(extreme, torch.argmin), "axis keepdims", {"select_last_index": 0}
        ),
        "CumSum": Operator(cumulative, "exclusive reverse"),
        "LogSoftmax": Operator(partial(softmax, torch.log_softmax), "axis"),
        "ReduceL1": _reduction(_sum_of_magnitudes),
        "ReduceL2": _reduction(_length),
        "ReduceLogSum": _reduction(_log_of_sum),
        "ReduceLogSumExp": _reduction(torch.logsumexp, torch.logsumexp),
        "ReduceMax": _reduction(torch.amax, torch.amax),
        "ReduceMean": _reduction(torch.mean, torch.mean),
        "ReduceMin": _reduction(torch.amin, torch.amin),
        "ReduceProd": _reduction(_product),
        "ReduceSum": _reduction(torch.sum, torch.sum),
        "ReduceSumSquare": _reduction(_sum_of_squares),
        "Softmax": Operator(partial(softmax, torch.softmax), "axis"),
        "TopK": Operator(top, "axis largest sorted", outputs=2),
    }
)
