"""Parity: the compiled graphs against the model as its author wrote it, on fresh random inputs.

An exporter can write a wrong graph without an error, so this is part of compiling and cannot be
left out. An input that changes nothing is reported, too: parity on it would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.export.graph.ports import graph_lanes
from denoisert.export.graph.signature import Signature
from denoisert.export.random_inputs import Arrays, fit_inputs
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import ParityError

BOUND: Final = 1e-4
"""Largest relative error of a compiled graph, max|difference| / max|reference|, float32."""

BOUNDS: Final[Mapping[str, float]] = MappingProxyType(
    {"float32": BOUND, "float16": 2e-2, "bfloat16": 1.6e-1, "int8": 1e-1}
)
"""The same by dtype. A half type is fitted to a quarter of it, and refused above half of it; a
library may sum otherwise, and other inputs are drawn. In int8 networks with random weights are at a
fifth of it, trained ones at a tenth."""

SAME: Final = 0
"""Seed of the first trial."""

DEAD: Final = 1e-3
"""An input whose change moves the output by less than this, relative, is reported."""

Evaluate = Callable[[Arrays], Arrays]


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a graph is from its source.

    Args:
        component: of the bundle.
        graph: "graph" or the name of a target.
        output: graph output.
        relative_error: largest over all drawn inputs.
    """

    component: str
    graph: str
    output: str
    relative_error: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of inputs and what the source makes of it.

    Args:
        inputs: port name -> array.
        expected: output name -> array.
        sizes: lengths of the graph's named axes.
    """

    inputs: Arrays
    expected: Arrays
    sizes: Mapping[str, int] = field(default_factory=dict)


def draw_trials(
    signature: Signature,
    ports: tuple[Port, ...],
    evaluate: Evaluate,
    generator: np.random.Generator,
) -> tuple[Trial, ...]:
    """Draw inputs for several numbers of lanes and every size, and evaluate the source on them.

    Args:
        signature: what inputs look like.
        ports: of the graph; a fixed number of lanes is the only one drawn.
        evaluate: the source.
        generator: of the inputs, but for those of the first trial, which are always the same: half
            types are fitted to it, and a model gives the same bundle twice.

    Raises:
        ParityError: the source returns a value that is not finite.
    """
    fixed = graph_lanes(signature, ports)
    counts = (fixed,) if isinstance(fixed, int) else signature.lanes
    default, *further = signature.sizes
    pairs = [*((default, lanes) for lanes in counts), *((sizes, counts[0]) for sizes in further)]
    trials: list[Trial] = []
    for sizes, lanes in pairs:
        source = generator if trials else np.random.default_rng(SAME)
        inputs = fit_inputs(signature.draw(lanes, source, sizes), ports)
        expected = evaluate(inputs)
        _check_finite(expected)
        trials.append(Trial(inputs, expected, sizes))
    return tuple(trials)


def measure(
    component: str,
    graph: str,
    trials: tuple[Trial, ...],
    evaluate: Evaluate,
    dtype: str = "float32",
) -> tuple[Parity, ...]:
    """Compare a graph with the source on every trial.

    Args:
        component: which part of the model.
        graph: its name in figures and errors.
        trials: inputs and expected outputs.
        evaluate: runs the graph.
        dtype: that it computes in.

    Raises:
        ParityError: a relative error above the bound of the dtype.
    """
    bound = BOUNDS[dtype]
    worst: dict[str, float] = {}
    for trial in trials:
        found = evaluate(trial.inputs)
        for name, reference in trial.expected.items():
            error = relative_error(found[name], reference)
            worst[name] = max(worst.get(name, 0.0), error)
    for name, error in worst.items():
        if not error <= bound:
            raise ParityError(
                f"output {name!r} of the {component}'s {graph} differs from the model by "
                f"{error:.2e}, relative to its largest value; at most {bound:.0e} is accepted. "
                "The exporter or a lowering pass is wrong for this model: please report it with "
                "the model's operators."
            )
    return tuple(Parity(component, graph, name, error) for name, error in worst.items())


def relative_error(found: NDArray[Any], reference: NDArray[Any]) -> float:
    """max|found - reference| / max|reference|; infinite for another shape or a NaN."""
    if found.shape != reference.shape or not np.isfinite(found).all():
        return np.inf
    difference = float(np.abs(found.astype(np.float64) - reference).max(initial=0.0))
    scale = float(np.abs(reference).max(initial=0.0))
    if difference == 0.0:
        return 0.0
    return difference / scale if scale else np.inf


def find_dead_inputs(
    signature: Signature,
    ports: tuple[Port, ...],
    evaluate: Evaluate,
    generator: np.random.Generator,
) -> Iterator[str]:
    """Yield a sentence for each input that hardly changes any output, and for outputs of zeros.

    Args:
        signature: what inputs look like.
        ports: of the graph.
        evaluate: runs the graph.
        generator: of the inputs.
    """
    fixed = graph_lanes(signature, ports)
    lanes = fixed if isinstance(fixed, int) else signature.lanes[-1]
    sizes = signature.sizes[0]
    inputs = fit_inputs(signature.draw(lanes, generator, sizes), ports)
    other = fit_inputs(signature.draw(lanes, generator, sizes), ports)
    base = evaluate(inputs)
    for name, value in base.items():
        if not value.any() and name not in signature.zeros:
            yield f"output {name!r} is zero everywhere: parity on it proves nothing."
    for name in inputs:
        if np.array_equal(inputs[name], other[name]):
            continue
        change = _change(evaluate({**inputs, name: other[name]}), base)
        if change < DEAD:
            yield (
                f"input {name!r} hardly changes the output ({change:.1e}, relative): parity says "
                "little about it."
            )


def _change(found: Mapping[str, NDArray[Any]], base: Mapping[str, NDArray[Any]]) -> float:
    return max(relative_error(found[name], base[name]) for name in base)


def _check_finite(outputs: Arrays) -> None:
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise ParityError(
                f"output {name!r} of the model itself has values that are not finite on random "
                "inputs; nothing can be compared. Check its weights and the card's time range."
            )
