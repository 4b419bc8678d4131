"""Gram on a GPU in two stages: float64 partials of splits of a channel, then their sum.

No atomics: which element meets which accumulator depends on the shape only, so a result repeats
bit for bit, whatever the other slots hold. A product of two float32 is exact in float64.

Pairs are counted with a vector of ones in front, so sums are products: pair (i, j), j <= i, of
(1, V_0, V_1, ...) is partial i (i + 1) / 2 + j. Partial 0, of the ones alone, is not kept.
"""

import triton
import triton.language as tl

VECTORS = tl.constexpr(4)
PARTIALS = tl.constexpr(16)  # 15 pairs of 4 vectors and the ones, padded to a power of two


@triton.jit
def load_block(vector_ptr, start, first, end, BLOCK: tl.constexpr):
    """Elements start .. start + BLOCK - 1 in float64, zeros outside first .. end - 1."""
    offsets = start + tl.arange(0, BLOCK)
    if (start >= first) & (start + BLOCK <= end):
        # Blocks lie on multiples of BLOCK in the whole vector, so without a mask loads are wide
        # even when the channel starts anywhere.
        values = tl.load(vector_ptr + offsets)
    else:
        # The channel's ends: neighbouring elements belong to other channels.
        values = tl.load(vector_ptr + offsets, mask=(offsets >= first) & (offsets < end), other=0.0)
    return values.to(tl.float64)


@triton.jit
def add_pairs(
    vectors_ptr, pitch, partials_ptr, first, end, COUNT: tl.constexpr, BLOCK: tl.constexpr
):
    """Store the partials of one split: every num_programs(0)-th block of first .. end - 1."""
    PAIRS: tl.constexpr = (COUNT + 1) * (COUNT + 2) // 2
    totals: tl.tuple = ()
    for _ in tl.static_range(PAIRS):
        totals += (tl.zeros([BLOCK], tl.float64),)
    own = first // BLOCK + tl.program_id(0)
    for block in range(own, tl.cdiv(end, BLOCK), tl.num_programs(0)):
        values: tl.tuple = (tl.full([BLOCK], 1.0, tl.float64),)
        for vector in tl.static_range(COUNT):
            values += (load_block(vectors_ptr + vector * pitch, block * BLOCK, first, end, BLOCK),)
        grown: tl.tuple = ()
        for i in tl.static_range(COUNT + 1):
            for j in tl.static_range(i + 1):
                grown += (totals[i * (i + 1) // 2 + j] + values[i] * values[j],)
        totals = grown
    for pair in tl.static_range(1, PAIRS):
        tl.store(partials_ptr + pair, tl.sum(totals[pair]))


@triton.jit(
    do_not_specialize=["elements"],
    do_not_specialize_on_alignment=["counts_ptr", "partials_ptr"],
)
def accumulate(
    vectors_ptr, counts_ptr, partials_ptr, slot_pitch, pitch, elements, BLOCK: tl.constexpr
):
    """Write the partials of one (split, channel, slot)."""
    channel = tl.program_id(1)
    slot = tl.program_id(2)
    count = tl.load(counts_ptr + slot)
    if count < 1:
        return
    size = elements // tl.num_programs(1)
    place = (slot * tl.num_programs(1) + channel) * tl.num_programs(0) + tl.program_id(0)
    first = channel * size
    vectors = vectors_ptr + slot.to(tl.int64) * slot_pitch
    partials = partials_ptr + place.to(tl.int64) * PARTIALS
    # One loop for each number of vectors, so two vectors load two and keep five accumulators.
    if count == 1:
        add_pairs(vectors, pitch, partials, first, first + size, 1, BLOCK)
    elif count == 2:
        add_pairs(vectors, pitch, partials, first, first + size, 2, BLOCK)
    elif count == 3:
        add_pairs(vectors, pitch, partials, first, first + size, 3, BLOCK)
    else:
        add_pairs(vectors, pitch, partials, first, first + size, 4, BLOCK)


@triton.jit
def add_splits(partials_ptr, pairs, wanted, splits, CHUNK: tl.constexpr):
    """Sums of some pairs' partials over the splits, in one fixed order."""
    totals = tl.zeros([pairs.shape[0]], tl.float64)
    for start in range(0, splits, CHUNK):
        rows = start + tl.arange(0, CHUNK)
        # The last chunk ends with the splits; pairs of absent vectors were never written.
        mask = (rows < splits)[:, None] & wanted[None, :]
        places = rows[:, None] * PARTIALS + pairs[None, :]
        totals += tl.sum(tl.load(partials_ptr + places, mask=mask, other=0.0), axis=0)
    return totals


@triton.jit(
    do_not_specialize=["splits"],
    do_not_specialize_on_alignment=["partials_ptr", "counts_ptr", "products_ptr", "sums_ptr"],
)
def total(partials_ptr, counts_ptr, products_ptr, sums_ptr, splits, CHUNK: tl.constexpr):
    """Write the M x M corner of products and the M sums of one (channel, slot)."""
    slot = tl.program_id(1)
    count = tl.load(counts_ptr + slot)
    if count < 1:
        return
    place = (slot * tl.num_programs(0) + tl.program_id(0)).to(tl.int64)
    partials = partials_ptr + place * splits * PARTIALS
    cells = tl.arange(0, VECTORS * VECTORS)
    larger = tl.maximum(cells // VECTORS, cells % VECTORS)
    smaller = tl.minimum(cells // VECTORS, cells % VECTORS)
    wanted = larger < count  # cells outside the corner stay as they are
    pairs = (larger + 1) * (larger + 2) // 2 + smaller + 1
    products = add_splits(partials, pairs, wanted, splits, CHUNK)
    tl.store(products_ptr + place * VECTORS * VECTORS + cells, products, mask=wanted)
    vectors = tl.arange(0, VECTORS)
    wanted = vectors < count  # so do the sums of absent vectors
    pairs = (vectors + 1) * (vectors + 2) // 2
    sums = add_splits(partials, pairs, wanted, splits, CHUNK)
    tl.store(sums_ptr + place * VECTORS + vectors, sums, mask=wanted)
