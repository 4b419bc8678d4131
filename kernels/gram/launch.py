"""Gram of all slots of a pool: two launches whose grids depend on shapes only."""

from __future__ import annotations

import torch
import triton

from denoisert.kernels.gram import kernel
from denoisert.kernels.gram.reference import check_channels
from denoisert.kernels.variant import Variant

VECTORS = kernel.VECTORS.value
PARTIALS = kernel.PARTIALS.value

SIZES = {"slot_pitch": "i32", "pitch": "i32", "elements": "i32"}
OUT = {"products_ptr": "*fp64", "sums_ptr": "*fp64"}

# Four elements a thread are one wide load; with four vectors 14 float64 accumulators of them
# still fit in registers (twice the block spills).
ACCUMULATE = Variant(
    "accumulate",
    kernel="accumulate",
    types={"vectors_ptr": "*fp32", "counts_ptr": "*i32", "partials_ptr": "*fp64", **SIZES},
    constants={"BLOCK": 512},
    aligned=("vectors_ptr", "slot_pitch", "pitch"),
)
TOTAL = Variant(
    "total",
    kernel="total",
    types={"partials_ptr": "*fp64", "counts_ptr": "*i32", **OUT, "splits": "i32"},
    constants={"CHUNK": 64},
)
VARIANTS: tuple[Variant, ...] = (ACCUMULATE, TOTAL)

# A 4 x 64 x 64 latent takes 8 programs a slot, and the largest one fills every known GPU.
SPLIT_ELEMENTS = 2048
MAX_SPLITS = 512


def workspace(slots: int, channels: int, elements: int) -> tuple[int, int, int, int]:
    """Shape of the float64 workspace of `gram`: (slots, channels, splits, 16)."""
    splits = min(triton.cdiv(elements // channels, SPLIT_ELEMENTS), MAX_SPLITS)
    return slots, channels, splits, PARTIALS


def gram(
    vectors: torch.Tensor,
    counts: torch.Tensor,
    *,
    elements: int,
    channels: int,
    out: tuple[torch.Tensor, torch.Tensor],
    workspace: torch.Tensor,
) -> None:
    """Write products and sums of each slot's vectors, per channel; see the reference.

    Args:
        vectors: (slots, 4, pitch) float32 from a multiple of 16 bytes, rows multiples of 16
            elements apart; what lies behind `elements` is not read.
        counts: (slots,) int32 number M of the slot's vectors, 0 .. 4; a slot with 0 is skipped.
        elements: of one vector, channels first.
        channels: 1 for products over whole vectors.
        out: products (slots, channels, 4, 4) and sums (slots, channels, 4), float64; the M x M
            corner and the first M are written.
        workspace: float64 of the shape `workspace(slots, channels, elements)`, any content.

    Raises:
        ValueError: elements not divisible by channels, or a tensor of another form.
    """
    check_channels(elements, channels)
    _check(vectors, counts, elements, channels, out, workspace)
    slots, _, splits, _ = workspace.shape
    kernel.accumulate[(splits, channels, slots)](
        *(vectors, counts, workspace, *vectors.stride()[:2], elements),
        **ACCUMULATE.constants,
        num_warps=ACCUMULATE.warps,
    )
    kernel.total[(channels, slots)](
        workspace, counts, *out, splits, **TOTAL.constants, num_warps=TOTAL.warps
    )


def _check(
    vectors: torch.Tensor,
    counts: torch.Tensor,
    elements: int,
    channels: int,
    out: tuple[torch.Tensor, torch.Tensor],
    space: torch.Tensor,
) -> None:
    """Refuse what the kernels cannot read or write."""
    slots, count, held = vectors.shape
    rows = vectors.stride()
    is_aligned = rows[0] % 16 == rows[1] % 16 == vectors.data_ptr() % 16 == 0 and rows[2] == 1
    if vectors.dtype != torch.float32 or count != VECTORS or held < elements or not is_aligned:
        raise ValueError(
            f"vectors are {vectors.dtype} {tuple(vectors.shape)} with strides {rows}; give aligned "
            f"float32 (slots, {VECTORS}, {elements} or more), rows multiples of 16 apart."
        )
    wide, place = torch.float64, (slots, channels)
    for name, tensor, dtype, shape in (
        ("counts", counts, torch.int32, (slots,)),
        ("products", out[0], wide, (*place, VECTORS, VECTORS)),
        ("sums", out[1], wide, (*place, VECTORS)),
        ("workspace", space, wide, workspace(slots, channels, elements)),
    ):
        if tensor.dtype != dtype or tensor.shape != shape or not tensor.is_contiguous():
            raise ValueError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}; give contiguous {dtype} {shape}."
            )
