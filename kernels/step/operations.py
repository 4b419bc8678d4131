"""Device code: what is not linear in the columns, operations and products."""

import triton
import triton.language as tl

from denoisert.kernels.step import record as r
from denoisert.kernels.step.columns import add_column, load_column
from denoisert.kernels.step.form import VECTORS as VECTOR_ROWS
from denoisert.kernels.step.row import Operation

OPERATIONS = tl.constexpr(r.OPERATIONS)
PRODUCTS = tl.constexpr(r.PRODUCTS)
PRODUCT = tl.constexpr(r.PRODUCT)
VECTORS = tl.constexpr(VECTOR_ROWS)
CLIP = tl.constexpr(int(Operation.CLIP))
DYNAMIC_THRESHOLD = tl.constexpr(int(Operation.DYNAMIC_THRESHOLD))
REFLECT = tl.constexpr(int(Operation.REFLECT))
EXP_HALF = tl.constexpr(int(Operation.EXP_HALF))


@triton.jit
def exp_half(u):
    """exp(u / 2) within 2 ulp: u / 2 = n ln 2 + rest, so the device's exp2 sees |rest| <= 0.35."""
    half = tl.minimum(tl.maximum(u * 0.5, -104.0), 89.0)
    n = tl.floor(tl.fma(half, 1.4426950408889634, 0.5))
    rest = tl.fma(n, -0.693359375, half)  # 9 bits: n times it is exact
    rest = tl.fma(n, 2.12194440e-4, rest)
    part = tl.floor(n * 0.5)  # in two factors, as 2^n may be beyond float32
    value = tl.exp(rest) * tl.exp2(part) * tl.exp2(n - part)
    return tl.where(u == u, value, u)


@triton.jit
def operate(u, code, a, b, threshold):
    """D = op(U; a, b), see `row.Operation`; NaN stays NaN."""
    if code == CLIP:
        u = tl.where(u < a, a, tl.where(u > b, b, u))
    elif code == DYNAMIC_THRESHOLD:
        limit = tl.minimum(tl.maximum(threshold, 1.0), b)
        u = tl.where(u < -limit, -limit, tl.where(u > limit, limit, u))
        u = tl.div_rn(u, limit + tl.zeros_like(u))
    elif code == REFLECT:
        width = b - a
        turns = tl.floor((u - a) / (2.0 * width))
        u = a + width - tl.abs(u - a - turns * (2.0 * width) - width)
    elif code == EXP_HALF:
        u = exp_half(u)
    return u


@triton.jit
def estimate(u, o, spec, row, thresholds, R: tl.constexpr):
    """D_o of its argument."""
    ARGS: tl.constexpr = R.operation_args
    code = tl.load(spec + OPERATIONS + o)
    a = tl.load(row + ARGS + 2 * o)
    b = tl.load(row + ARGS + 2 * o + 1)
    return operate(u, code, a, b, tl.load(thresholds + o))


@triton.jit
def add_products(
    acc,
    places,
    state,
    spec,
    row,
    tile,
    made,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """R'_i += gain map source on a range of elements; `acc` are the registers."""
    LIST: tl.constexpr = R.products
    GAINS: tl.constexpr = R.gains
    start, offs, mask, part = tile
    for p in range(tl.load(spec + PRODUCTS).to(tl.int32)):
        at = spec + LIST + p * PRODUCT
        register = tl.load(at).to(tl.int32)
        z = tl.zeros([BLOCK], tl.float32) + tl.load(row + GAINS + p)
        for factor in range(2):  # the source, then the map where there is one
            column = tl.load(at + 2 - factor).to(tl.int32)
            if column >= 0:
                z *= load_column(places, state, spec, column, tile, made, R, DTYPE, ALIGNED, BLOCK)
        within = (offs >= tl.load(at + 3)) & (offs < tl.load(at + 4))
        new = ()
        for i in tl.static_range(len(acc)):
            term = acc[i]
            if register == i:
                term = tl.where(within, term + z, term)
            new = new + (term,)
        acc = new
    return acc


@triton.jit
def finish_rows(
    acc,
    masks,
    places,
    state,
    spec,
    row,
    weights,
    thresholds,
    tile,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Registers and taps of a row with operations and products, from all output rows."""
    REGISTERS: tl.constexpr = R.form.registers
    TAPS: tl.constexpr = R.form.taps
    D_0: tl.constexpr = R.form.estimate(0)
    D_1: tl.constexpr = R.form.estimate(1)
    d0 = estimate(acc[0], 0, spec, row, thresholds, R)
    acc = add_column(acc, masks, d0, D_0, row, weights, 0, VECTORS, R)
    d1 = estimate(acc[1], 1, spec, row, thresholds, R)
    acc = add_column(acc, masks, d1, D_1, row, weights, 0, VECTORS, R)
    made = (acc[2 + REGISTERS + TAPS], d0, d1)
    registers = ()
    for k in tl.static_range(REGISTERS):
        registers = registers + (acc[2 + k],)
    registers = add_products(
        registers, places, state, spec, row, tile, made, R, DTYPE, ALIGNED, BLOCK
    )
    for t in tl.static_range(TAPS):
        registers = registers + (acc[2 + REGISTERS + t],)
    return registers
