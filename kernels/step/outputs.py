"""Device code: what a row leaves behind in registers, tapes, lanes and the slot's state."""

import triton
import triton.language as tl

from denoisert.kernels.step import record as r
from denoisert.kernels.step.columns import load_address

PENDING = tl.constexpr(r.PENDING)
STORED = tl.constexpr(r.STORED)
TAPPED = tl.constexpr(r.TAPPED)
ASKS = tl.constexpr(r.ASKS)
SCALARS = tl.constexpr(r.SCALARS)
OFFSET = tl.constexpr(r.OFFSET)
COUNTER = tl.constexpr(r.COUNTER)
STATUS = tl.constexpr(r.STATUS)
ARRIVED = tl.constexpr(r.ARRIVED)
IDLE = tl.constexpr(r.IDLE)


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
    for p in range(BRANCHES):
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
def advance(state, counter, is_followed):
    """The last program of the slot to come here counts the row; after the last row it is idle."""
    tl.debug_barrier()  # every thread of this program has read the counter
    arrived = tl.atomic_add(state + ARRIVED, 1)
    if arrived == tl.num_programs(0) - 1:
        tl.store(state + ARRIVED, 0)
        tl.store(state + COUNTER, counter + 1)
        tl.store(state + OFFSET, IDLE, mask=is_followed == 0)
