"""Fresh random inputs of a denoiser, drawn from its card: for tracing and for parity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.engines.engine import Port

Arrays = dict[str, NDArray[Any]]

UNIFORM_CHOICES = 2
"""Integer inputs without classes, and masks, are drawn from 0 and 1."""


def draw_inputs(
    card: Card, ports: Sequence[Port], lanes: int, generator: np.random.Generator
) -> Arrays:
    """Values for every input of a denoiser.

    Args:
        card: labels include the null class, times are those of its training.
        ports: the inputs that the card describes.
        lanes: first dimension of all but a scalar time.
        generator: source of the values.
    """
    conditions = {entry.name: entry for entry in card.conditions}
    drawn: Arrays = {}
    for port in ports:
        shape = port.shape(lanes)
        if port.name == card.network.time:
            values = draw_times(card, shape, generator)
        elif port.name in conditions:
            values = _draw_condition(conditions[port.name], shape, generator)
        else:
            values = generator.standard_normal(shape)
        drawn[port.name] = np.asarray(values).astype(port.dtype)
    return drawn


def fit_inputs(arrays: Arrays, ports: Sequence[Port]) -> Arrays:
    """The arrays in the shapes that a graph wants: a scalar time may be () or (1,)."""
    fitted = {}
    for port in ports:
        array = arrays[port.name]
        is_scalar = array.size == 1 and port.dims in ((), (1,))
        fitted[port.name] = array.reshape(port.shape(1)) if is_scalar else array
    return fitted


def draw_times(
    card: Card, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Model times of training: one of the allowed, a whole one, or any between both ends."""
    training = card.training
    if training.timesteps:
        return generator.choice(np.asarray(training.timesteps), size=shape)
    low, high = sorted((training.schedule.first, training.schedule.last))
    if training.schedule.train_steps is None and "int" not in card.network.time_dtype:
        return np.asarray(generator.uniform(low, high, size=shape))
    return generator.integers(round(low), round(high) + 1, size=shape).astype(np.float64)


def _draw_condition(
    entry: ConditionInput, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[Any]:
    if entry.source is Source.CLASS_LABEL:
        labels = list(range(entry.classes))
        choices = labels if entry.null is None else sorted({*labels, int(entry.null)})
        return generator.choice(np.asarray(choices), size=shape)
    is_float = "float" in entry.dtype
    if is_float and entry.source not in (Source.TOKEN_MASK, Source.MASK):
        return generator.standard_normal(shape)
    return generator.integers(0, UNIFORM_CHOICES, size=shape)
