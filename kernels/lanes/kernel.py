"""Lanes on a GPU: one row of programs a lane; the index is read on the device."""

import triton
import triton.language as tl

RUN_TIME = ("out_ptr", "source_ptr", "index_ptr", "rows", "units", "out_stride", "source_stride")
SCALED = (*RUN_TIME, "scale_ptr")


@triton.jit
def row_tile(row_ptr, row, stride, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """Pointers (BLOCK,) to this program's units of a row; if ALIGNED, they begin on 16 bytes.

    The hint stands on the sum: Triton drops one that stands on an argument.
    """
    first = tl.program_id(1) * BLOCK
    pointers = row_ptr + row.to(tl.int64) * stride + (first + tl.arange(0, BLOCK))
    if ALIGNED:
        pointers = tl.multiple_of(pointers, [16])
    return pointers


@triton.jit
def row_mask(units, PACK: tl.constexpr, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """Which of this program's units the row has; PACK units are 16 bytes."""
    mask = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK) < units
    if ALIGNED:
        # A row is a whole number of 16 bytes, so no 16-byte access is half inside.
        mask = tl.max_constancy(mask, [PACK])
    return mask


@triton.jit(do_not_specialize=RUN_TIME)
def copy_kernel(
    out_ptr,
    source_ptr,
    index_ptr,
    rows,
    units,
    out_stride,
    source_stride,
    BLOCK: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """out[lane] = source[index[lane]], bit for bit, rows as units of an integer type.

    Args:
        out_ptr: (lanes, units), rows out_stride apart.
        source_ptr: (rows, units), rows source_stride apart.
        index_ptr: (lanes,) int32 or int64; outside 0 .. rows - 1 the lane stays as it is.
        rows: of the source.
        units: of a row.
        out_stride: units from row to row.
        source_stride: units from row to row.
        BLOCK: units of a program.
        ALIGNED: pointers lie on 16 bytes, strides and rows are whole numbers of 16 bytes.
    """
    lane = tl.program_id(0)
    row = tl.load(index_ptr + lane)
    if (row >= 0) & (row < rows):
        pack: tl.constexpr = 128 // out_ptr.dtype.element_ty.primitive_bitwidth
        mask = row_mask(units, pack, BLOCK, ALIGNED)
        source = row_tile(source_ptr, row, source_stride, BLOCK, ALIGNED)
        values = tl.load(source, mask=mask)
        tl.store(row_tile(out_ptr, lane, out_stride, BLOCK, ALIGNED), values, mask=mask)


@triton.jit(do_not_specialize=SCALED)
def scale_kernel(
    out_ptr,
    source_ptr,
    index_ptr,
    rows,
    units,
    out_stride,
    source_stride,
    scale_ptr,
    BLOCK: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """out[lane] = scale[lane] source[index[lane]], rounded from float32 to out's type.

    Args:
        out_ptr: (lanes, units) float32, float16 or bfloat16; this and the rest as of `copy_kernel`.
        source_ptr: (rows, units) float32.
        index_ptr: (lanes,).
        rows: of the source.
        units: of a row.
        out_stride: units from row to row.
        source_stride: units from row to row.
        scale_ptr: (lanes,) float32.
        BLOCK: units of a program.
        ALIGNED: as of `copy_kernel`, for both types.
    """
    lane = tl.program_id(0)
    row = tl.load(index_ptr + lane)
    if (row >= 0) & (row < rows):
        pack: tl.constexpr = 128 // out_ptr.dtype.element_ty.primitive_bitwidth
        mask = row_mask(units, pack, BLOCK, ALIGNED)
        source = row_tile(source_ptr, row, source_stride, BLOCK, ALIGNED)
        values = tl.load(source, mask=mask)
        values = (values * tl.load(scale_ptr + lane)).to(out_ptr.dtype.element_ty)
        tl.store(row_tile(out_ptr, lane, out_stride, BLOCK, ALIGNED), values, mask=mask)
