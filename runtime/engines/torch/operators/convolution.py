"""Convolutions and pooling in one to three dimensions; torch's allocator serves their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
TRANSPOSED = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
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
    function = site_function(site, CONVOLUTIONS)
    if plain:
        return Call(function, (X, Y, site.optional(2), strides, padding, dilations, group))
    widths = tuple(width for pair in reversed(pads) for width in pair)
    arguments = (X, Y, widths, site.optional(2), strides, dilations, group)
    return Call(padded_convolution, arguments)


def padded_convolution(
    x: Tensor, weight: Tensor, widths: tuple[int, ...], *options: object
) -> Tensor:
    """Pad with zeros, then convolve; options are bias, strides, dilations and group."""
    bias, strides, dilations, group = options
    wider = torch.nn.functional.pad(x, widths)
    convolve: Function = CONVOLUTIONS[x.dim() - 3]
    found: Tensor = convolve(wider, weight, bias, strides, 0, dilations, group)
    return found


def transposed(site: Site) -> Call:
    """The transposed convolution; pads cut the result."""
    kernel, (strides, dilations) = site.shape(1)[2:], _steps(site)
    pads = _explicit(site, len(kernel))
    extra = site.node.integers("output_padding") or (0,) * len(kernel)
    plain, padding = _symmetric(pads)
    group = site.node.integer("group", 1)
    function = site_function(site, TRANSPOSED)
    options = (X, Y, site.optional(2), strides)
    if plain:
        return Call(function, (*options, padding, extra, group, dilations))
    return Call(cut_transposed, (X, Y, pads, *options[2:], extra, group, dilations))


def cut_transposed(x: Tensor, weight: Tensor, pads: Pairs, *options: object) -> Tensor:
    """A transposed convolution without pads, cut by pads that differ from side to side."""
    bias, strides, extra, group, dilations = options
    convolve: Function = TRANSPOSED[x.dim() - 3]
    found: Tensor = convolve(x, weight, bias, strides, 0, extra, group, dilations)
    for axis, (before, after) in enumerate(pads, 2):
        found = found.narrow(axis, before, found.shape[axis] - before - after)
    return found


def site_function(site: Site, functions: Sequence[Function]) -> Function:
    """The function for the number of dimensions.

    Raises:
        BuildError: there are more than three.
    """
    dimensions = site.rank() - 2
    if not 1 <= dimensions <= len(functions):
        raise site.refusal(f"has {dimensions} dimensions; the torch engine knows one to three")
    return functions[dimensions - 1]


def pooled(functions: Sequence[Function], site: Site) -> Call:
    """The mean or the largest element of each window."""
    kernel = site.node.integers("kernel_shape")
    strides, dilations = _steps(site, len(kernel))
    plain, padding = _symmetric(_pads(site, kernel, strides, dilations))
    if not plain:
        raise site.refusal("pads its two sides differently")
    function = site_function(site, functions)
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
