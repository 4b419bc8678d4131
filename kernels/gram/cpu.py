"""Gram on a CPU without allocation: blocks in float64 with a row of ones, so sums are products.

Every sum runs in one fixed order that depends on the shape only (`einsum` calls no threaded
library here), so a result repeats bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.gram.reference import check_channels

Array = NDArray[Any]

BLOCK = 4096  # elements a time; five float64 rows of it stay in a second-level cache


class Workspace(NamedTuple):
    """Buffers for M vectors of any length."""

    block: Array  # (M + 1, BLOCK) float64, last row ones
    part: Array  # (M + 1, M + 1) float64, products of one block
    total: Array  # (M + 1, M + 1) float64


def workspace(vectors: int) -> Workspace:
    """Buffers for `gram` of that many vectors."""
    size = vectors + 1
    block = np.ones((size, BLOCK))
    return Workspace(block, np.zeros((size, size)), np.zeros((size, size)))


def narrowed(space: Workspace, vectors: int) -> Workspace:
    """A workspace for fewer vectors that shares the large buffer; calls must take turns."""
    size = vectors + 1
    return Workspace(space.block[-size:], np.zeros((size, size)), np.zeros((size, size)))


def gram(
    vectors: Array, channels: int = 1, *, out: tuple[Array, Array], workspace: Workspace
) -> None:
    """Write products and sums of M flat vectors, per channel; see the reference.

    Args:
        vectors: (M, n) of any float type, channels first.
        channels: 1 for products over whole vectors.
        out: products (channels, M, M) and sums (channels, M), float64.
        workspace: made for M vectors.

    Raises:
        ValueError: n not divisible by channels, or out or workspace made for another M.
    """
    count, elements = vectors.shape
    check_channels(elements, channels)
    products, sums = out
    expected = ((channels, count, count), (channels, count), count + 1)
    if (products.shape, sums.shape, len(workspace.block)) != expected:
        raise ValueError(
            f"{count} vectors in {channels} channels do not fit out {products.shape}, {sums.shape} "
            f"and a workspace for {len(workspace.block) - 1} vectors."
        )
    size = elements // channels
    for channel in range(channels):
        start = channel * size
        _accumulate(vectors[:, start : start + size], workspace)
        products[channel] = workspace.total[:count, :count]
        sums[channel] = workspace.total[:count, count]


def _accumulate(vectors: Array, space: Workspace) -> None:
    """Products of the vectors and of a row of ones into `total`."""
    count, size = vectors.shape
    space.total.fill(0.0)
    for start in range(0, size, BLOCK):
        piece = vectors[:, start : start + BLOCK]
        block = space.block[:, : piece.shape[1]]
        np.copyto(block[:count], piece)
        np.einsum("ix,jx->ij", block, block, out=space.part)
        np.add(space.total, space.part, out=space.total)
