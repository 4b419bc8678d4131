"""Operators that only say differently how memory is read; most cost nothing at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import Call, Kind, Operand, Operator, Site, X

MODES = ("reflect", "edge", "wrap")


def reshaped(site: Site, shape: Sequence[int]) -> Call:
    """The elements in another shape: a view where the strides allow it, one copy elsewhere."""
    sizes = tuple(shape)
    try:
        site.value().specimen.view(sizes)
    except RuntimeError:
        return Call(torch.reshape, (X, sizes), writer=copy_reshaped)
    return Call(torch.reshape, (X, sizes), kind=Kind.VIEW)


def copy_reshaped(x: Tensor, shape: Sequence[int], *, out: Tensor) -> None:
    """Write the elements of x in their order; `out` is contiguous."""
    out.view(x.shape).copy_(x)


def same(site: Site) -> Call:
    """The input itself."""
    return Call(torch.ops.aten.alias.default, kind=Kind.VIEW)


def reshape(site: Site) -> Call:
    """Sizes from a constant; 0 keeps a size unless allowzero, -1 is what is left."""
    sizes, wanted = site.shape(), list(site.integers(1))
    if not site.node.integer("allowzero", 0):
        wanted = [sizes[i] if size == 0 else size for i, size in enumerate(wanted)]
    if -1 in wanted:
        others = -prod(wanted)
        wanted[wanted.index(-1)] = prod(sizes) // others if others else 0
    if prod(wanted) != prod(sizes):
        raise site.refusal(f"turns {sizes} into {wanted}, which has other elements")
    return reshaped(site, wanted)


def flatten(site: Site) -> Call:
    """Two dimensions: those before the axis, and the rest."""
    axis, sizes = site.axis(1), site.shape()
    return reshaped(site, (prod(sizes[:axis]), prod(sizes[axis:])))


def squeeze(site: Site) -> Call:
    """Without the named dimensions of size 1, or without all of them."""
    sizes = site.shape()
    named = site.integers(1) if site.has(1) else [i for i, size in enumerate(sizes) if size == 1]
    dropped = {axis % len(sizes) for axis in named}
    if any(sizes[axis] != 1 for axis in dropped):
        raise site.refusal(f"squeezes the dimensions {sorted(dropped)} of {sizes}, not all 1")
    return reshaped(site, [size for i, size in enumerate(sizes) if i not in dropped])


def unsqueeze(site: Site) -> Call:
    """With dimensions of size 1 at the named places of the result."""
    named = site.integers(1)
    rank = site.rank() + len(named)
    added = {axis % rank for axis in named}
    sizes = iter(site.shape())
    return reshaped(site, [1 if i in added else next(sizes) for i in range(rank)])


def transpose(site: Site) -> Call:
    """Dimensions in another order; reversed where none is given."""
    order = site.node.integers("perm") or tuple(reversed(range(site.rank())))
    return Call(torch.permute, (X, order), kind=Kind.VIEW)


def expand(site: Site) -> Call:
    """Broadcast to a constant shape, which may itself be the smaller one."""
    sizes = np.broadcast_shapes(site.shape(), site.integers(1))
    return Call(torch.broadcast_to, (X, tuple(sizes)), kind=Kind.VIEW)


def tile(site: Site) -> Call:
    """Repeated along every dimension."""
    return Call(torch.tile, (X, site.integers(1)))


def cut(site: Site) -> Call:
    """A range with a stride along each named axis; a negative stride reads backwards."""
    starts, ends = site.integers(1), site.integers(2)
    axes = site.integers(3) if site.has(3) else tuple(range(len(starts)))
    steps = site.integers(4) if site.has(4) else (1,) * len(starts)
    sizes, ranges, flipped = site.shape(), [slice(None)] * site.rank(), []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        found = range(sizes[axis])[start:end:step]
        if step < 0:
            flipped.append(axis % len(sizes))
            found = found[::-1]
        ranges[axis] = slice(found.start, found.start + len(found) * found.step, found.step)
    if flipped:
        return Call(flip_ranges, (X, tuple(ranges), tuple(flipped)))
    return Call(take_ranges, (X, tuple(ranges)), kind=Kind.VIEW)


def take_ranges(x: Tensor, ranges: tuple[slice, ...]) -> Tensor:
    """x[ranges]."""
    return x[ranges]


def flip_ranges(x: Tensor, ranges: tuple[slice, ...], axes: tuple[int, ...]) -> Tensor:
    """x[ranges] backwards along the axes."""
    return torch.flip(x[ranges], axes)


def split(site: Site) -> Call:
    """Pieces along an axis: of given sizes, or equal ones, the last of which may be smaller."""
    axis = site.axis(0)
    if site.has(1):
        sizes = site.integers(1)
    else:
        count = site.node.integer("num_outputs", len(site.node.outputs))
        whole = site.shape()[axis]
        piece = -(-whole // count)
        sizes = tuple(max(0, min(piece, whole - i * piece)) for i in range(count))
    return Call(torch.split, (X, sizes, axis), kind=Kind.VIEW)


def concat(site: Site) -> Call:
    """The inputs one after the other along an axis."""
    operands = map(Operand, range(len(site.values)))
    return Call(joined, (*operands,), {"axis": site.axis(0)}, writer=joined)


def joined(*tensors: Tensor, axis: int, out: Tensor | None = None) -> Tensor:
    """The tensors one after the other."""
    return torch.cat(tensors, axis) if out is None else torch.cat(tensors, axis, out=out)


def pad(site: Site) -> Call:
    """Borders: constant, mirrored, the edge's value, or the other side's."""
    rank, mode = site.rank(), site.node.text("mode", "constant")
    axes = site.integers(3) if site.has(3) else tuple(range(rank))
    pads, before_after = site.integers(1), [(0, 0)] * rank
    for i, axis in enumerate(axes):
        before_after[axis] = (pads[i], pads[len(axes) + i])
    if mode == "constant":
        filler = site.scalar(2) if site.has(2) else 0
        widths = tuple(width for pair in reversed(before_after) for width in pair)
        return Call(torch.nn.functional.pad, (X, widths, "constant", filler))
    if mode not in MODES:
        raise site.refusal(f"has mode {mode!r}; known are constant, {', '.join(MODES)}")
    return Call(border, (X, tuple(before_after), mode))


def border(x: Tensor, widths: tuple[tuple[int, int], ...], mode: str) -> Tensor:
    """Borders taken from x itself, one axis after the other."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = x.index_select(axis, _border_rows(x, axis, (before, after), mode))
    return x


def _border_rows(x: Tensor, axis: int, width: tuple[int, int], mode: str) -> Tensor:
    """For each place of the wider axis the row of x that it shows."""
    size = x.shape[axis]
    places = torch.arange(-width[0], size + width[1], device=x.device)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places.remainder(size)
    period = max(1, 2 * (size - 1))
    return (size - 1) - ((places.remainder(period)) - (size - 1)).abs()


def depth_to_space(site: Site) -> Call:
    """Channels to blocks of pixels; `mode` says which comes first in the channels."""
    block, mode = site.node.integer("blocksize", 1), site.node.text("mode", "DCR")
    order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
    return Call(blocks_to_pixels, (X, block, order))


def blocks_to_pixels(x: Tensor, block: int, order: tuple[int, ...]) -> Tensor:
    """(B, C block^2, H, W) to (B, C, H block, W block)."""
    lanes, channels, height, width = x.shape
    depth = channels // block**2
    sizes = (block, block, depth) if order[1] == 3 else (depth, block, block)
    spread = x.reshape(lanes, *sizes, height, width).permute(order)
    return spread.reshape(lanes, depth, height * block, width * block)


def space_to_depth(site: Site) -> Call:
    """Blocks of pixels to channels."""
    return Call(pixels_to_blocks, (X, site.node.integer("blocksize", 1)))


def pixels_to_blocks(x: Tensor, block: int) -> Tensor:
    """(B, C, H block, W block) to (B, block^2 C, H, W)."""
    lanes, channels, height, width = x.shape
    spread = x.reshape(lanes, channels, height // block, block, width // block, block)
    sizes = (lanes, channels * block**2, height // block, width // block)
    return spread.permute(0, 3, 5, 1, 2, 4).reshape(sizes)


SHAPE: Mapping[str, Operator] = MappingProxyType(
    {
        "Concat": Operator(concat, "axis"),
        "DepthToSpace": Operator(depth_to_space, "blocksize mode"),
        "Dropout": Operator(same, "seed ratio"),
        "Expand": Operator(expand),
        "Flatten": Operator(flatten, "axis"),
        "Identity": Operator(same),
        "Pad": Operator(pad, "mode"),
        "Reshape": Operator(reshape, "allowzero"),
        "Slice": Operator(cut),
        "SpaceToDepth": Operator(space_to_depth, "blocksize"),
        "Split": Operator(split, "axis num_outputs", outputs=1 << 20),
        "Squeeze": Operator(squeeze),
        "Tile": Operator(tile),
        "Transpose": Operator(transpose, "perm"),
        "Unsqueeze": Operator(unsqueeze),
    }
)
