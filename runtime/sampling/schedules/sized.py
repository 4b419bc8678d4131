"""Spacings that depend on the size of the latent: what a request's size makes of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

from denoisert.runtime.sampling.schedules.shift import ResolutionShifted
from denoisert.runtime.sampling.schedules.spacing import Spacing


def spacing_of(spacing: Spacing, shape: tuple[int, ...]) -> Spacing:
    """The spacing of a latent: a shift by resolution, also inside another spacing, knows its size.

    Args:
        spacing: any.
        shape: (C, ..., H, W) of the latent; of one without height and width nothing follows.

    Raises:
        InvalidInput: tokens that give no shift.
    """
    if not is_dataclass(spacing) or isinstance(spacing, type):
        return spacing
    held = {each.name: getattr(spacing, each.name) for each in fields(spacing)}
    inner = {
        name: spacing_of(value, shape) for name, value in held.items() if isinstance(value, Spacing)
    }
    whole: Spacing = replace(spacing, **inner) if inner else spacing
    return whole.of(shape) if isinstance(whole, ResolutionShifted) else whole
