"""Device code: the columns of one tile of one slot, and sums of them.

Names in all of this folder's device code: `row` and `spec` point at the floats and integers of the
row set (`record`), `rows` is a tuple of output rows, `masks` the columns that each of them reads,
`places` what `place_of` returns, `tile` (start, elements, mask, part).
"""

import triton
import triton.language as tl

from denoisert.kernels.philox.kernel import normal4
from denoisert.kernels.step import record as r

DRAW_BASE = tl.constexpr(r.DRAW_BASE)
SCALARS = tl.constexpr(r.SCALARS)
OFFSET = tl.constexpr(r.OFFSET)
COUNTER = tl.constexpr(r.COUNTER)
KEY_LOW = tl.constexpr(r.KEY_LOW)
KEY_HIGH = tl.constexpr(r.KEY_HIGH)
IMAGE = tl.constexpr(r.IMAGE)
PURPOSE = tl.constexpr(r.PURPOSE)
STATE = tl.constexpr(r.STATE)
START = tl.constexpr(r.START)
FIRST = tl.constexpr(r.FIRST)
LAST = tl.constexpr(r.LAST)
PART = tl.constexpr(r.PART)
CHANNEL = tl.constexpr(r.CHANNEL)
TILE = tl.constexpr(r.TILE)


@triton.jit
def find_row(states, slot, integers_ptr, floats_ptr, R: tl.constexpr):
    """Integers and floats of the row that a slot runs next, and its index; -1 for an idle slot."""
    INTEGERS: tl.constexpr = R.integers
    FLOATS: tl.constexpr = R.floats
    offset = tl.load(states + slot * STATE + OFFSET)
    index = (offset + tl.load(states + slot * STATE + COUNTER)).to(tl.int64)
    index = tl.where(offset < 0, offset.to(tl.int64), index)
    return integers_ptr + index * INTEGERS, floats_ptr + index * FLOATS, index


@triton.jit
def find_tile(tiles_ptr, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """First element of this program's tile, its elements, which of them exist, part, channel."""
    tile = tiles_ptr + tl.program_id(0) * TILE
    start = tl.multiple_of(tl.load(tile + START), BLOCK)
    first = tl.load(tile + FIRST)
    last = tl.load(tile + LAST)
    if ALIGNED:
        first = tl.multiple_of(first, 16)  # whole vectors lie inside or outside the mask
        last = tl.multiple_of(last, 16)
    offs = start + tl.arange(0, BLOCK)
    mask = (offs >= first) & (offs < last)
    return start, offs, mask, tl.load(tile + PART), tl.load(tile + CHANNEL)


@triton.jit
def place_of(slot, registers_ptr, lanes_ptr, pages_ptr, pitch, parts, R: tl.constexpr):
    """Where a slot's values stand: registers, lanes, pages, pitch, addresses of one branch."""
    REGISTERS: tl.constexpr = R.form.registers
    BRANCHES: tl.constexpr = R.form.branches
    SLOT_PAGES: tl.constexpr = R.form.externals + R.form.taps
    width = 2 * parts + 1 + SCALARS
    registers = registers_ptr + slot.to(tl.int64) * REGISTERS * pitch
    lanes = lanes_ptr + slot * BRANCHES * width
    return registers, lanes, pages_ptr + slot * SLOT_PAGES, pitch, width


@triton.jit
def load_address(address_ptr, DTYPE: tl.constexpr, ALIGNED: tl.constexpr):
    """A pointer that stands in memory, and whether there is one."""
    address = tl.load(address_ptr)
    pointer = address.to(tl.pointer_type(DTYPE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer, address != 0


@triton.jit
def draw_noise(state, spec, q, start, BLOCK: tl.constexpr):
    """xi_q of this tile: four normals of a group stand side by side."""
    group = start // 4 + tl.arange(0, BLOCK // 4)
    draw = (tl.load(spec + DRAW_BASE) + q).to(tl.int32)
    key_low = tl.load(state + KEY_LOW)
    key_high = tl.load(state + KEY_HIGH)
    purpose = tl.load(state + PURPOSE)
    n0, n1, n2, n3 = normal4(group, draw, purpose, tl.load(state + IMAGE), key_low, key_high)
    return tl.reshape(tl.join(tl.join(n0, n2), tl.join(n1, n3)), [BLOCK])


@triton.jit
def load_page(pages_ptr, external, page, pitch, offs, mask):
    """One page of an external of this slot."""
    pointer, exists = load_address(pages_ptr + external, tl.float32, True)
    return tl.load(pointer + page * pitch + offs, mask=mask & exists, other=0.0)


@triton.jit
def load_draw(places, state, spec, q, start, offs, mask, R: tl.constexpr, BLOCK: tl.constexpr):
    """xi_q, drawn here or recorded outside."""
    EXTERNALS: tl.constexpr = R.form.externals
    RECORDED: tl.constexpr = R.recorded
    if EXTERNALS > 0:
        external = tl.load(spec + RECORDED + 2 * q)
        if external >= 0:
            page = tl.load(spec + RECORDED + 2 * q + 1)
            z = load_page(places[2], external, page, places[3], offs, mask)
        else:
            z = draw_noise(state, spec, q, start, BLOCK)
    else:
        z = draw_noise(state, spec, q, start, BLOCK)
    return z


@triton.jit
def add_column(acc, masks, z, column, row, weights, vectors, RANGE: tl.constexpr, R: tl.constexpr):
    """acc_i += (c_i + c_iG sum_m g_m v_m) z for the rows that read the column.

    G is linear in the columns, so a guided row needs no vector of its own: the weights of the rule
    join its coefficients.
    """
    COLUMNS: tl.constexpr = R.form.columns
    GUIDED: tl.constexpr = R.form.guided
    share = 0.0
    for m in range(vectors):
        share += tl.load(weights + m) * tl.load(row + m * COLUMNS + column)
    new = ()
    for i in tl.static_range(len(acc)):
        term = acc[i]
        if (masks[i] >> column) & 1 != 0:
            at = row + (RANGE + i) * COLUMNS
            term += (tl.load(at + column) + share * tl.load(at + GUIDED)) * z
        new = new + (term,)
    return new


@triton.jit
def load_column(
    places,
    state,
    spec,
    column,
    tile,
    made,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Any column of this tile, as a product reads it; `made` holds G, D_0 and D_1."""
    REGISTERS: tl.constexpr = R.form.registers
    GUIDED: tl.constexpr = R.form.guided
    DRAW: tl.constexpr = R.form.draw(0)
    FIRST_EXTERNAL: tl.constexpr = R.form.external(0)
    ONE: tl.constexpr = R.form.one
    PAGES: tl.constexpr = R.pages
    start, offs, mask, part = tile
    z = tl.full([BLOCK], 1.0, tl.float32)
    if column < REGISTERS:
        z = tl.load(places[0] + column * places[3] + offs, mask=mask, other=0.0)
    elif column < GUIDED:
        address = places[1] + (column - REGISTERS) * places[4] + part
        pointer, exists = load_address(address, DTYPE, ALIGNED)
        z = tl.load(pointer + offs, mask=mask & exists, other=0.0).to(tl.float32)
    elif column < DRAW:
        z = tl.where(column == GUIDED + 1, made[1], tl.where(column == GUIDED, made[0], made[2]))
    elif column < FIRST_EXTERNAL:
        z = load_draw(places, state, spec, column - DRAW, start, offs, mask, R, BLOCK)
    elif column < ONE:
        external = column - FIRST_EXTERNAL
        z = load_page(places[2], external, tl.load(spec + PAGES + external), places[3], offs, mask)
    return z


@triton.jit
def load_values(
    places,
    reads,
    offs,
    mask,
    part,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Registers and predictions that are read, the others 0; no load waits for another."""
    REGISTERS: tl.constexpr = R.form.registers
    BRANCHES: tl.constexpr = R.form.branches
    values = ()
    for k in tl.static_range(REGISTERS):
        is_read = (reads >> k) & 1 != 0
        at = places[0] + k * places[3] + offs
        values = values + (tl.load(at, mask=mask & is_read, other=0.0),)
    for b in tl.static_range(BRANCHES):
        pointer, exists = load_address(places[1] + b * places[4] + part, DTYPE, ALIGNED)
        is_read = ((reads >> (REGISTERS + b)) & 1 != 0) & exists
        prediction = tl.load(pointer + offs, mask=mask & is_read, other=0.0)
        values = values + (prediction.to(tl.float32),)
    return values


@triton.jit
def gather_rows(
    places,
    state,
    spec,
    row,
    weights,
    vectors,
    tile,
    RANGE: tl.constexpr,
    ROWS: tl.constexpr,
    R: tl.constexpr,
    DTYPE: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Output rows RANGE .. RANGE + ROWS - 1 over all columns but G, D_0 and D_1.

    Args:
        places: registers and lanes of the slot, its pages, pitch and addresses of one branch.
        state: of the slot.
        spec: integers of the row.
        row: floats of the row.
        weights: g of the slot and channel.
        vectors: M, 0 where the weights do not count.
        tile: start, elements, mask and part.
        RANGE: first output row.
        ROWS: how many.
        R: the record.
        DTYPE: of the predictions.
        ALIGNED: whether parts start on 16 bytes.
        BLOCK: elements of a tile.

    Returns:
        The rows, and the columns that each of them reads.
    """
    REGISTERS: tl.constexpr = R.form.registers
    BRANCHES: tl.constexpr = R.form.branches
    EXTERNALS: tl.constexpr = R.form.externals
    GUIDED: tl.constexpr = R.form.guided
    DRAW: tl.constexpr = R.form.draw(0)
    FIRST_EXTERNAL: tl.constexpr = R.form.external(0)
    ONE: tl.constexpr = R.form.one
    MASKS: tl.constexpr = R.masks
    PAGES: tl.constexpr = R.pages
    start, offs, mask, part = tile
    acc = ()
    masks = ()
    # Few columns fit 32 bits. In the smallest space ptxas spills with them on some architectures,
    # but for 16-bit types with vectors, where it spills with 64 (tests/kernels/compiled).
    IS_SHORT: tl.constexpr = R.has_operations or (ALIGNED and DTYPE.primitive_bitwidth == 16)
    MASK: tl.constexpr = tl.int32 if IS_SHORT and not R.is_wide else tl.int64
    reads = tl.zeros([], MASK)
    for i in tl.static_range(ROWS):
        acc = acc + (tl.zeros([BLOCK], tl.float32),)
        masks = masks + (tl.load(spec + MASKS + RANGE + i).to(MASK),)
        reads |= masks[i]
    if R.is_wide:
        # Too many columns to unroll: a loop whose body loads any of them.
        none = (acc[0], acc[0], acc[0])
        for c in range(ONE + 1):
            if ((reads >> c) & 1 != 0) & ((c < GUIDED) | (c >= DRAW)):
                z = load_column(places, state, spec, c, tile, none, R, DTYPE, ALIGNED, BLOCK)
                acc = add_column(acc, masks, z, c, row, weights, vectors, RANGE, R)
    else:
        values = load_values(places, reads, offs, mask, part, R, DTYPE, ALIGNED)
        for c in tl.static_range(REGISTERS + BRANCHES):
            acc = add_column(acc, masks, values[c], c, row, weights, vectors, RANGE, R)
        for q in range(2):
            if (reads >> (DRAW + q)) & 1 != 0:
                z = load_draw(places, state, spec, q, start, offs, mask, R, BLOCK)
                acc = add_column(acc, masks, z, DRAW + q, row, weights, vectors, RANGE, R)
        for e in range(EXTERNALS):
            if (reads >> (FIRST_EXTERNAL + e)) & 1 != 0:
                z = load_page(places[2], e, tl.load(spec + PAGES + e), places[3], offs, mask)
                acc = add_column(acc, masks, z, FIRST_EXTERNAL + e, row, weights, vectors, RANGE, R)
        if (reads >> ONE) & 1 != 0:
            one = tl.full([BLOCK], 1.0, tl.float32)
            acc = add_column(acc, masks, one, ONE, row, weights, vectors, RANGE, R)
    return acc, masks
