"""Launching lanes: the index stays on the device, so nothing waits for the host."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from denoisert.kernels.lanes import kernel
from denoisert.kernels.variant import Variant

# Eight words a thread: two 16-byte loads in flight, 16 programs a row of 4 x 64 x 64. Not tuned.
BLOCK = 1024
MOST_APART = 2**31 - 1  # units from row to row, a 32-bit argument
MOST_PROGRAMS = 65535  # of the grid's second axis

INDEX = {torch.int32: "*i32", torch.int64: "*i64"}
SCALED = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}
# Copies move words; a ragged row of 1- or 2-byte elements moves those.
UNITS = {1: torch.int8, 2: torch.int16, 4: torch.int32}
UNIT_TYPES = {1: "*i8", 2: "*i16", 4: "*i32"}
ALIGNED = {0: "ragged", 1: "aligned"}


def _variant(run: str, out: str, source: str, index: str, aligned: int) -> Variant:
    """One form of `copy_kernel` or `scale_kernel`, given pointer types."""
    names = kernel.SCALED if run == "scale" else kernel.RUN_TIME
    pointers = dict(zip(names, (out, source, index), strict=False))
    if run == "scale":
        pointers["scale_ptr"] = "*fp32"
    return Variant(
        name=f"{out[1:]} by {index[1:]} {ALIGNED[aligned]}",
        kernel=f"{run}_kernel",
        types=dict.fromkeys(names, "i32") | pointers,
        constants={"BLOCK": BLOCK, "ALIGNED": aligned},
    )


COPY = {
    (size, index, aligned): _variant(
        "copy", UNIT_TYPES[size], UNIT_TYPES[size], INDEX[index], aligned
    )
    for size, aligned in ((1, 0), (2, 0), (4, 0), (4, 1))
    for index in INDEX
}
SCALE = {
    (out, index, aligned): _variant("scale", SCALED[out], "*fp32", INDEX[index], aligned)
    for out in SCALED
    for aligned in ALIGNED
    for index in INDEX
}
VARIANTS = (*COPY.values(), *SCALE.values())


def gather(source: Tensor, index: Tensor, scale: Tensor | None = None, *, out: Tensor) -> None:
    """Write out[l] = source[index[l]], times scale[l] if scaled, without reading the index here.

    Beyond the reference: an index outside the source leaves its lane as it was, since the device
    cannot raise; a scaled out may be of a narrower type, to which the float32 product is rounded.

    Args:
        source: (rows, ...) of any type, float32 if scaled; rows may lie apart.
        index: (lanes,) int32 or int64, contiguous.
        scale: (lanes,) float32, contiguous; None copies bit for bit.
        out: (lanes, ...) of the source's type; if scaled, float32, float16 or bfloat16. Its rows
            may lie apart; it must not overlap the source.

    Raises:
        ValueError: tensors whose shapes, types, layouts or devices do not fit.
    """
    _check(source, index, scale, out)
    if not out.numel():
        return
    row = math.prod(source.shape[1:])
    parts = [part.as_strided((len(part), row), (part.stride(0), 1)) for part in (out, source)]
    aligned = int(all(_is_aligned(part) for part in parts))
    if scale is None:
        size = 4 if aligned else min(4, source.element_size())
        units = [part.view(UNITS[size]) for part in parts]
        _run(COPY[size, index.dtype, aligned], *units, index)
    else:
        _run(SCALE[out.dtype, index.dtype, aligned], *parts, index, scale)


def _is_aligned(part: Tensor) -> bool:
    """Whether every row is a whole number of 16 bytes and lies on 16 bytes."""
    sizes = part.stride(0) * part.element_size(), part.shape[1] * part.element_size()
    return not any(size % 16 for size in (part.data_ptr(), *sizes))


def _run(variant: Variant, out: Tensor, source: Tensor, index: Tensor, *scale: Tensor) -> None:
    lanes, units = out.shape
    programs = -(-units // BLOCK)
    if max(source.stride(0), out.stride(0)) > MOST_APART or programs > MOST_PROGRAMS:
        raise ValueError(
            f"rows of {units} units, {source.stride(0)} and {out.stride(0)} apart, are larger than "
            f"{MOST_PROGRAMS * BLOCK} units, {MOST_APART} apart; gather parts of them."
        )
    run: Any = getattr(kernel, variant.kernel)
    sizes = (len(source), units, out.stride(0), source.stride(0))
    run[(lanes, programs)](
        out, source, index, *sizes, *scale, **variant.constants, num_warps=variant.warps
    )


def _check(source: Tensor, index: Tensor, scale: Tensor | None, out: Tensor) -> None:
    taken = [source, out, index] + ([] if scale is None else [scale])
    types = (source.dtype, index.dtype, out.dtype)
    if scale is None:
        fits = source.dtype == out.dtype and index.dtype in INDEX
    else:
        fits = types[0] == scale.dtype == torch.float32 and types[1] in INDEX and types[2] in SCALED
        fits &= scale.shape == index.shape and scale.is_contiguous()
    fits &= out.shape == index.shape + source.shape[1:] and index.ndim == 1
    fits &= index.is_contiguous() and len({tensor.device for tensor in taken}) == 1
    if not (fits and source[:1].is_contiguous() and out[:1].is_contiguous()):
        described = ", ".join(f"{tuple(t.shape)} {t.dtype} {t.device}" for t in taken)
        raise ValueError(f"source, out, index, scale do not fit: {described}; see `gather`.")
