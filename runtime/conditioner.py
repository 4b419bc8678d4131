"""What the conditions of a request come to before they reach the denoiser, once per request.

A bundle may have a graph for it: text keys and values, caption projections, embeddings of sizes.
It takes conditions by their names on the card and gives inputs of the denoiser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.rows import RowCalls
from denoisert.runtime.errors import Incompatible

Array = NDArray[Any]

CONDITIONER: Final = "conditioner"
"""Name of the component, in every bundle that has it."""

LANES: Final = 16


class Conditioner:
    """The graph of one bundle, for one thread at a time.

    Args:
        engine: takes conditions, gives inputs of the denoiser.
        told: names of the card's conditions.
        wanted: names of the denoiser's inputs that a condition bank holds.

    Raises:
        Incompatible: the three do not fit together.
    """

    def __init__(self, engine: Engine, told: Iterable[str], wanted: Sequence[str]) -> None:
        known, self._wanted = set(told), tuple(wanted)
        self._made = tuple(port.name for port in engine.outputs)
        unknown = sorted({port.name for port in engine.inputs} - known)
        missing = sorted(set(wanted) - known - set(self._made))
        if unknown or missing:
            raise Incompatible(
                f"{CONDITIONER!r} asks for {unknown or 'nothing'} that the card does not name, and "
                f"the denoiser for {missing or 'nothing'} that nobody gives. Compile the model "
                "again."
            )
        self._engine = engine
        self._calls = RowCalls(engine, LANES)

    def tell(self, conditions: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """What the denoiser is fed, for branches of any requests; several per call.

        Args:
            conditions: of each branch, denoiser input of the card -> values.

        Returns:
            Of each branch, denoiser input of the graph -> values of its own.

        Raises:
            OutOfProfile: values of another shape than the graph takes.
            EngineError: the engine failed.
        """
        fed: list[dict[str, Array]] = []
        for first in range(0, len(conditions), self._calls.largest):
            chunk = conditions[first : first + self._calls.largest]
            found = self._calls.run(
                {
                    port.name: np.stack([each[port.name] for each in chunk]).astype(port.dtype)
                    for port in self._engine.inputs
                }
            )
            for row, each in enumerate(chunk):
                made = {name: found[name][row].copy() for name in self._made}
                fed.append(
                    {name: made[name] if name in made else each[name] for name in self._wanted}
                )
        return fed

    def warm(self) -> None:
        """Run the graph once."""
        ports = self._engine.inputs
        self._calls.run({port.name: np.zeros(port.shape(1), port.dtype) for port in ports})

    def forget(self) -> None:
        """Drop what is bound, so that the engine can leave memory; the next call binds anew."""
        self._calls.forget()

    def close(self) -> None:
        """Release the engine."""
        self._calls.close()
