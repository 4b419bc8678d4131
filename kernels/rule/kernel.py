"""Guidance rules on a GPU: one program for each (channel, slot), float64 scalars.

A rule is one device function, the twin of its NumPy program, and one branch in `weigh`.
"""

import triton
import triton.language as tl

from denoisert.kernels.rule import cfg_rescale, cpu

VECTORS = tl.constexpr(4)
ARGS = tl.constexpr(8)
CFG_RESCALE = tl.constexpr(cpu.CFG_RESCALE)
LANGEVIN = tl.constexpr(cpu.LANGEVIN)
RESOLUTION = tl.constexpr(cfg_rescale.RESOLUTION)


@triton.jit
def store_pair(out_ptr, first, second):
    """Store the weights of two vectors."""
    tl.store(out_ptr, first.to(tl.float32))
    tl.store(out_ptr + 1, second.to(tl.float32))


@triton.jit
def rescale(products_ptr, sums_ptr, count, args_ptr, out_ptr):
    """Twin of `cfg_rescale`, term by term."""
    scale = tl.load(args_ptr)
    phi = tl.load(args_ptr + 1)
    other = 1.0 - scale
    product_00 = tl.load(products_ptr)
    product_01 = tl.load(products_ptr + 1)
    product_11 = tl.load(products_ptr + VECTORS + 1)
    sum_0 = tl.load(sums_ptr)
    sum_1 = tl.load(sums_ptr + 1)
    cov_00 = product_00 - sum_0 * sum_0 / count
    cov_01 = product_01 - sum_0 * sum_1 / count
    cov_11 = product_11 - sum_1 * sum_1 / count
    guided = (cov_00 * scale + cov_01 * other) * scale + (cov_01 * scale + cov_11 * other) * other
    large, small = tl.abs(scale), tl.abs(other)
    row_0 = tl.abs(product_00) * large + tl.abs(product_01) * small
    row_1 = tl.abs(product_01) * large + tl.abs(product_11) * small
    has_spread = guided > (row_0 * large + row_1 * small) * RESOLUTION
    cond = tl.where(cov_00 < 0.0, 0.0, cov_00)
    # Without spread the ratio is 1; the divisor is set as well, so nothing divides by zero.
    ratio = tl.sqrt(tl.where(has_spread, cond, 1.0) / tl.where(has_spread, guided, 1.0))
    factor = phi * ratio + (1.0 - phi)
    store_pair(out_ptr, factor * scale, factor * other)


@triton.jit
def langevin(products_ptr, args_ptr, out_ptr):
    """Twin of `langevin`, term by term."""
    ratio = tl.load(args_ptr)
    factor = tl.load(args_ptr + 1)
    score = tl.load(products_ptr)
    noise = tl.load(products_ptr + VECTORS + 1)
    # A score of norm 0 gives no step; the divisor is set as well, so nothing divides by zero.
    share = tl.where(score > 0.0, noise, 0.0) / tl.where(score > 0.0, score, 1.0)
    size = 2.0 * factor * ratio * ratio * share
    store_pair(out_ptr, size, tl.sqrt(2.0 * size))


@triton.jit(
    do_not_specialize=["count"],
    do_not_specialize_on_alignment=[
        "rules_ptr",
        "products_ptr",
        "sums_ptr",
        "args_ptr",
        "carried_ptr",
        "out_ptr",
    ],
)
def weigh(rules_ptr, products_ptr, sums_ptr, args_ptr, carried_ptr, out_ptr, count):
    """Write the weights of one (channel, slot) by the slot's rule; rule 0 writes nothing."""
    slot = tl.program_id(1)
    rule = tl.load(rules_ptr + slot)
    if rule == 0:
        return
    place = slot * tl.num_programs(0) + tl.program_id(0)
    products = products_ptr + place * VECTORS * VECTORS
    sums = sums_ptr + place * VECTORS
    args = args_ptr + slot * ARGS
    out = out_ptr + place * VECTORS
    # A rule that keeps scalars takes carried_ptr + place * VECTORS as well; none does so far.
    if rule == CFG_RESCALE:
        rescale(products, sums, count.to(tl.float64), args, out)
    elif rule == LANGEVIN:
        langevin(products, args, out)
    else:
        # A number without a twin: weights that are not numbers make the slot's latent say so.
        weights = tl.full([VECTORS], float("nan"), tl.float32)
        tl.store(out + tl.arange(0, VECTORS), weights)
