"""Resizing pictures, in the coordinate systems that torch itself has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, floor
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from denoisert.runtime.engines.torch.operators.call import Call, Kind, Operator, Site, X

MODES: Mapping[tuple[str, int], str] = MappingProxyType(
    {
        ("linear", 3): "linear",
        ("linear", 4): "bilinear",
        ("linear", 5): "trilinear",
        ("cubic", 4): "bicubic",
    }
)
"""ONNX mode and rank -> torch mode."""

CENTRES = ("half_pixel", "pytorch_half_pixel")
ROUNDED: Mapping[str, Callable[[float], int]] = MappingProxyType(
    {
        "floor": floor,
        "ceil": ceil,
        "round_prefer_floor": lambda x: ceil(x - 0.5),
        "round_prefer_ceil": lambda x: floor(x + 0.5),
    }
)


def resize(site: Site) -> Call:
    """A picture at another size."""
    mode = site.node.text("mode", "nearest")
    sizes, scales = _target(site)
    if sizes == site.shape()[2:]:
        return Call(torch.ops.aten.alias.default, kind=Kind.VIEW)
    if mode == "nearest":
        return _nearest(site, sizes, scales)
    return _smooth(site, sizes, scales, mode)


def _target(site: Site) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes and scales of the dimensions behind the channels."""
    known, rank = site.shape(), site.rank()
    axes = [axis % rank for axis in site.node.integers("axes")] or list(range(rank))
    sizes, scales = list(known), [1.0] * rank
    if site.has(3) and site.constant(3).numel():
        for axis, size in zip(axes, site.integers(3), strict=True):
            sizes[axis], scales[axis] = size, size / known[axis]
    else:
        for axis, scale in zip(axes, site.constant(2).tolist(), strict=True):
            sizes[axis], scales[axis] = floor(known[axis] * scale), scale
    if tuple(sizes[:2]) != known[:2]:
        raise site.refusal(f"resizes {known} to {sizes}; lanes and channels stay as they are")
    return tuple(sizes[2:]), tuple(scales[2:])


def _nearest(site: Site, sizes: tuple[int, ...], scales: tuple[float, ...]) -> Call:
    """Nearest neighbours, where torch picks the same rows as the graph."""
    known = site.shape()[2:]
    wanted = [
        _rows(site, old, new, scale) for old, new, scale in zip(known, sizes, scales, strict=True)
    ]
    for mode, shift in (("nearest", 0.0), ("nearest-exact", 0.5)):
        if wanted == [_torch_rows(*pair, shift) for pair in zip(known, sizes, strict=True)]:
            writer = write_nearest if mode == "nearest" and len(sizes) == 2 else None
            return Call(nearest, (X, sizes, mode), writer=writer)
    raise site.refusal(
        f"picks rows by {site.node.text('coordinate_transformation_mode', 'half_pixel')} and "
        f"{site.node.text('nearest_mode', 'round_prefer_floor')}, which torch does not"
    )


def _rows(site: Site, old: int, new: int, scale: float) -> list[int]:
    """The row of the picture that each row of the result shows."""
    system = site.node.text("coordinate_transformation_mode", "half_pixel")
    rounding = site.node.text("nearest_mode", "round_prefer_floor")
    if rounding not in ROUNDED:
        raise site.refusal(f"has nearest_mode {rounding!r}")
    places = [_place(site, system, row, (old, new), scale) for row in range(new)]
    return [min(max(ROUNDED[rounding](place), 0), old - 1) for place in places]


def _place(site: Site, system: str, row: int, sizes: tuple[int, int], scale: float) -> float:
    """Where a row of the result lies in the picture."""
    if system == "asymmetric":
        return row / scale
    if system in CENTRES:
        return (row + 0.5) / scale - 0.5 if sizes[1] > 1 or system == "half_pixel" else 0.0
    if system == "align_corners":
        return row * (sizes[0] - 1) / (sizes[1] - 1) if sizes[1] > 1 else 0.0
    raise site.refusal(f"has coordinate_transformation_mode {system!r}")


def _torch_rows(old: int, new: int, shift: float) -> list[int]:
    return [min(floor((row + shift) * old / new), old - 1) for row in range(new)]


def nearest(x: Tensor, sizes: tuple[int, ...], mode: str) -> Tensor:
    """Nearest neighbours."""
    return interpolate(x, sizes, mode=mode)


def write_nearest(x: Tensor, sizes: tuple[int, ...], mode: str, *, out: Tensor) -> None:
    """Nearest neighbours of a picture into a buffer."""
    torch.ops.aten.upsample_nearest2d.out(x, sizes, None, None, out=out)


def _smooth(site: Site, sizes: tuple[int, ...], scales: tuple[float, ...], mode: str) -> Call:
    """Linear and cubic interpolation between the centres or the corners of pixels."""
    system = site.node.text("coordinate_transformation_mode", "half_pixel")
    known = MODES.get((mode, site.rank()))
    if known is None or system not in (*CENTRES, "align_corners"):
        raise site.refusal(f"has mode {mode!r}, {system!r} in {site.rank() - 2} dimensions")
    if system == "half_pixel" and mode == "linear" and 1 in sizes:
        raise site.refusal("resizes to one row by half_pixel")
    aligned = system == "align_corners"
    if aligned or site.has(3):
        return Call(interpolate, (X, sizes, None, known, aligned))
    return Call(interpolate, (X, None, scales, known, aligned))


RESIZE: Mapping[str, Operator] = MappingProxyType(
    {
        "Resize": Operator(
            resize,
            "axes coordinate_transformation_mode mode nearest_mode",
            {
                "antialias": 0,
                "cubic_coeff_a": -0.75,
                "exclude_outside": 0,
                "extrapolation_value": 0.0,
                "keep_aspect_ratio_policy": "stretch",
            },
        )
    }
)
