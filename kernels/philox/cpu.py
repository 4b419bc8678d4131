"""Philox on a CPU without allocation, bit for bit equal to the float32 reference.

For small latents a NumPy call costs more than its work, so a round is four calls on flat arrays.
Counter words (0, 2) share one uint64 array whose upper halves stay 0; the products' halves are
read through uint32 views. A round swaps the rows of a product, so rows alternate between (c0, c2)
and (c2, c0), and the low halves are read one row later, behind a copy of row 0: every view stays
one-dimensional. Large pieces run in blocks that stay in the cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.philox.reference import (
    INT_TO_UNIT,
    LATENT,
    MULTIPLIERS,
    ROUNDS,
    TURN,
    UNIFORM,
    UNIT_FLOOR,
    WEYL,
    check_piece,
    counter_words,
    key_words,
)

Array = NDArray[Any]

BLOCK = 4096  # elements; about 250 kB of workspace, inside a second-level cache
_LOW = int(sys.byteorder == "big")  # which uint32 of a uint64 is its low half
_SCALE, _FLOOR = np.float32(INT_TO_UNIT), np.float32(UNIT_FLOOR)
_TURN, _MINUS_TWO = np.float32(TURN), np.float32(-2.0)
_SIGN_BIT, _DROPPED_BITS, _UNIFORM_SCALE = np.int32(31), np.uint32(8), np.float32(2.0**-24)


@dataclass(frozen=True, slots=True)
class Round:
    """The views that one round reads and writes; `groups` is g."""

    multiplier: Array  # (2 g,) uint64
    product: Array  # (2 g,) uint64, rows 0 and 1 of a buffer of three rows
    row: Array  # (g,) uint64, row 0
    copy: Array  # (g,) uint64, row 2
    high: Array  # (2 g,) uint32, upper halves of rows 0 and 1
    odd: Array  # (2 g,) uint32, lower halves of rows 1 and 2 of the previous round's buffer
    key: Array  # (2 g,) uint32


@dataclass(frozen=True, slots=True)
class Workspace:
    """Buffers for pieces of up to `count` elements, computed in blocks of `block` elements."""

    count: int
    block: int
    even: Array  # (2, g) uint64, counter words 0 and 2
    products: Array  # (2, 3, g) uint64
    keys: Array  # (ROUNDS / 2, 2, 2, g) uint32
    rounds: tuple[Round, ...]
    places: Array  # (g,) uint64, 0 .. g - 1
    drawn: Array  # (2, 2, g) int32, words (0, 2) and (1, 3)
    floats: Array  # (2, 2, g) float32
    grid: Array  # (g, 4) float32, numbers in element order


def _key_steps() -> Array:
    """(ROUNDS / 2, 2, 2, 1) uint32: what each round adds to its two rows of the key."""
    step = np.arange(ROUNDS, dtype=np.uint64)[:, None] * np.array(WEYL, dtype=np.uint64)
    pairs = step.astype(np.uint32).reshape(ROUNDS // 2, 2, 2, 1)
    pairs[:, 0] = pairs[:, 0, ::-1]  # the first round of a pair yields the rows (c2, c0)
    return pairs


_KEY_STEPS = _key_steps()


def _rounds(products: Array, keys: Array) -> tuple[Round, ...]:
    groups = products.shape[2]
    multipliers = np.repeat(np.array(MULTIPLIERS, dtype=np.uint64)[:, None], groups, axis=1)
    forward, backward = multipliers.reshape(-1), multipliers[::-1].reshape(-1)
    flat = products.reshape(2, 3 * groups)
    halves = flat.view(np.uint32).reshape(2, 3 * groups, 2)
    rows = slice(0, 2 * groups)
    return tuple(
        Round(
            multiplier=backward if index % 2 else forward,
            product=flat[index % 2, rows],
            row=products[index % 2, 0],
            copy=products[index % 2, 2],
            high=halves[index % 2, rows, 1 - _LOW],
            odd=halves[1 - index % 2, groups:, _LOW],
            key=keys[index // 2, index % 2].reshape(-1),
        )
        for index in range(ROUNDS)
    )


def workspace(count: int) -> Workspace:
    """Buffers for `normals` and `uniforms` of up to count elements.

    Every call computes whole blocks of about count elements, so take one workspace per piece size.
    """
    blocks = max(1, -(-count // BLOCK))
    block = max(4, -(-count // (4 * blocks)) * 4)
    groups = block // 4 + 1  # one more for a first element that is no multiple of 4
    products = np.zeros((2, 3, groups), dtype=np.uint64)
    keys = np.zeros((ROUNDS // 2, 2, 2, groups), dtype=np.uint32)
    return Workspace(
        count=count,
        block=block,
        even=np.zeros((2, groups), dtype=np.uint64),
        products=products,
        keys=keys,
        rounds=_rounds(products, keys),
        places=np.arange(groups, dtype=np.uint64),
        drawn=np.zeros((2, 2, groups), dtype=np.int32),
        floats=np.zeros((2, 2, groups), dtype=np.float32),
        grid=np.zeros((groups, 4), dtype=np.float32),
    )


def _set_key(space: Workspace, seed: int) -> None:
    low, high = key_words(seed)
    key = np.array([[[high], [low]], [[low], [high]]], dtype=np.uint32)
    space.keys[...] = _KEY_STEPS + key  # adding into the large array would buffer its operands


def _draw(space: Workspace, group: int, fields: tuple[int, int, int]) -> None:
    """Philox words of one block of groups into `drawn`."""
    c1, c2, c3 = fields
    even = space.even.reshape(-1)
    low = even.view(np.uint32)[_LOW::2]
    np.add(space.places, group, out=space.even[0])
    space.even[1] = c2
    space.products[1, 1] = c3
    space.products[1, 2] = c1
    for turn in space.rounds:
        np.multiply(even, turn.multiplier, out=turn.product)
        turn.copy[:] = turn.row
        np.bitwise_xor(turn.high, turn.odd, out=low)
        np.bitwise_xor(low, turn.key, out=low)
    drawn = space.drawn.view(np.uint32).reshape(2, -1)
    drawn[0] = low
    drawn[1] = space.rounds[-1].product.view(np.uint32)[_LOW::2]


def _write_normals(space: Workspace) -> None:
    """Box-Muller from `drawn` into `grid`, in the order of the reference's roundings."""
    drawn, floats = space.drawn, space.floats
    spare = space.products.view(np.int32).reshape(-1)[: drawn.size].reshape(drawn.shape)
    np.right_shift(drawn, _SIGN_BIT, out=spare)
    np.bitwise_xor(drawn, spare, out=drawn)  # w if w >= 0 else -w - 1
    np.copyto(floats, drawn)
    np.multiply(floats, _SCALE, out=floats)
    radius, angle = floats
    np.maximum(radius, _FLOOR, out=radius)
    np.log(radius, out=radius)
    np.multiply(radius, _MINUS_TWO, out=radius)
    np.sqrt(radius, out=radius)
    np.multiply(angle, _TURN, out=angle)
    both = spare.view(np.float32)
    cosine, sine = both
    np.cos(angle, out=cosine)
    np.sin(angle, out=sine)
    np.multiply(radius, cosine, out=cosine)
    np.multiply(radius, sine, out=sine)
    space.grid.reshape(-1, 2, 2).T[...] = both  # (cos or sin, pair, group)


def _write_uniforms(space: Workspace) -> None:
    """(w >> 8) 2^-24 from `drawn` into `grid`."""
    drawn = space.drawn.view(np.uint32)
    np.right_shift(drawn, _DROPPED_BITS, out=drawn)
    np.copyto(space.floats, space.drawn)
    np.multiply(space.floats, _UNIFORM_SCALE, out=space.floats)
    space.grid.reshape(-1, 2, 2).T[...] = space.floats  # (first or second of a pair, pair, group)


def _fill(
    write: Callable[[Workspace], None],
    space: Workspace,
    out: Array,
    *,
    seed: int,
    first: int,
    fields: tuple[int, int, int],
) -> None:
    """Write elements first .. first + out.size - 1 block by block."""
    _set_key(space, seed)
    numbers = space.grid.reshape(-1)
    for done in range(0, out.size, space.block):
        group, skip = divmod(first + done, 4)
        _draw(space, group, fields)
        write(space)
        piece = out[done : done + space.block]
        np.copyto(piece, numbers[skip : skip + piece.size], casting="same_kind")


def _check(first: int, count: int, out: Array, space: Workspace) -> None:
    check_piece(first, count)
    if out.shape != (count,) or count > space.count:
        raise ValueError(
            f"{count} elements were asked; out has shape {out.shape} and the workspace holds "
            f"{space.count}. Take out of shape (count,) and workspace(count)."
        )


def normals(
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    count: int,
    purpose: int = LATENT,
    loop: int = 0,
    out: Array,
    workspace: Workspace,
) -> None:
    """Write standard normals of elements first .. first + count - 1 into out; see the reference.

    Args:
        seed: of the request, 0 .. 2^64 - 1.
        draw: index of the draw inside the loop.
        image: picture of the request.
        first: element of the whole flat latent.
        count: elements.
        purpose: low byte of counter word 2.
        loop: number of the loop in the program.
        out: (count,) of any float type; float32 is bit for bit the reference.
        workspace: of at least count elements.

    Raises:
        ValueError: a number outside its range, or out or workspace of the wrong size.
    """
    _check(first, count, out, workspace)
    fields = counter_words(draw, image, purpose, loop)
    _fill(_write_normals, workspace, out, seed=seed, first=first, fields=fields)


def uniforms(
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    count: int,
    purpose: int = UNIFORM,
    loop: int = 0,
    out: Array,
    workspace: Workspace,
) -> None:
    """Write uniforms in [0, 1) of elements first .. first + count - 1 into out; see the reference.

    Args:
        seed: of the request, 0 .. 2^64 - 1.
        draw: index of the draw inside the loop.
        image: picture of the request.
        first: element of the whole flat latent.
        count: elements.
        purpose: low byte of counter word 2.
        loop: number of the loop in the program.
        out: (count,) of any float type; float32 is bit for bit the reference.
        workspace: of at least count elements.

    Raises:
        ValueError: a number outside its range, or out or workspace of the wrong size.
    """
    _check(first, count, out, workspace)
    fields = counter_words(draw, image, purpose, loop)
    _fill(_write_uniforms, workspace, out, seed=seed, first=first, fields=fields)
