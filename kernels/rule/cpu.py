"""Rules by number, as rows of a table name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.rule import cfg_rescale, evodiff, langevin

Array = NDArray[Any]
Program = Callable[[Array, Array, int, Sequence[float] | Array, Array], Array]

CFG_RESCALE = 1
LANGEVIN = 2
EVODIFF = 3

# Index = rule id; bundles and tables store it, so rules are only ever appended. 0 = no rule.
RULES: tuple[Program | None, ...] = (
    None,
    cfg_rescale.cfg_rescale,
    langevin.langevin,
    evodiff.evodiff,
)
VECTORS: tuple[int, ...] = (0, cfg_rescale.VECTORS, langevin.VECTORS, evodiff.VECTORS)
# Whether a rule's products run over a channel, so that each has weights and scalars of its own.
PER_CHANNEL: tuple[bool, ...] = (
    False,
    cfg_rescale.PER_CHANNEL,
    langevin.PER_CHANNEL,
    evodiff.PER_CHANNEL,
)


def apply(
    rule: int,
    products: Array,
    sums: Array,
    count: int,
    args: Sequence[float] | Array,
    *,
    carried: Array,
    out: Array,
) -> None:
    """Write the weights of a rule's vectors.

    Args:
        rule: id, 1 .. len(RULES) - 1.
        products: (channels, M, M) float64 from gram, M = VECTORS[rule].
        sums: (channels, M) float64 from gram.
        count: elements of a channel.
        args: up to 8 numbers of the row.
        carried: (channels, 4) float64 that the rule may read and change.
        out: (channels, M) of any float type.

    Raises:
        ValueError: no such rule, or products of another number of vectors.
    """
    program = RULES[rule] if 0 <= rule < len(RULES) else None
    if program is None:
        raise ValueError(f"rule {rule} has no program; ids run from 1 to {len(RULES) - 1}.")
    if products.shape[1:] != (VECTORS[rule], VECTORS[rule]):
        raise ValueError(
            f"rule {rule} takes {VECTORS[rule]} vectors; products have shape {products.shape}."
        )
    np.copyto(out, program(products, sums, count, args, carried), casting="same_kind")
