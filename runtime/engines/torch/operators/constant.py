"""Operators whose result is known before the graph runs, and casts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.dtypes import NAMES, dtype_name
from denoisert.runtime.engines.torch.operators.call import Call, Kind, Operator, Site, X


def sizes_of(site: Site) -> Tensor:
    """The sizes of an input, or a range of them."""
    sizes = site.shape()
    start = site.node.integer("start", 0)
    end = site.node.integer("end", len(sizes))
    return torch.tensor(sizes[start:end], dtype=torch.int64)


def count_of(site: Site) -> Tensor:
    """The number of elements of an input."""
    return torch.tensor(site.value().specimen.numel(), dtype=torch.int64)


FOLDED: Mapping[str, Callable[[Site], Tensor]] = MappingProxyType(
    {"Shape": sizes_of, "Size": count_of}
)
"""Operators that read shapes only."""


def filled(site: Site) -> Call:
    """One value in every place of a constant shape."""
    value = site.node.attributes.get("value", torch.zeros(1))
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise site.refusal(f"has value {value!r}, not a tensor of one element")
    return Call(full, (site.integers(0), value.item(), value.dtype))


def full(sizes: tuple[int, ...], value: float, dtype: torch.dtype) -> Tensor:
    """One value in every place."""
    return torch.full(sizes, value, dtype=dtype)


def numbers(site: Site) -> Call:
    """start, start + delta, .. below a limit."""
    start, limit, delta = (site.scalar(i) for i in range(3))
    return Call(counted, (start, limit, delta, site.constant(0).dtype))


def counted(start: float, limit: float, delta: float, dtype: torch.dtype) -> Tensor:
    """start, start + delta, .. below a limit; empty where the limit lies behind."""
    is_empty = limit <= start if delta > 0 else limit >= start
    return torch.arange(start, start if is_empty else limit, delta, dtype=dtype)


def cast(site: Site) -> Call:
    """The values in another type; float types become the one that this part is computed in."""
    name = dtype_name(site.node.integer("to", 0), f"Cast {site.node.name!r}")
    dtype = NAMES[name]
    return _converted(site, site.floats.get(dtype, dtype))


def cast_like(site: Site) -> Call:
    """The values in the type of the second input."""
    return _converted(site, site.dtype(1))


def _converted(site: Site, dtype: torch.dtype) -> Call:
    if site.dtype() == dtype:
        return Call(torch.ops.aten.alias.default, kind=Kind.VIEW)
    return conversion(dtype)


def conversion(dtype: torch.dtype) -> Call:
    """The first input in another dtype."""
    return Call(converted, (X, dtype), writer=write_converted)


def converted(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in another dtype."""
    return x.to(dtype)


def write_converted(x: Tensor, dtype: torch.dtype, *, out: Tensor) -> None:
    """x in the dtype of a buffer."""
    out.copy_(x)


def shape_only(site: Site) -> Call:
    """The constant of an operator that reads shapes only."""
    return Call(as_given, (FOLDED[site.node.op](site),))


def as_given(constant: Tensor) -> Tensor:
    """The constant."""
    return constant


CONSTANT: Mapping[str, Operator] = MappingProxyType(
    {
        "Cast": Operator(cast, "to", {"saturate": 1}),
        "CastLike": Operator(cast_like, "", {"saturate": 1}),
        "ConstantOfShape": Operator(filled, "value"),
        "Range": Operator(numbers),
        "Shape": Operator(shape_only, "end start"),
        "Size": Operator(shape_only),
    }
)
