"""Guidance rules on a GPU: one program for each (channel, slot), float64 scalars.

A rule is one device function, the twin of its NumPy program, and one branch in `weigh`.
"""

import triton
import triton.language as tl

from denoisert.kernels.rule import cfg_rescale, cpu
from denoisert.kernels.rule.evodiff import FEW as FEW_STEPS
from denoisert.kernels.rule.evodiff import LIMIT as MOST

VECTORS = tl.constexpr(4)
ARGS = tl.constexpr(8)
CFG_RESCALE = tl.constexpr(cpu.CFG_RESCALE)
LANGEVIN = tl.constexpr(cpu.LANGEVIN)
EVODIFF = tl.constexpr(cpu.EVODIFF)
RESOLUTION = tl.constexpr(cfg_rescale.RESOLUTION)
LIMIT = tl.constexpr(MOST)
FEW = tl.constexpr(FEW_STEPS)


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


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def project(product, norm):
    """product / norm, clipped; 0 where the norm is 0, and nothing divides by zero."""
    ratio = tl.where(norm > 0.0, product, 0.0) / tl.where(norm > 0.0, norm, 1.0)
    return tl.minimum(tl.maximum(ratio, -LIMIT), LIMIT)


@triton.jit
def end_evodiff(products_ptr, carried_ptr, sigma, balance, steps):
    """Twin of `evodiff._ends`, term by term: weights of D_1 and D_2, and r_1."""
    product_00 = tl.load(products_ptr)
    product_01 = tl.load(products_ptr + 1)
    product_02 = tl.load(products_ptr + 2)
    product_11 = tl.load(products_ptr + VECTORS + 1)
    product_12 = tl.load(products_ptr + VECTORS + 2)
    product_22 = tl.load(products_ptr + 2 * VECTORS + 2)
    r_1 = tl.load(carried_ptr)
    size = tl.load(carried_ptr + 1)
    exists = size > 0.0
    # Where no step ends, 1 stands for what would be 0, so nothing divides by zero.
    size = tl.where(exists, size, 1.0)
    rho = tl.where(exists, tl.load(carried_ptr + 2), 1.0)
    kept = sigma / tl.where(exists, tl.load(carried_ptr + 3), 1.0)
    gain = tl.where(exists, sigma * size, 1.0)
    rest, other = 1.0 - r_1, 1.0 - balance
    d_11 = r_1 * r_1 * product_11 + 2.0 * r_1 * rest * product_12 + rest * rest * product_22
    cross = other * (r_1 * product_12 + rest * product_22)
    d_12 = r_1 * product_01 + rest * product_02 + cross
    d_22 = product_00 + 2.0 * other * product_02 + other * other * product_22
    before, after = d_11 / (rho * rho), rho * rho * d_22
    mixed = 0.5 * project(after - before, after - 2.0 * d_12 + before)
    eta = 0.5 * sigmoid(tl.abs(mixed))
    reach = 0.5 * gain / (rho * sigmoid(0.25 * tl.abs(r_1)))
    error = reach * ((1.0 + eta / rho) * d_11 - rho * (1.0 - eta) * d_12)
    excess = tl.abs(project(error, d_11) / gain) - 0.5
    trend = project(size * product_12, product_11)
    damped = -excess * sigmoid(trend * (2.0 - kept * kept))
    scale = 0.5 * gain / sigmoid(tl.where(steps > FEW, damped, excess))
    old = tl.where(exists, -scale * eta / rho - reach, 0.0)
    return old, tl.where(exists, scale * rho * (1.0 - eta), 0.0), r_1


@triton.jit
def evodiff(products_ptr, args_ptr, carried_ptr, out_ptr):
    """Twin of `evodiff`, term by term."""
    sigma = tl.load(args_ptr)
    size = tl.load(args_ptr + 1)
    ratio = tl.load(args_ptr + 2)
    norm = tl.load(products_ptr + 2 * VECTORS + 2)
    alike = project(tl.load(products_ptr + 2) + norm, norm)
    following = tl.load(args_ptr + 3) + tl.load(args_ptr + 4) * alike
    now = tl.load(args_ptr + 5) + tl.load(args_ptr + 6) * alike
    old, new, r_1 = end_evodiff(products_ptr, carried_ptr, sigma, now, tl.load(args_ptr + 7))
    probe = 0.5 * sigma * size / (ratio * sigmoid(0.25 * tl.abs(following)))
    store_pair(out_ptr, new + probe, old * r_1)
    last = old * (1.0 - r_1) + new * (1.0 - now) + probe * (1.0 - following)
    tl.store(out_ptr + 2, last.to(tl.float32))
    tl.store(carried_ptr, following)
    tl.store(carried_ptr + 1, size)
    tl.store(carried_ptr + 2, ratio)
    tl.store(carried_ptr + 3, sigma)


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
    if rule == CFG_RESCALE:
        rescale(products, sums, count.to(tl.float64), args, out)
    elif rule == LANGEVIN:
        langevin(products, args, out)
    elif rule == EVODIFF:
        evodiff(products, args, carried_ptr + place * VECTORS, out)
    else:
        # A number without a twin: weights that are not numbers make the slot's latent say so.
        weights = tl.full([VECTORS], float("nan"), tl.float32)
        tl.store(out + tl.arange(0, VECTORS), weights)
