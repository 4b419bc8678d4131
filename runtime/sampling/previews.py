"""Previews: rows that also write down what the run would end in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denoisert.runtime.sampling.rows import Rows


def with_previews(rows: Rows, every: int) -> Rows:
    """The same rows with the clean estimate of every k-th step on one more tape.

    The tape is the last one and has one page, which each preview overwrites. What the registers
    become is not touched, so the final latent keeps its bits. D is what the solver itself uses:
    after guidance, and after the operation if there is one.

    Args:
        rows: what the solver says.
        every: k, at least 1. A stage that ends no step, or another step, shows nothing.

    Returns:
        Rows with one tape more.
    """
    ends = np.diff(rows.steps, prepend=0) > 0
    shown = ends & (rows.steps % every == 0)
    count, tapes, width = rows.taps.shape
    taps = np.zeros((count, tapes + 1, width))
    taps[:, :tapes] = rows.taps
    taps[shown, tapes] = rows.basis.denoised
    pages = np.where(shown, 0, -1)[:, None]
    return replace(rows, taps=taps, tap_index=np.hstack([rows.tap_index, pages]))
