"""Operators that pick or place elements by number; a negative number counts from the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import Call, Kind, Operator, Site, X, Y, Z

aten = torch.ops.aten
REDUCTIONS = MappingProxyType(
    {"none": "", "add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
)


def gather(site: Site) -> Call:
    """Whole slices along an axis; one constant number is a view."""
    axis, known = site.axis(0), site.value(1).constant
    if known is not None and known.dim() == 0:
        return Call(torch.select, (X, axis, int(known)), kind=Kind.VIEW)
    return Call(slices_at, (X, Y, axis), writer=write_slices_at)


def slices_at(x: Tensor, places: Tensor, axis: int) -> Tensor:
    """x[.., places, ..]."""
    found: Tensor = aten.index.Tensor(x, [None] * axis + [places])
    return found


def write_slices_at(x: Tensor, places: Tensor, axis: int, *, out: Tensor) -> None:
    """`slices_at` into a buffer."""
    aten.index.Tensor_out(x, [None] * axis + [places], out=out)


def gather_elements(site: Site) -> Call:
    """One element for each number, along an axis."""
    return Call(elements_at, (X, Y, site.axis(0)))


def elements_at(x: Tensor, places: Tensor, axis: int) -> Tensor:
    """x at the places along an axis."""
    return torch.gather(x, axis, _from_front(places, x.shape[axis]))


def _from_front(places: Tensor, size: int) -> Tensor:
    places = places.long()
    return torch.where(places < 0, places + size, places)


def gather_nd(site: Site) -> Call:
    """Slices at places that name the first dimensions."""
    if site.node.integer("batch_dims", 0):
        return Call(batched_slices_at_nd, (X, Y, site.node.integer("batch_dims", 0)))
    return Call(slices_at_nd, (X, Y))


def slices_at_nd(x: Tensor, places: Tensor) -> Tensor:
    """x[places[.., 0], places[.., 1], ..]."""
    return x[tuple(places.unbind(-1))]


def batched_slices_at_nd(x: Tensor, places: Tensor, batch: int) -> Tensor:
    """`slices_at_nd` for each entry of the leading dimensions."""
    grids = []
    for axis, size in enumerate(x.shape[:batch]):
        count = [1] * (places.dim() - 1)
        count[axis] = size
        grids.append(torch.arange(size, device=x.device).view(count))
    return x[(*grids, *places.unbind(-1))]


def scatter_elements(site: Site) -> Call:
    """x with single elements replaced, added to or compared with."""
    return Call(replaced_elements, (X, Y, Z, site.axis(0), _reduction(site)))


def replaced_elements(
    x: Tensor, places: Tensor, updates: Tensor, axis: int, reduction: str
) -> Tensor:
    """x with the updates at the places along an axis."""
    places = _from_front(places, x.shape[axis])
    if not reduction:
        return torch.scatter(x, axis, places, updates)
    return torch.scatter_reduce(x, axis, places, updates, reduction)


def scatter_nd(site: Site) -> Call:
    """x with slices replaced or added to at places that name the first dimensions."""
    reduction = _reduction(site)
    if reduction not in ("", "sum"):
        raise site.refusal(f"has the reduction {reduction!r}")
    return Call(added_slices if reduction else replaced_slices, (X, Y, Z))


def replaced_slices(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    """x with the updates at the places."""
    return torch.index_put(x, places.unbind(-1), updates)


def added_slices(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    """x with the updates added at the places."""
    return torch.index_put(x, places.unbind(-1), updates, True)


def _reduction(site: Site) -> str:
    name = site.node.text("reduction", "none")
    if name not in REDUCTIONS:
        raise site.refusal(f"has the reduction {name!r}")
    return REDUCTIONS[name]


def one_hot(site: Site) -> Call:
    """The second of two values where the number is met along a new axis, the first elsewhere."""
    axis = site.node.integer("axis", -1)
    axis = axis + site.rank() + 1 if axis < 0 else axis
    return Call(marked, (X, Z, int(site.scalar(1)), axis))


def marked(places: Tensor, values: Tensor, depth: int, axis: int) -> Tensor:
    """values[1] at the places, values[0] elsewhere."""
    sizes = [1] * (places.dim() + 1)
    sizes[axis] = depth
    numbers = torch.arange(depth, device=places.device, dtype=places.dtype).view(sizes)
    wanted = torch.where(places < 0, places + depth, places).unsqueeze(axis)
    return torch.where(wanted == numbers, values[1], values[0])


def triangle(site: Site) -> Call:
    """What lies on one side of a diagonal, zero elsewhere."""
    diagonal = int(site.scalar(1)) if site.has(1) else 0
    function = torch.triu if site.node.integer("upper", 1) else torch.tril
    return Call(function, (X, diagonal), writer=function)


INDEXING: Mapping[str, Operator] = MappingProxyType(
    {
        "Gather": Operator(gather, "axis"),
        "GatherElements": Operator(gather_elements, "axis"),
        "GatherND": Operator(gather_nd, "batch_dims"),
        "OneHot": Operator(one_hot, "axis"),
        "ScatterElements": Operator(scatter_elements, "axis reduction"),
        "ScatterND": Operator(scatter_nd, "reduction"),
        "Trilu": Operator(triangle, "upper"),
    }
)
