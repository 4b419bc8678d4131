"""Whether what a solver says, guidance and bound fit into one table."""

from __future__ import annotations

import numpy as np

from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.guidance import Branches
from denoisert.runtime.sampling.rows import Rows


def check_fit(rows: Rows, branches: Branches) -> None:
    """Refuse what cannot be one table.

    Args:
        rows: what the solver says, with the bound on its clean estimate.
        branches: what guidance asks for at every stage.

    Raises:
        InvalidTable: weights of another shape, or that do not sum to 1.
        InvalidInput: solver and guidance, or solver and bound, both need what a stage has once.
    """
    _check_weights(branches, rows.stages)
    _check_rules(rows, branches)


def _check_rules(rows: Rows, branches: Branches) -> None:
    own = [row for row, rule in enumerate(rows.rules) if rule is not None]
    if own and rows.bound is not None:
        raise InvalidInput(
            f"the solver weighs its vectors by their products, which {rows.bound} would have to "
            "come before. Use the solver without it."
        )
    clash = [row for row in own if branches.rule[row - 1]]
    if clash:
        raise InvalidInput(
            f"solver and guidance both have a rule at stage {clash[0] - 1}, and a stage holds one. "
            "Use guidance that only needs weights, such as CFG(scale) without rescale."
        )


def _check_weights(branches: Branches, stages: int) -> None:
    if branches.weights.shape != (stages, len(branches.conditions)):
        raise InvalidTable(
            f"guidance weights of shape {branches.weights.shape} for {stages} stages and "
            f"{len(branches.conditions)} branches."
        )
    off = np.abs(branches.weights.sum(axis=1) - 1.0)
    if off.max(initial=0.0) > 1e-9:
        raise InvalidTable(
            f"guidance weights of stage {int(np.argmax(off))} sum to {1 + off.max():g}; they "
            "must sum to 1, "
            "or the clean and the noise estimate would contradict each other."
        )
