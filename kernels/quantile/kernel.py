"""Exact quantile of absolute values on a GPU: radix selection on the bits of the floats.

The bits of |x|, read as unsigned, order as the values do. From the highest digit down, a histogram
of the digits of the keys that begin with the prefix found so far tells the next digit of the
value at a rank. Counts are integers, so neither the order of the programs nor atomics can change
a result. Digits have 8 bits: a warp's histogram costs a few instructions for every 32 bins, so
four passes over 256 bins are cheaper than three over 2048.
"""

import triton
import triton.language as tl

DIGITS = tl.constexpr(4)
BITS = tl.constexpr(8)
BINS = tl.constexpr(256)
TOP = tl.constexpr(24)  # shift of the highest digit

MAGNITUDE = tl.constexpr(0x7FFFFFFF)  # all bits but the sign
INFINITY = tl.constexpr(0x7F800000)
NOT_A_NUMBER = tl.constexpr(0xFFFFFFFF)  # its highest digit, 255, is no other value's


@triton.jit
def load_keys(vector_ptr, start, elements, BLOCK: tl.constexpr):
    """Keys of elements start .. start + BLOCK - 1, and which of them exist."""
    offsets = start + tl.arange(0, BLOCK)
    inside = offsets < elements
    if start + BLOCK <= elements:
        values = tl.load(vector_ptr + offsets)  # whole blocks: without a mask loads are wide
    else:
        values = tl.load(vector_ptr + offsets, mask=inside, other=0.0)  # the vector ends here
    keys = values.to(tl.uint32, bitcast=True) & MAGNITUDE
    return tl.where(keys > INFINITY, NOT_A_NUMBER, keys), inside


@triton.jit
def count_digits(
    vector_ptr, elements, first, step, prefix, SHIFT: tl.constexpr, BLOCK: tl.constexpr
):
    """Histogram of one digit of the keys with a prefix, in blocks first, first + step, ...

    With the last digit comes the complement of the smallest key beyond the prefix, 0 for none.
    """
    counts = tl.zeros([BINS], tl.int32)
    beyond = tl.zeros([BLOCK], tl.int32)
    for start in range(first, elements, step):
        keys, inside = load_keys(vector_ptr, start, elements, BLOCK)
        digits = keys >> SHIFT
        heads = digits >> BITS
        bins = (digits & (BINS - 1)).to(tl.int32)
        counts += tl.histogram(bins, BINS, mask=inside & (heads == prefix))
        if SHIFT == 0:
            # Read as signed, the complement of NOT_A_NUMBER is negative: it never counts.
            complements = (keys ^ MAGNITUDE).to(tl.int32, bitcast=True)
            beyond = tl.maximum(beyond, tl.where(inside & (heads > prefix), complements, 0))
    return counts, tl.max(beyond)


@triton.jit
def descend(counts, prefix, rank):
    """Append the digit that holds a rank; return the longer prefix and the rank within it."""
    bins = tl.arange(0, BINS)
    digit = tl.sum((tl.cumsum(counts) <= rank).to(tl.int32))
    before = tl.sum(tl.where(bins < digit, counts, 0))
    return (prefix << BITS) | digit.to(tl.uint32), rank - before


@triton.jit
def rank_of(ratio, elements):
    """Rank below the quantile and the share of the rank above, rounded as the reference does."""
    last = elements - 1
    rank = ratio * last.to(tl.float32)
    below = tl.minimum(rank.to(tl.int32), last)
    return below, rank - below.to(tl.float32)


@triton.jit
def interpolate(low_key, high_key, share):
    """Low + share (high - low), from the nearer end, as the reference does.

    Launched without contraction: a fused multiply-add would round once where the reference rounds
    twice.
    """
    low = low_key.to(tl.float32, bitcast=True)
    high = high_key.to(tl.float32, bitcast=True)
    is_end = (share == 0.0) | (low_key == high_key) | (high_key == INFINITY)
    spread = tl.where(is_end, 0.0, high) - tl.where(is_end, 0.0, low)
    near_low = low + share * spread
    near_high = high - spread * (1.0 - share)
    between = tl.where(share < 0.5, near_low, near_high)
    return tl.where(is_end, tl.where(share == 0.0, low, high), between)


@triton.jit
def store_quantile(out_ptr, counts, beyond, prefix, rank, share, has_nan):
    """Store the quantile, given the last digit's histogram and the rank within the prefix."""
    low, _ = descend(counts, prefix, rank)
    following, _ = descend(counts, prefix, rank + 1)
    outside = beyond.to(tl.uint32, bitcast=True) ^ MAGNITUDE
    high = tl.where(rank + 1 < tl.sum(counts), following, outside)
    found = interpolate(low, high, share)
    tl.store(out_ptr, tl.where(has_nan, float("nan"), found))


@triton.jit(
    do_not_specialize=["elements"],
    do_not_specialize_on_alignment=["ratios_ptr", "out_ptr"],
)
def select(values_ptr, ratios_ptr, out_ptr, pitch, elements, BLOCK: tl.constexpr):
    """Write one slot's quantile; the whole selection in one program."""
    slot = tl.program_id(0)
    ratio = tl.load(ratios_ptr + slot)
    if ratio < 0.0:
        return
    vector = values_ptr + slot.to(tl.int64) * pitch
    rank, share = rank_of(ratio, elements)
    prefix = tl.full([], 0, tl.uint32)
    counts, _ = count_digits(vector, elements, 0, BLOCK, prefix, TOP, BLOCK)
    has_nan = tl.sum(tl.where(tl.arange(0, BINS) == BINS - 1, counts, 0)) > 0
    beyond = tl.full([], 0, tl.int32)
    for digit in tl.static_range(1, DIGITS):
        prefix, rank = descend(counts, prefix, rank)
        counts, beyond = count_digits(vector, elements, 0, BLOCK, prefix, TOP - digit * BITS, BLOCK)
    store_quantile(out_ptr + slot, counts, beyond, prefix, rank, share, has_nan)


@triton.jit
def follow(histograms_ptr, rank, DIGIT: tl.constexpr):
    """Prefix of DIGIT digits and the rank within it, from the histograms of those digits."""
    prefix = tl.full([], 0, tl.uint32)
    for digit in tl.static_range(DIGIT):
        counts = tl.load(histograms_ptr + digit * BINS + tl.arange(0, BINS))
        prefix, rank = descend(counts, prefix, rank)
    return prefix, rank


@triton.jit(
    do_not_specialize=["elements"],
    do_not_specialize_on_alignment=["ratios_ptr", "workspace_ptr"],
)
def histogram(
    values_ptr,
    ratios_ptr,
    workspace_ptr,
    pitch,
    elements,
    DIGIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add one (split, slot) to the histogram of a digit; the earlier digits' are complete."""
    split = tl.program_id(0)
    slot = tl.program_id(1)
    ratio = tl.load(ratios_ptr + slot)
    if ratio < 0.0:
        return
    vector = values_ptr + slot.to(tl.int64) * pitch
    histograms = workspace_ptr + slot * (DIGITS + 1) * BINS
    rank, _ = rank_of(ratio, elements)
    prefix, _ = follow(histograms, rank, DIGIT)
    step = tl.num_programs(0) * BLOCK
    counts, beyond = count_digits(
        vector, elements, split * BLOCK, step, prefix, TOP - DIGIT * BITS, BLOCK
    )
    bins = tl.arange(0, BINS)
    # Most programs meet few of the bins.
    tl.atomic_add(histograms + DIGIT * BINS + bins, counts, mask=counts > 0, sem="relaxed")
    if DIGIT == DIGITS - 1:
        tl.atomic_max(histograms + DIGITS * BINS, beyond, sem="relaxed")


@triton.jit(
    do_not_specialize=["elements"],
    do_not_specialize_on_alignment=["workspace_ptr", "ratios_ptr", "out_ptr"],
)
def finish(workspace_ptr, ratios_ptr, out_ptr, elements):
    """Write one slot's quantile from its histograms."""
    slot = tl.program_id(0)
    ratio = tl.load(ratios_ptr + slot)
    if ratio < 0.0:
        return
    histograms = workspace_ptr + slot * (DIGITS + 1) * BINS
    rank, share = rank_of(ratio, elements)
    prefix, rank = follow(histograms, rank, DIGITS - 1)
    counts = tl.load(histograms + (DIGITS - 1) * BINS + tl.arange(0, BINS))
    beyond = tl.load(histograms + DIGITS * BINS)
    has_nan = tl.load(histograms + BINS - 1) > 0
    store_quantile(out_ptr + slot, counts, beyond, prefix, rank, share, has_nan)
