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
    place_of,
)
from denoisert.kernels.step.form import VECTORS as VECTOR_ROWS
from denoisert.kernels.step.operations import DYNAMIC_THRESHOLD, estimate, finish_rows
from denoisert.kernels.step.outputs import advance, feed_lanes, store_rows

OPERATIONS = tl.constexpr(r.OPERATIONS)
RULE = tl.constexpr(r.RULE)
RULE_VECTORS = tl.constexpr(r.RULE_VECTORS)
FOLLOWED = tl.constexpr(r.FOLLOWED)
COUNTER = tl.constexpr(r.COUNTER)
STATE = tl.constexpr(r.STATE)
RULE_ARGS = tl.constexpr(r.RULE_ARGS)
VECTORS = tl.constexpr(VECTOR_ROWS)


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
    is_followed = tl.load(spec + FOLLOWED)
    if is_followed != 0:
        feed_lanes(rows, places, spec + INTEGERS, row + FLOATS, tile, parts, R, DTYPE, ALIGNED)
    advance(state, counter, is_followed)


@triton.jit(do_not_specialize=("parts",))
def feed_kernel(
    registers_ptr,
    lanes_ptr,
    pages_ptr,
    integers_ptr,
    floats_ptr,
    states_ptr,
    tiles_ptr,
    pitch,
    parts,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write what the next row of every slot asks into its lanes, after a new lane map."""
    REGISTERS: tl.constexpr = R.form.registers
    slot = tl.program_id(1)
    spec, row, index = find_row(states_ptr, slot, integers_ptr, floats_ptr, R)
    if index < 0:
        return
    start, offs, mask, part, channel = find_tile(tiles_ptr, BLOCK, ALIGNED)
    places = place_of(slot, registers_ptr, lanes_ptr, pages_ptr, pitch, parts, R)
    rows = ()
    for k in tl.static_range(REGISTERS):
        rows = rows + (tl.load(places[0] + k * pitch + offs, mask=mask, other=0.0),)
    feed_lanes(rows, places, spec, row, (start, offs, mask, part), parts, R, DTYPE, ALIGNED)


@triton.jit(
    do_not_specialize=("parts",), do_not_specialize_on_alignment=("counts_ptr", "rules_ptr")
)
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
    count = tl.load(spec + RULE_VECTORS).to(tl.int32)
    tl.store(counts_ptr + slot, count, mask=is_first)
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
        tl.store(at, rows[m], mask=mask & (m < count))  # a vector without terms is 0


@triton.jit(do_not_specialize=("parts", "channels"), do_not_specialize_on_alignment=("ratios_ptr",))
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
