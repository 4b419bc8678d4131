"""How far a narrowed graph may be from its source, and which nodes stay float32 until it is not.

Nodes whose numbers a half type does not hold stay float32 in any case. If the error is still too
large, everything up to the first layer that multiplies matrices does, then up to the second, the
fourth and so on: noise that enters early passes through all of the network. Putting back the layers
with the worst signal to noise ratio instead was measured to bring nothing, since they inherit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from denoisert.export.precision.comparison import Comparison, Measured
from denoisert.export.precision.layers import Layer
from denoisert.runtime.errors import ParityError

BUDGETS: Final[Mapping[str, float]] = MappingProxyType({"float16": 5e-3, "bfloat16": 4e-2})
"""Largest relative error of an output, max|difference| / max|reference|.

Both are ten roundings of the type, 2^-11 and 2^-8. Trained models of the zoo need less than half
of it, tests/export/precision/test_zoo.py shows; networks with random weights, whose errors grow
from layer to layer, may need more and get their first layers back.
"""

MOST_KEPT: Final = 0.5
"""Share of the weights in float32 above which a half type is not worth it."""

NAMED: Final = 5
"""How many of the worst layers an error names."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One narrowed graph that was tried.

    Args:
        first: how many of the first layers that multiply matrices stay float32, with everything
            in front of them.
        weight_bytes: of all layers that stay float32, there.
        error: largest relative error of an output.
    """

    first: int
    weight_bytes: int
    error: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What stays float32 so that a narrowed graph is close enough.

    Args:
        component: of the bundle.
        dtype: the half type.
        bound: the budget.
        keep: names of nodes, for `narrow`.
        out_of_range: those among them whose numbers the type does not hold.
        attempts: in order; the last one met the budget.
        measured: of the last attempt.
    """

    component: str
    dtype: str
    bound: float
    keep: frozenset[str]
    out_of_range: frozenset[str]
    attempts: tuple[Attempt, ...]
    measured: Measured


def fit(component: str, comparison: Comparison, bound: float | None = None) -> Fit:
    """Find what has to stay float32.

    Args:
        component: of the bundle, for messages.
        comparison: the graph and its trials.
        bound: largest relative error; that of the type in `BUDGETS` if None.

    Raises:
        ParityError: even with half of the weights in float32 the error is too large; it names the
            worst layers.
    """
    limit = BUDGETS[comparison.dtype] if bound is None else bound
    measured = comparison.measure()
    out_of_range = keep = comparison.out_of_range()
    if out_of_range:
        measured = comparison.measure(keep)
    attempts: list[Attempt] = []
    first = 0
    while True:
        kept, whole = _weights(measured.layers, keep)
        attempts.append(Attempt(first, kept, measured.error))
        if measured.error <= limit:
            return Fit(
                component=component,
                dtype=comparison.dtype,
                bound=limit,
                keep=keep,
                out_of_range=out_of_range,
                attempts=tuple(attempts),
                measured=measured,
            )
        first = 2 * first or 1
        keep = out_of_range | comparison.prefix(first)
        kept, _ = _weights(measured.layers, keep)
        if kept > MOST_KEPT * whole or first > len(comparison.nodes):
            raise _exceeded(component, comparison.dtype, limit, tuple(attempts), measured)
        measured = comparison.measure(keep)


def _weights(layers: tuple[Layer, ...], keep: frozenset[str]) -> tuple[int, int]:
    """Bytes of the layers that stay float32, and of all."""
    kept = sum(layer.weight_bytes for layer in layers if layer.name in keep)
    return kept, sum(layer.weight_bytes for layer in layers)


def _exceeded(
    component: str, dtype: str, limit: float, attempts: tuple[Attempt, ...], measured: Measured
) -> ParityError:
    worst = ", ".join(
        f"{layer.op} {layer.name!r} ({layer.snr_db:.1f} dB)" for layer in measured.layers[:NAMED]
    )
    best = min(attempts, key=lambda attempt: attempt.error)
    return ParityError(
        f"the {component} in {dtype} differs from the model by {attempts[0].error:.2e}, relative "
        f"to its largest value, and by {best.error:.2e} with its first {best.first} layers in "
        f"float32; at most {limit:.0e} is accepted. Its noisiest layers: {worst}. Compile it in "
        f"{'bfloat16 or ' if dtype == 'float16' else ''}float32."
    )
