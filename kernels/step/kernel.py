"""The update of every slot in one pass: each value is read once and written once.

A program serves one tile of one slot. Its coefficients come from the row that the slot's counter
names, so slots run different solvers in one launch; what differs between rows is a branch of the
whole program, never of one thread. The last program of a slot to arrive advances its counter.
`vectors_kernel` and `argument_kernel` come before it where rows ask for rules or quantiles.
"""

import triton
import triton.language as tl

from denoisert.kernels.step import record as r
from denoisert.kernels.step.columns import (
    add_column,
    find_row,
    find_tile,
    gather_rows,
    load_address,
    place_of,
)
from denoisert.kernels.step.form import VECTORS as VECTOR_ROWS
from denoisert.kernels.step.operations import DYNAMIC_THRESHOLD, estimate, finish_rows

OPERATIONS = tl.constexpr(r.OPERATIONS)
RULE = tl.constexpr(r.RULE)
RULE_VECTORS = tl.constexpr(r.RULE_VECTORS)
PENDING = tl.constexpr(r.PENDING)
STORED = tl.constexpr(r.STORED)
TAPPED = tl.constexpr(r.TAPPED)
ASKS = tl.constexpr(r.ASKS)
FOLLOWED = tl.constexpr(r.FOLLOWED)
SCALARS = tl.constexpr(r.SCALARS)
COUNTER = tl.constexpr(r.COUNTER)
STATUS = tl.constexpr(r.STATUS)
ARRIVED = tl.constexpr(r.ARRIVED)
STATE = tl.constexpr(r.STATE)
VECTORS = tl.constexpr(VECTOR_ROWS)
RULE_ARGS = tl.constexpr(r.RULE_ARGS)


@triton.jit
def pick(rows, index, COUNT: tl.constexpr):
    """rows[index] of the first COUNT."""
    x = rows[0]
    for k in tl.static_range(1, COUNT):
        x = tl.where(index == k, rows[k], x)
    return x


@triton.jit
def feed_lanes(
    rows,
    places,
    spec,
    row,
    tile,
    parts,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Write what the next row asks into the lanes of this slot: inputs, times and scalars."""
    REGISTERS: tl.constexpr = R.form.registers
    BRANCHES: tl.constexpr = R.form.branches
    SOURCES: tl.constexpr = R.sources
    SCALES: tl.constexpr = R.scales
    TIMES: tl.constexpr = R.times
    NUMBERS: tl.constexpr = R.scalars
    start, offs, mask, part = tile
    asks = tl.load(spec + ASKS)
    for p in tl.static_range(BRANCHES):
        lane = places[1] + p * places[4]
        pointer, exists = load_address(lane + parts + part, DTYPE, ALIGNED)
        if exists & (p < asks):
            x = pick(rows, tl.load(spec + SOURCES + p), REGISTERS)
            tl.store(pointer + offs, (x * tl.load(row + SCALES + p)).to(DTYPE), mask=mask)
        if (tl.program_id(0) == 0) & (p < asks):
            time_ptr, has_time = load_address(lane + 2 * parts, tl.float32, False)
            tl.store(time_ptr, tl.load(row + TIMES + p), mask=has_time)
            for a in range(SCALARS):
                scalar_ptr, has_scalar = load_address(lane + 2 * parts + 1 + a, tl.float32, False)
                scalar = tl.load(row + NUMBERS + p * SCALARS + a)
                tl.store(scalar_ptr, scalar, mask=has_scalar)


@triton.jit
def store_rows(rows, places, state, spec, offs, mask, counter, R: tl.constexpr):
    """Write registers and taps, and the status where the pending input is not finite."""
    REGISTERS: tl.constexpr = R.form.registers
    EXTERNALS: tl.constexpr = R.form.externals
    TAPS: tl.constexpr = R.form.taps
    TAP_PAGES: tl.constexpr = R.tap_pages
    stored = tl.load(spec + STORED)
    for k in tl.static_range(REGISTERS):
        at = places[0] + k * places[3] + offs
        tl.store(at, rows[k], mask=mask & ((stored >> k) & 1 != 0))
    tapped = tl.load(spec + TAPPED)
    for t in tl.static_range(TAPS):
        if (tapped >> t) & 1 != 0:
            pointer, exists = load_address(places[2] + EXTERNALS + t, tl.float32, True)
            page = tl.load(spec + TAP_PAGES + t)
            tl.store(pointer + page * places[3] + offs, rows[REGISTERS + t], mask=mask & exists)
    pending = pick(rows, tl.load(spec + PENDING), REGISTERS)
    # Almost never does any thread store here; all that do write the same number.
    is_bad = mask & ~(tl.abs(pending) < float("inf")) & (tl.load(state + STATUS) == 0)
    tl.store(state + STATUS + tl.zeros_like(offs), counter, mask=is_bad)


@triton.jit
def advance(state, counter):
    """The last program of the slot to come here counts the row."""
    tl.debug_barrier()  # every thread of this program has read the counter
    arrived = tl.atomic_add(state + ARRIVED, 1)
    if arrived == tl.num_programs(0) - 1:
        tl.store(state + ARRIVED, 0)
        tl.store(state + COUNTER, counter + 1)


@triton.jit(do_not_specialize=("parts", "channels", "first_slot"))
def step_kernel(
    registers_ptr,
    lanes_ptr,
    pages_ptr,
    integers_ptr,
    floats_ptr,
    states_ptr,
    weights_ptr,
    thresholds_ptr,
    tiles_ptr,
    pitch,
    parts,
    channels,
    first_slot,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row of every slot; see `reference.step` and `launch.step`."""
    REGISTERS: tl.constexpr = R.form.registers
    TAPS: tl.constexpr = R.form.taps
    FIRST_ROW: tl.constexpr = R.form.register_row(0)
    OUTPUTS: tl.constexpr = R.outputs
    INTEGERS: tl.constexpr = R.integers
    FLOATS: tl.constexpr = R.floats
    slot = tl.program_id(1) + first_slot
    spec, row, index = find_row(states_ptr, slot, integers_ptr, floats_ptr, R)
    if index < 0:
        return
    state = states_ptr + slot * STATE
    counter = tl.load(state + COUNTER)
    start, offs, mask, part, channel = find_tile(tiles_ptr, BLOCK, ALIGNED)
    tile = (start, offs, mask, part)
    places = place_of(slot, registers_ptr, lanes_ptr, pages_ptr, pitch, parts, R)
    weights = weights_ptr + (slot * channels + channel) * VECTORS
    vectors = tl.load(spec + RULE_VECTORS).to(tl.int32)
    if R.has_operations:
        rows, masks = gather_rows(
            places, state, spec, row, weights, vectors, tile,
            VECTORS, OUTPUTS - VECTORS, R, DTYPE, ALIGNED, BLOCK,
        )  # fmt: skip
        rows = finish_rows(
            rows, masks, places, state, spec, row, weights, thresholds_ptr + 2 * slot, tile,
            R, DTYPE, ALIGNED, BLOCK,
        )  # fmt: skip
    else:
        rows, masks = gather_rows(
            places, state, spec, row, weights, vectors, tile,
            FIRST_ROW, REGISTERS + TAPS, R, DTYPE, ALIGNED, BLOCK,
        )  # fmt: skip
    store_rows(rows, places, state, spec, offs, mask, counter, R)
    if tl.load(spec + FOLLOWED) != 0:
        feed_lanes(rows, places, spec + INTEGERS, row + FLOATS, tile, parts, R, DTYPE, ALIGNED)
    advance(state, counter)


@triton.jit(do_not_specialize=("parts",))
def vectors_kernel(
    registers_ptr,
    lanes_ptr,
    pages_ptr,
    integers_ptr,
    floats_ptr,
    states_ptr,
    rule_args_ptr,
    tiles_ptr,
    vectors_ptr,
    counts_ptr,
    rules_ptr,
    args_ptr,
    pitch,
    parts,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """V_m of every slot whose row has a rule, and what gram and rule need to know of it."""
    slot = tl.program_id(1)
    spec, row, index = find_row(states_ptr, slot, integers_ptr, floats_ptr, R)
    is_first = tl.program_id(0) == 0
    if index < 0:
        tl.store(counts_ptr + slot, 0, mask=is_first)
        tl.store(rules_ptr + slot, 0, mask=is_first)
        return
    rule = tl.load(spec + RULE).to(tl.int32)
    tl.store(counts_ptr + slot, tl.load(spec + RULE_VECTORS).to(tl.int32), mask=is_first)
    tl.store(rules_ptr + slot, rule, mask=is_first)
    if rule == 0:
        return
    args = tl.arange(0, RULE_ARGS)
    values = tl.load(rule_args_ptr + index * RULE_ARGS + args)
    tl.store(args_ptr + slot * RULE_ARGS + args, values, mask=is_first & (args >= 0))
    start, offs, mask, part, channel = find_tile(tiles_ptr, BLOCK, ALIGNED)
    places = place_of(slot, registers_ptr, lanes_ptr, pages_ptr, pitch, parts, R)
    tile = (start, offs, mask, part)
    rows, masks = gather_rows(
        places, states_ptr + slot * STATE, spec, row, floats_ptr, 0, tile,
        0, VECTORS, R, DTYPE, ALIGNED, BLOCK,
    )  # fmt: skip
    for m in tl.static_range(VECTORS):
        at = vectors_ptr + (slot.to(tl.int64) * VECTORS + m) * pitch + offs
        tl.store(at, rows[m], mask=mask & (masks[m] != 0))


@triton.jit(do_not_specialize=("parts", "channels"))
def argument_kernel(
    registers_ptr,
    lanes_ptr,
    pages_ptr,
    integers_ptr,
    floats_ptr,
    states_ptr,
    weights_ptr,
    thresholds_ptr,
    tiles_ptr,
    values_ptr,
    ratios_ptr,
    pitch,
    parts,
    channels,
    ORDER: tl.constexpr,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """U_ORDER of every slot whose row wants its quantile, and the ratio; else the ratio -1."""
    D_0: tl.constexpr = R.form.estimate(0)
    ARGS: tl.constexpr = R.operation_args
    slot = tl.program_id(1)
    spec, row, index = find_row(states_ptr, slot, integers_ptr, floats_ptr, R)
    code = tl.zeros([], tl.int64)
    if index >= 0:
        code = tl.load(spec + OPERATIONS + ORDER)
    is_first = tl.program_id(0) == 0
    if code != DYNAMIC_THRESHOLD:
        tl.store(ratios_ptr + slot, -1.0, mask=is_first)
        return
    tl.store(ratios_ptr + slot, tl.load(row + ARGS + 2 * ORDER), mask=is_first)
    start, offs, mask, part, channel = find_tile(tiles_ptr, BLOCK, ALIGNED)
    places = place_of(slot, registers_ptr, lanes_ptr, pages_ptr, pitch, parts, R)
    weights = weights_ptr + (slot * channels + channel) * VECTORS
    vectors = tl.load(spec + RULE_VECTORS).to(tl.int32)
    tile = (start, offs, mask, part)
    rows, masks = gather_rows(
        places, states_ptr + slot * STATE, spec, row, weights, vectors, tile,
        VECTORS, ORDER + 1, R, DTYPE, ALIGNED, BLOCK,
    )  # fmt: skip
    if ORDER == 1:
        d0 = estimate(rows[0], 0, spec, row, thresholds_ptr + 2 * slot, R)
        rows = add_column(rows, masks, d0, D_0, row, weights, 0, VECTORS, R)
    tl.store(values_ptr + slot.to(tl.int64) * pitch + offs, rows[ORDER], mask=mask)
