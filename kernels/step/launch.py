"""Launches of the step kernels over all slots of a pool; nothing here allocates or synchronises."""

from __future__ import annotations

from torch import Tensor

from denoisert.kernels.step import kernel
from denoisert.kernels.step.space import Space
from denoisert.kernels.step.variants import TABLE
from denoisert.kernels.variant import Variant

VARIANTS: tuple[Variant, ...] = tuple(TABLE.values())


def step(space: Space, *, slot: int | None = None) -> None:
    """Run the next row of every slot that has a work; see `reference.step`.

    Noise is drawn inside. Registers and taps are written, the inputs, times and scalars that the
    row after it asks go to the slot's lanes, and its counter advances. The status of a slot takes
    the number of the first row whose R_0 is not finite.

    Args:
        space: of the pool.
        slot: only this one; None runs all.
    """
    first, count = (0, len(space.states)) if slot is None else (slot, 1)
    variant = TABLE["step_kernel", space.record.form, space.dtype, int(space.is_aligned)]
    kernel.step_kernel[(len(space.tiles), count)](
        *space.places,
        *space.found,
        space.tiles,
        space.pitch,
        space.parts,
        space.channels,
        first,
        **variant.constants,
        num_warps=variant.warps,
    )


def feed(space: Space) -> None:
    """Write what the next row of every slot asks into its lanes, after a new lane map.

    Args:
        space: of the pool.
    """
    variant = TABLE["feed_kernel", space.record.form, space.dtype, 0]
    kernel.feed_kernel[(len(space.tiles), len(space.states))](
        *space.places,
        space.tiles,
        space.pitch,
        space.parts,
        **variant.constants,
        num_warps=variant.warps,
    )


def vectors(space: Space, out: Tensor, *, counts: Tensor, rules: Tensor, args: Tensor) -> None:
    """Write the rule vectors V_m of the slots whose next row has a rule.

    Args:
        space: of the pool.
        out: (slots, 4, pitch) float32.
        counts: (slots,) int32, M of every slot, 0 without a rule.
        rules: (slots,) int32, the rule's id.
        args: (slots, 8) float64, its arguments.
    """
    variant = TABLE["vectors_kernel", space.record.form, space.dtype, 0]
    kernel.vectors_kernel[(len(space.tiles), len(space.states))](
        *space.places,
        space.rows[2],
        space.tiles,
        out,
        counts,
        rules,
        args,
        space.pitch,
        space.parts,
        **variant.constants,
        num_warps=variant.warps,
    )


def argument(space: Space, order: int, out: Tensor, *, ratios: Tensor) -> None:
    """Write U_order of the slots whose next row wants its quantile.

    Args:
        space: of the pool; thresholds of lower orders are there already.
        order: 0 or 1.
        out: (slots, pitch) float32.
        ratios: (slots,) float32, the quantile that is wanted, -1 where none is.
    """
    variant = TABLE["argument_kernel", space.record.form, space.dtype, order]
    kernel.argument_kernel[(len(space.tiles), len(space.states))](
        *space.places,
        *space.found,
        space.tiles,
        out,
        ratios,
        space.pitch,
        space.parts,
        space.channels,
        **variant.constants,
        num_warps=variant.warps,
    )
