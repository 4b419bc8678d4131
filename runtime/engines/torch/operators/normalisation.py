"""Normalisations; torch accumulates their moments in float32 for the half types."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import (
    Call,
    Operand,
    Operator,
    Site,
    X,
    Y,
    Z,
)

PER_CHANNEL_SINCE = 21
"""The opset from which GroupNormalization has a scale per channel, before it one per group."""


def layer(site: Site) -> Call:
    """(x - mean) / sqrt(var + epsilon) scale + bias, over the dimensions from an axis on."""
    sizes, epsilon = _normalised(site), site.node.number("epsilon", 1e-5)
    if all(site.shape(i) == sizes for i in (1, 2) if site.has(i)):
        return Call(torch.layer_norm, (X, sizes, Y, site.optional(2), epsilon))
    return Call(layer_broadcast, (X, sizes, Y, site.optional(2), epsilon))


def layer_broadcast(
    x: Tensor, sizes: tuple[int, ...], scale: Tensor, bias: Tensor | None, epsilon: float
) -> Tensor:
    """A layer normalisation whose scale is broadcast."""
    found = torch.layer_norm(x, sizes, eps=epsilon) * scale
    return found if bias is None else found + bias


def root_mean_square(site: Site) -> Call:
    """x / sqrt(mean(x^2) + epsilon) scale, over the dimensions from an axis on."""
    sizes, epsilon = _normalised(site), site.node.number("epsilon", 1e-5)
    if site.shape(1) == sizes:
        return Call(torch.rms_norm, (X, sizes, Y, epsilon))
    return Call(root_broadcast, (X, sizes, Y, epsilon))


def root_broadcast(x: Tensor, sizes: tuple[int, ...], scale: Tensor, epsilon: float) -> Tensor:
    """A root mean square normalisation whose scale is broadcast."""
    return torch.rms_norm(x, sizes, eps=epsilon) * scale


def _normalised(site: Site) -> tuple[int, ...]:
    return site.shape()[site.axis(-1) :]


def group(site: Site) -> Call:
    """(x - mean) / sqrt(var + epsilon) scale + bias, over each group of channels."""
    groups, epsilon = site.node.integer("num_groups", 1), site.node.number("epsilon", 1e-5)
    if site.opset >= PER_CHANNEL_SINCE:
        return Call(torch.group_norm, (X, groups, Y, Z, epsilon))
    return Call(group_per_group, (X, groups, Y, Z, epsilon))


def group_per_group(x: Tensor, groups: int, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """A group normalisation with one scale and one bias per group."""
    channels = x.shape[1] // groups
    wide_scale = scale[:, None].expand(-1, channels).reshape(-1)
    wide_bias = bias[:, None].expand(-1, channels).reshape(-1)
    return torch.group_norm(x, groups, wide_scale, wide_bias, epsilon)


def instance(site: Site) -> Call:
    """A group normalisation of groups of one channel."""
    channels, epsilon = site.shape()[1], site.node.number("epsilon", 1e-5)
    return Call(torch.group_norm, (X, channels, Y, Z, epsilon))


def batch(site: Site) -> Call:
    """(x - mean) / sqrt(var + epsilon) scale + bias with moments from the file."""
    moments = (Operand(3), Operand(4))
    epsilon = site.node.number("epsilon", 1e-5)
    return Call(fixed_moments, (X, Y, Z, *moments, epsilon))


def fixed_moments(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> Tensor:
    """A normalisation of the channels by given moments."""
    return torch.batch_norm(x, scale, bias, mean, variance, False, 0.0, epsilon, False)


def length(site: Site) -> Call:
    """x over its norm along an axis; 0 where the norm is 0."""
    return Call(unit_length, (X, site.axis(-1), site.node.integer("p", 2)))


def unit_length(x: Tensor, axis: int, p: int) -> Tensor:
    """x over its norm."""
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


STASH = MappingProxyType({"stash_type": 1})

NORMALISATION: Mapping[str, Operator] = MappingProxyType(
    {
        "BatchNormalization": Operator(batch, "epsilon momentum", {"training_mode": 0}),
        "GroupNormalization": Operator(group, "epsilon num_groups", STASH),
        "InstanceNormalization": Operator(instance, "epsilon"),
        "LayerNormalization": Operator(layer, "axis epsilon", STASH),
        "LpNormalization": Operator(length, "axis p"),
        "RMSNormalization": Operator(root_mean_square, "axis epsilon", STASH),
    }
)
