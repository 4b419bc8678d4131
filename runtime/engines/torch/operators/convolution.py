"""Convolutions and pooling in one to three dimensions; torch's allocator serves their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import (
    Call,
    Function,
    Operator,
    Site,
    X,
    Y,
)

MOST_DIMENSIONS = 3
AVERAGES = (
    torch.nn.functional.avg_pool1d,
    torch.nn.functional.avg_pool2d,
    torch.nn.functional.avg_pool3d,
)
LARGEST = (
    torch.nn.functional.max_pool1d,
    torch.nn.functional.max_pool2d,
    torch.nn.functional.max_pool3d,
)

Pairs = tuple[tuple[int, int], ...]


def convolution(site: Site) -> Call:
    """A convolution with pads that may differ from side to side."""
    kernel, (strides, dilations) = site.shape(1)[2:], _steps(site)
    pads = _pads(site, kernel, strides, dilations)
    plain, padding = _symmetric(pads)
    group = site.node.integer("group", 1)
    _check_dimensions(site)
    none = (0,) * len(kernel)
    if plain:
        options = (strides, padding, dilations, False, none, group)
        return Call(convolve, (X, Y, site.optional(2), *options))
    widths = tuple(width for pair in reversed(pads) for width in pair)
    options = (strides, none, dilations, False, none, group)
    return Call(padded_convolution, (X, Y, widths, site.optional(2), *options))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *options: object) -> Tensor:
    """A convolution in the full precision of its type.

    torch's public functions read global switches, and by default compute float32 in TF32 on CUDA;
    this form takes the choice with the call. cuDNN times its kernels at the first call of a shape.

    Args:
        x: (lanes, C, ...).
        weight: of the file.
        bias: (channels,) or None.
        options: strides, padding, dilations, whether it is transposed, output padding, group.
    """
    return SWITCHED(x, weight, bias, *options, **SWITCHES)


SWITCHED: Callable[..., Tensor] = torch._convolution
SWITCHES: Mapping[str, bool] = MappingProxyType(
    {"benchmark": True, "deterministic": False, "cudnn_enabled": True, "allow_tf32": False}
)


def padded_convolution(
    x: Tensor, weight: Tensor, widths: tuple[int, ...], bias: Tensor | None, *options: object
) -> Tensor:
    """Pad with zeros, then convolve."""
    return convolve(torch.nn.functional.pad(x, widths), weight, bias, *options)


def transposed(site: Site) -> Call:
    """The transposed convolution; pads cut the result."""
    kernel, (strides, dilations) = site.shape(1)[2:], _steps(site)
    pads = _explicit(site, len(kernel))
    extra = site.node.integers("output_padding") or (0,) * len(kernel)
    plain, padding = _symmetric(pads)
    group = site.node.integer("group", 1)
    _check_dimensions(site)
    if plain:
        options = (strides, padding, dilations, True, extra, group)
        return Call(convolve, (X, Y, site.optional(2), *options))
    none = (0,) * len(kernel)
    options = (strides, none, dilations, True, extra, group)
    return Call(cut_transposed, (X, Y, pads, site.optional(2), *options))


def cut_transposed(
    x: Tensor, weight: Tensor, pads: Pairs, bias: Tensor | None, *options: object
) -> Tensor:
    """A transposed convolution without pads, cut by pads that differ from side to side."""
    found = convolve(x, weight, bias, *options)
    for axis, (before, after) in enumerate(pads, 2):
        found = found.narrow(axis, before, found.shape[axis] - before - after)
    return found


def _check_dimensions(site: Site) -> int:
    """How many there are besides lanes and channels.

    Raises:
        BuildError: there are more than three.
    """
    dimensions = site.rank() - 2
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise site.refusal(f"has {dimensions} dimensions; the torch engine knows one to three")
    return dimensions


def pooled(functions: Sequence[Function], site: Site) -> Call:
    """The mean or the largest element of each window."""
    kernel = site.node.integers("kernel_shape")
    strides, dilations = _steps(site, len(kernel))
    plain, padding = _symmetric(_pads(site, kernel, strides, dilations))
    if not plain:
        raise site.refusal("pads its two sides differently")
    function = functions[_check_dimensions(site) - 1]
    ceiling = site.node.integer("ceil_mode", 0) == 1
    if functions is LARGEST:
        return Call(function, (X, kernel, strides, padding, dilations, ceiling))
    counted = site.node.integer("count_include_pad", 0) == 1
    if any(step != 1 for step in dilations):
        raise site.refusal("has dilations")
    return Call(function, (X, kernel, strides, padding, ceiling, counted))


def global_mean(site: Site) -> Call:
    """The mean over all but the first two dimensions."""
    dims = tuple(range(2, site.rank()))
    return Call(torch.mean, (X, dims), {"keepdim": True}, writer=torch.mean)


def global_largest(site: Site) -> Call:
    """The largest element over all but the first two dimensions."""
    dims = tuple(range(2, site.rank()))
    return Call(torch.amax, (X, dims), {"keepdim": True}, writer=torch.amax)


def _steps(site: Site, dimensions: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and dilations."""
    ones = (1,) * (dimensions or site.rank() - 2)
    return site.node.integers("strides") or ones, site.node.integers("dilations") or ones


def _explicit(site: Site, dimensions: int) -> Pairs:
    if site.node.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise site.refusal("has auto_pad; give it pads")
    pads = site.node.integers("pads") or (0,) * (2 * dimensions)
    return tuple(zip(pads[:dimensions], pads[dimensions:], strict=True))


def _pads(
    site: Site, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pairs:
    """Pads before and after each dimension."""
    mode = site.node.text("auto_pad", "NOTSET")
    if not mode.startswith("SAME"):
        return _explicit(site, len(kernel))
    found = []
    for size, width, stride, dilation in zip(
        site.shape()[2:], kernel, strides, dilations, strict=True
    ):
        count = -(-size // stride)
        total = max(0, (count - 1) * stride + dilation * (width - 1) + 1 - size)
        less, more = total // 2, total - total // 2
        found.append((less, more) if mode == "SAME_UPPER" else (more, less))
    return tuple(found)


def _symmetric(pads: Pairs) -> tuple[bool, tuple[int, ...]]:
    """Whether both sides have the same pads, and those before."""
    return all(before == after for before, after in pads), tuple(before for before, _ in pads)


WINDOW = "auto_pad dilations kernel_shape pads strides"

CONVOLUTION: Mapping[str, Operator] = MappingProxyType(
    {
        "AveragePool": Operator(partial(pooled, AVERAGES), f"{WINDOW} ceil_mode count_include_pad"),
        "Conv": Operator(convolution, f"{WINDOW} group"),
        "ConvTranspose": Operator(transposed, f"{WINDOW} group output_padding"),
        "GlobalAveragePool": Operator(global_mean),
        "GlobalMaxPool": Operator(global_largest),
        "MaxPool": Operator(partial(pooled, LARGEST), f"{WINDOW} ceil_mode", {"storage_order": 0}),
    }
)
