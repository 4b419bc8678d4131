"""Philox on a GPU: words, normals and uniforms of whole groups, and kernels that store them.

`philox4x32` and `normal4` are the device functions that other kernels call. Every rounding that the
specification names is kept: a product feeds `tl.fma` as its addend, never as a product that a
compiler may contract, so the result depends on the device alone, not on the kernel around it.
"""

import triton
import triton.language as tl

from denoisert.kernels.philox import reference

ROUNDS: tl.constexpr = tl.constexpr(reference.ROUNDS)
MULTIPLIER_0: tl.constexpr = tl.constexpr(reference.MULTIPLIERS[0])
MULTIPLIER_2: tl.constexpr = tl.constexpr(reference.MULTIPLIERS[1])
WEYL_0: tl.constexpr = tl.constexpr(reference.WEYL[0])
WEYL_1: tl.constexpr = tl.constexpr(reference.WEYL[1])
INT_TO_UNIT: tl.constexpr = tl.constexpr(reference.INT_TO_UNIT)
UNIT_FLOOR: tl.constexpr = tl.constexpr(reference.UNIT_FLOOR)
TURN: tl.constexpr = tl.constexpr(reference.TURN)
UNIFORM_SCALE: tl.constexpr = tl.constexpr(2.0**-24)

# pi / 2 = HIGH + LOW to 42 bits. HIGH has 12, so k HIGH is exact for k = 0 .. 4, and so is angle -
# k HIGH, since the two are within a factor of 2 (Sterbenz).
QUARTERS: tl.constexpr = tl.constexpr(0.6366197723675814)  # 2 / pi
MINUS_HIGH: tl.constexpr = tl.constexpr(-1.57080078125)
MINUS_LOW: tl.constexpr = tl.constexpr(4.454455103380768e-06)

# sin r = r + r^3 (S3 + S5 r^2 + S7 r^4), cos r = 1 - r^2 / 2 + r^4 (C4 + C6 r^2 + C8 r^4) on
# |r| <= pi / 4, minimax, below 3e-9 absolute. Source: Moshier, Cephes 2.2 (1992), sinf.c.
S3: tl.constexpr = tl.constexpr(-1.6666654611e-1)
S5: tl.constexpr = tl.constexpr(8.3321608736e-3)
S7: tl.constexpr = tl.constexpr(-1.9515295891e-4)
C4: tl.constexpr = tl.constexpr(4.166664568298827e-2)
C6: tl.constexpr = tl.constexpr(-1.388731625493765e-3)
C8: tl.constexpr = tl.constexpr(2.443315711809948e-5)


@triton.jit
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 of counters and key, equal to `reference.words` bit for bit.

    Args:
        c0: counter word, int32 or uint32, a tensor or scalar; likewise c1, c2, c3, k0 and k1.
        c1: the draw.
        c2: purpose + 256 loop.
        c3: the image.
        k0: low word of the seed.
        k1: high word of the seed.

    Returns:
        Four uint32 tensors.
    """
    c0 = tl.cast(c0, tl.uint32, bitcast=True)
    c1 = tl.cast(c1, tl.uint32, bitcast=True)
    c2 = tl.cast(c2, tl.uint32, bitcast=True)
    c3 = tl.cast(c3, tl.uint32, bitcast=True)
    k0 = tl.cast(k0, tl.uint32, bitcast=True)
    k1 = tl.cast(k1, tl.uint32, bitcast=True)
    for _ in tl.static_range(ROUNDS):
        left = c0
        right = c2
        c0 = tl.umulhi(right, MULTIPLIER_2) ^ c1 ^ k0
        c2 = tl.umulhi(left, MULTIPLIER_0) ^ c3 ^ k1
        c1 = tl.mul(right, MULTIPLIER_2, sanitize_overflow=False)
        c3 = tl.mul(left, MULTIPLIER_0, sanitize_overflow=False)
        k0 = tl.add(k0, WEYL_0, sanitize_overflow=False)
        k1 = tl.add(k1, WEYL_1, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def sine_cosine(angle):
    """Sine and cosine of 0 <= angle <= 2 pi, float32, within 1.5 ulp of 1.

    One reduction by k quarter turns serves both; libdevice's own carries a path for huge angles
    that needs local memory.
    """
    k = tl.floor(tl.fma(angle, QUARTERS, 0.5))
    rest = tl.fma(k, MINUS_LOW, tl.fma(k, MINUS_HIGH, angle))
    square = rest * rest
    sine = tl.fma(tl.fma(tl.fma(square, S7, S5), square, S3), square * rest, rest)
    cosine = tl.fma(tl.fma(tl.fma(square, C8, C6), square, C4), square, -0.5)
    cosine = tl.fma(cosine, square, 1.0)
    quarter = k.to(tl.int32)
    is_odd = (quarter & 1) != 0
    first = tl.where(is_odd, cosine, sine)
    second = tl.where(is_odd, sine, cosine)
    first = tl.where((quarter & 2) != 0, -first, first)  # k = 2, 3
    second = tl.where(((quarter + 1) & 2) != 0, -second, second)  # k = 1, 2
    return first, second


@triton.jit
def unit(word):
    """The float32 u in [0, 1) of a uint32 word: INT_TO_UNIT (w if w >= 0 else -w - 1) as int32."""
    signed = word.to(tl.int32, bitcast=True)
    return (signed ^ (signed >> 31)).to(tl.float32) * INT_TO_UNIT


@triton.jit
def box_muller(a, b):
    """Two normals of two uint32 words: radius(a) cos(angle(b)), radius(a) sin(angle(b))."""
    radius = tl.sqrt_rn(-2.0 * tl.log(tl.maximum(unit(a), UNIT_FLOOR)))
    sine, cosine = sine_cosine(unit(b) * TURN)
    return radius * cosine, radius * sine


@triton.jit
def normal4(c0, c1, c2, c3, k0, k1):
    """The four normals of every group: elements 4 c0 .. 4 c0 + 3 of a draw.

    Args:
        c0: (G,) int32 or uint32, numbers of groups.
        c1: the draw; it and the rest are scalars or (G,), int32 or uint32.
        c2: purpose + 256 loop.
        c3: the image.
        k0: low word of the seed.
        k1: high word of the seed.

    Returns:
        Four float32 tensors (G,), within 2e-6 of `reference.normals`.
    """
    w0, w1, w2, w3 = philox4x32(c0, c1, c2, c3, k0, k1)
    n0, n1 = box_muller(w0, w1)
    n2, n3 = box_muller(w2, w3)
    return n0, n1, n2, n3


@triton.jit
def tile_groups(group, BLOCK: tl.constexpr):
    """Numbers of the groups of this program's tile; the sum wraps at 2^32 as the counter does."""
    return group + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def store_groups(out_ptr, values, count, skip, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """Store four tensors (BLOCK,) as neighbours, out[4 g + j - skip] = values[j][g].

    Args:
        out_ptr: (count,).
        values: four tensors of out's type.
        count: elements of out.
        skip: elements of the first group that come before out; 0 if ALIGNED.
        BLOCK: groups of a program.
        ALIGNED: out lies on 16 bytes and starts with a group, so a group is one 16-byte store.
    """
    evens = tl.join(values[0], values[2])
    odds = tl.join(values[1], values[3])
    tile = tl.reshape(tl.join(evens, odds), [4 * BLOCK])
    place = tl.program_id(0) * (4 * BLOCK) + tl.arange(0, 4 * BLOCK)
    if ALIGNED:
        # The hint stands on the sum: Triton drops one that stands on an argument.
        pointers = tl.multiple_of(out_ptr + place, [16])
        if (tl.program_id(0) + 1) * (4 * BLOCK) <= count:
            # A full tile needs no mask; one with an odd count would cut the stores to 4 bytes.
            tl.store(pointers, tile)
        else:
            tl.store(pointers, tile, mask=place < count)
    else:
        place -= skip
        # The first group may begin before out, the last may end behind it.
        tl.store(out_ptr + place, tile, mask=(place >= 0) & (place < count))


RUN_TIME = ("out_ptr", "count", "skip", "group", "c1", "c2", "c3", "k0", "k1")


@triton.jit(do_not_specialize=RUN_TIME)
def normals_kernel(
    out_ptr, count, skip, group, c1, c2, c3, k0, k1, BLOCK: tl.constexpr, ALIGNED: tl.constexpr
):
    """Write float32 normals of elements 4 group + skip .. + count - 1."""
    values = normal4(tile_groups(group, BLOCK), c1, c2, c3, k0, k1)
    store_groups(out_ptr, values, count, skip, BLOCK, ALIGNED)


@triton.jit(do_not_specialize=RUN_TIME)
def uniforms_kernel(
    out_ptr, count, skip, group, c1, c2, c3, k0, k1, BLOCK: tl.constexpr, ALIGNED: tl.constexpr
):
    """Write float32 uniforms (w >> 8) 2^-24 of elements 4 group + skip .. + count - 1."""
    w0, w1, w2, w3 = philox4x32(tile_groups(group, BLOCK), c1, c2, c3, k0, k1)
    u0 = (w0 >> 8).to(tl.float32) * UNIFORM_SCALE
    u1 = (w1 >> 8).to(tl.float32) * UNIFORM_SCALE
    u2 = (w2 >> 8).to(tl.float32) * UNIFORM_SCALE
    u3 = (w3 >> 8).to(tl.float32) * UNIFORM_SCALE
    store_groups(out_ptr, (u0, u1, u2, u3), count, skip, BLOCK, ALIGNED)


@triton.jit(do_not_specialize=RUN_TIME)
def words_kernel(
    out_ptr, count, skip, group, c1, c2, c3, k0, k1, BLOCK: tl.constexpr, ALIGNED: tl.constexpr
):
    """Write the words, as int32, of elements 4 group + skip .. + count - 1."""
    w0, w1, w2, w3 = philox4x32(tile_groups(group, BLOCK), c1, c2, c3, k0, k1)
    w0 = w0.to(tl.int32, bitcast=True)
    w1 = w1.to(tl.int32, bitcast=True)
    w2 = w2.to(tl.int32, bitcast=True)
    w3 = w3.to(tl.int32, bitcast=True)
    store_groups(out_ptr, (w0, w1, w2, w3), count, skip, BLOCK, ALIGNED)
