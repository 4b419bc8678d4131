"""Weights of all slots of a pool by the rules that their rows name: one launch."""

from __future__ import annotations

import torch

from denoisert.kernels.rule import kernel
from denoisert.kernels.variant import Variant

VECTORS = kernel.VECTORS.value
ARGS = kernel.ARGS.value

# A few dozen scalars: one warp.
WEIGH = Variant(
    "weigh",
    kernel="weigh",
    types={
        "rules_ptr": "*i32",
        "products_ptr": "*fp64",
        "sums_ptr": "*fp64",
        "args_ptr": "*fp64",
        "carried_ptr": "*fp64",
        "out_ptr": "*fp32",
        "count": "i32",
    },
    constants={},
    warps=1,
)
VARIANTS: tuple[Variant, ...] = (WEIGH,)


def apply(
    rules: torch.Tensor,
    products: torch.Tensor,
    sums: torch.Tensor,
    *,
    count: int,
    args: torch.Tensor,
    carried: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Write the weights of each slot's vectors; see `cpu.apply`.

    Args:
        rules: (slots,) int32 ids; a slot with 0 is skipped, an id without a program gets weights
            that are not numbers, since the host never reads it.
        products: (slots, channels, 4, 4) float64 from gram.
        sums: (slots, channels, 4) float64 from gram.
        count: elements of a channel.
        args: (slots, 8) float64 of the slots' rows.
        carried: (slots, channels, 4) float64 that a rule may read and change.
        out: (slots, channels, 4) float32; the first VECTORS[rule] are written.

    Raises:
        ValueError: a tensor of another form, or a count below 1.
    """
    slots, channels = out.shape[:2]
    if count < 1:
        raise ValueError(f"count is {count}; give the elements of a channel, at least 1.")
    wide, place = torch.float64, (slots, channels)
    for name, tensor, dtype, shape in (
        ("rules", rules, torch.int32, (slots,)),
        ("products", products, wide, (*place, VECTORS, VECTORS)),
        ("sums", sums, wide, (*place, VECTORS)),
        ("args", args, wide, (slots, ARGS)),
        ("carried", carried, wide, (*place, VECTORS)),
        ("out", out, torch.float32, (*place, VECTORS)),
    ):
        _check(name, tensor, dtype, shape)
    kernel.weigh[(channels, slots)](
        rules,
        products,
        sums,
        args,
        carried,
        out,
        count,
        **WEIGH.constants,
        num_warps=WEIGH.warps,
    )


def _check(name: str, tensor: torch.Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Refuse a tensor that the kernel would read or write wrongly."""
    if tensor.dtype != dtype or tensor.shape != shape or not tensor.is_contiguous():
        raise ValueError(
            f"{name} is {tensor.dtype} {tuple(tensor.shape)}; give contiguous {dtype} {shape}."
        )
