"""Quantile of all slots of a pool: one launch for small vectors, one for each digit for large."""

from __future__ import annotations

import torch
import triton

from denoisert.kernels.quantile import kernel
from denoisert.kernels.variant import Variant

DIGITS = kernel.DIGITS.value
BINS = kernel.BINS.value

BLOCK, WARPS = 2048, 8  # as many threads as bins; eight elements a thread are two wide loads


def _reader(
    name: str, kernel: str, target: dict[str, str], constants: dict[str, object]
) -> Variant:
    """A specialisation that reads values and ratios and writes one more buffer."""
    sources = {"values_ptr": "*fp32", "ratios_ptr": "*fp32"}
    types = {**sources, **target, "pitch": "i32", "elements": "i32"}
    return Variant(name, kernel, types, constants, aligned=("values_ptr", "pitch"), warps=WARPS)


SELECT = _reader("one program", "select", {"out_ptr": "*fp32"}, {"BLOCK": BLOCK})
HISTOGRAMS = tuple(
    _reader(
        f"digit {digit}", "histogram", {"workspace_ptr": "*i32"}, {"DIGIT": digit, "BLOCK": BLOCK}
    )
    for digit in range(DIGITS)
)
FINISH = Variant(
    "finish",
    kernel="finish",
    types={"workspace_ptr": "*i32", "ratios_ptr": "*fp32", "out_ptr": "*fp32", "elements": "i32"},
    constants={},
    warps=WARPS,
)
VARIANTS: tuple[Variant, ...] = (SELECT, *HISTOGRAMS, FINISH)

SMALL = 16_384  # a 4 x 64 x 64 latent; by instruction count one program equals six launches here
SPLIT_ELEMENTS = 2 * BLOCK
MAX_SPLITS = 512
LARGEST = 1 << 30  # offsets are int32


def workspace(slots: int) -> tuple[int, int, int]:
    """Shape of the int32 workspace of `quantile`: a histogram a digit and a row for one value."""
    return slots, DIGITS + 1, BINS


def quantile(
    values: torch.Tensor,
    ratios: torch.Tensor,
    *,
    elements: int,
    out: torch.Tensor,
    workspace: torch.Tensor,
) -> None:
    """Write the exact quantile of each slot's absolute values; equal to the reference in float32.

    Args:
        values: (slots, pitch) float32 from a multiple of 16 bytes, rows a multiple of 16 elements
            apart; what lies behind `elements` is not read.
        ratios: (slots,) float32 in 0 .. 1; a slot with a negative one is skipped.
        elements: of one slot.
        out: (slots,) float32; NaN where a value is NaN.
        workspace: int32 of the shape `workspace(slots)`, any content.

    Raises:
        ValueError: no or too many elements, or a tensor of another form.
    """
    _check(values, ratios, elements, out, workspace)
    slots, pitch = len(values), values.stride(0)
    if elements <= SMALL:
        kernel.select[(slots,)](values, ratios, out, pitch, elements, **_options(SELECT))
        return
    splits = min(triton.cdiv(elements, SPLIT_ELEMENTS), MAX_SPLITS)
    workspace.zero_()
    for digit in HISTOGRAMS:
        kernel.histogram[(splits, slots)](
            values, ratios, workspace, pitch, elements, **_options(digit)
        )
    kernel.finish[(slots,)](workspace, ratios, out, elements, **_options(FINISH))


def _options(variant: Variant) -> dict[str, object]:
    """What a launch passes by keyword: the reference rounds products and sums one by one."""
    return {**variant.constants, "num_warps": variant.warps, "enable_fp_fusion": False}


def _check(
    values: torch.Tensor,
    ratios: torch.Tensor,
    elements: int,
    out: torch.Tensor,
    space: torch.Tensor,
) -> None:
    """Refuse what the kernels cannot read or write."""
    slots, held = values.shape
    rows = values.stride()
    is_aligned = rows[0] % 16 == values.data_ptr() % 16 == 0 and rows[1] == 1
    fits = 1 <= elements <= min(held, LARGEST)
    if values.dtype != torch.float32 or not fits or not is_aligned:
        raise ValueError(
            f"values are {values.dtype} {tuple(values.shape)} with strides {rows} for {elements} "
            f"elements; give aligned float32 rows, multiples of 16 apart, of 1 .. {LARGEST}."
        )
    for name, tensor, dtype, shape in (
        ("ratios", ratios, torch.float32, (slots,)),
        ("out", out, torch.float32, (slots,)),
        ("workspace", space, torch.int32, workspace(slots)),
    ):
        if tensor.dtype != dtype or tensor.shape != shape or not tensor.is_contiguous():
            raise ValueError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}; give contiguous {dtype} {shape}."
            )
