"""The specification of noise: a pure function of seed, place and purpose.

Philox is a keyed bijection of 128-bit counters, so every number of every latent can be had alone,
in any order and on any device. Four words give the four numbers of one *group*: elements 4 i .. 4 i
+ 3 of the whole flat latent.

Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LATENT, CONDITION, CODEC, UNIFORM = range(4)  # purposes, the low byte of counter word 2

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # of counter words 0 and 2
WEYL = (0x9E3779B9, 0xBB67AE85)  # added to the key after every round
INT_TO_UNIT = 4.6566127342e-10  # slightly less than 2^-31: the largest word stays below 1
UNIT_FLOOR = 1e-7  # keeps the logarithm finite, the radius below 5.68
TURN = 6.283185307179586

_WORD = 1 << 32


def words(counter: NDArray[np.uint32], key: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Philox4x32-10, ten rounds of (hi, lo are the halves of a 64-bit product).

    c0, c1, c2, c3 = hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)

    Args:
        counter: (..., 4) uint32.
        key: (2,) uint32, low word first.

    Returns:
        (..., 4) uint32.

    Source: Salmon et al. 2011, section 3.3; word order as in Random123.
    """
    low, shift = np.uint64(_WORD - 1), np.uint64(32)
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)
    m0, m1 = (np.uint64(multiplier) for multiplier in MULTIPLIERS)
    for index in range(ROUNDS):
        k0, k1 = (
            np.uint64((int(word) + index * step) % _WORD)
            for word, step in zip(key, WEYL, strict=True)
        )
        left, right = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (
            (right >> shift) ^ c1 ^ k0,
            right & low,
            (left >> shift) ^ c3 ^ k1,
            left & low,
        )
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def key_words(seed: int) -> tuple[int, int]:
    """Low and high word of a seed, the Philox key.

    Raises:
        ValueError: seed outside 0 .. 2^64 - 1.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} is outside 0 .. 2^64 - 1; take a seed modulo 2^64.")
    return seed % _WORD, seed >> 32


def counter_words(draw: int, image: int, purpose: int, loop: int) -> tuple[int, int, int]:
    """Counter words 1, 2 and 3 of a draw: draw, purpose + 256 loop, image.

    Raises:
        ValueError: a number that does not fit its bits (32, 32, 8 and 24).
    """
    fits = 0 <= draw < _WORD and 0 <= image < _WORD and 0 <= purpose < 256 and 0 <= loop < 1 << 24
    if not fits:
        raise ValueError(
            f"draw {draw}, image {image}, purpose {purpose}, loop {loop} must be at least 0 "
            "and below 2^32, 2^32, 256 and 2^24."
        )
    return draw, purpose + 256 * loop, image


def check_piece(first: int, count: int) -> None:
    """Refuse a piece of a latent that no counter can name.

    Raises:
        ValueError: negative first or count, or an end beyond 2^34 elements.
    """
    if first < 0 or count < 0 or first + count > 4 * _WORD:
        raise ValueError(f"elements {first} .. {first + count} are outside a latent of 2^34.")


def _groups(
    seed: int, first: int, count: int, *, draw: int, image: int, purpose: int, loop: int
) -> NDArray[np.uint32]:
    """Words (groups, 4) of the groups that hold elements first .. first + count - 1."""
    check_piece(first, count)
    group = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint32)
    fields = counter_words(draw, image, purpose, loop)
    rest = np.broadcast_to(np.array(fields, dtype=np.uint32), (group.size, 3))
    counter = np.concatenate([group[:, None], rest], axis=1)
    return words(counter, np.array(key_words(seed), dtype=np.uint32))


def box_muller(drawn: NDArray[np.uint32], dtype: DTypeLike) -> NDArray[Any]:
    """Four normals from the four words of a group.

    Word w, read as int32, becomes u = INT_TO_UNIT (w if w >= 0 else -w - 1).
    Words (a, b) = (0, 1) and (2, 3) become radius cos(angle), radius sin(angle), where
    radius = sqrt(-2 ln max(u_a, UNIT_FLOOR)), angle = TURN u_b.

    Args:
        drawn: (groups, 4) uint32.
        dtype: of everything after u, which is float32.

    Returns:
        (groups, 4) of dtype.

    Source: Box and Muller 1958, "A note on the generation of random normal deviates".
    """
    signed = drawn.view(np.int32)
    unit = np.where(signed >= 0, signed, ~signed).astype(np.float32) * np.float32(INT_TO_UNIT)
    pairs = unit.reshape(-1, 2, 2)
    above = np.maximum(pairs[..., 0], np.float32(UNIT_FLOOR)).astype(dtype)
    # A Python number takes the array's type, so every product rounds in dtype.
    radius = np.sqrt(-2.0 * np.log(above))
    angle = TURN * pairs[..., 1].astype(dtype)
    both: NDArray[Any] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return both.reshape(-1, 4)


def normals(
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    count: int,
    purpose: int = LATENT,
    loop: int = 0,
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Standard normals of elements first .. first + count - 1 of one draw.

    Element e takes number e % 4 of `box_muller` of the words of counter (e // 4, ...).

    Args:
        seed: of the request, 0 .. 2^64 - 1.
        draw: index of the draw inside the loop, 0 .. 2^32 - 1.
        image: picture of the request, 0 .. 2^32 - 1.
        first: element of the whole flat latent, 0 .. 2^34 - 1; need not be a multiple of 4.
        count: elements.
        purpose: 0 .. 255, one of LATENT, CONDITION, CODEC.
        loop: number of the loop in the program, 0 .. 2^24 - 1.
        dtype: float32 is the specification; float64 continues from the same u and is the truth
            that tolerances are measured against.

    Returns:
        (count,) of dtype.

    Raises:
        ValueError: a number outside its range.
    """
    drawn = _groups(seed, first, count, draw=draw, image=image, purpose=purpose, loop=loop)
    return box_muller(drawn, dtype).reshape(-1)[first % 4 :][:count]


def uniforms(
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    count: int,
    purpose: int = UNIFORM,
    loop: int = 0,
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Uniform numbers in [0, 1) of elements first .. first + count - 1 of one draw: (w >> 8) 2^-24.

    Args:
        seed: of the request, 0 .. 2^64 - 1.
        draw: index of the draw inside the loop, 0 .. 2^32 - 1.
        image: picture of the request, 0 .. 2^32 - 1.
        first: element of the whole flat latent, 0 .. 2^34 - 1; need not be a multiple of 4.
        count: elements.
        purpose: 0 .. 255; UNIFORM by the layout of the counter.
        loop: number of the loop in the program, 0 .. 2^24 - 1.
        dtype: exact in float32 and wider types.

    Returns:
        (count,) of dtype.

    Raises:
        ValueError: a number outside its range.
    """
    drawn = _groups(seed, first, count, draw=draw, image=image, purpose=purpose, loop=loop)
    unit = (drawn >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return unit.reshape(-1)[first % 4 :][:count].astype(dtype)
