"""A denoiser that becomes two parts of a bundle: their signatures, and trials of each.

The source knows the whole alone. The first part's answers are what it gives in float32; the second
is asked with those and compared with the source, so that its figures are those of both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from denoisert.export.graph.hoist import Hoisted, hoist
from denoisert.export.graph.ports import read_ports
from denoisert.export.graph.signature import ONE_SIZE, Signature, Sizes
from denoisert.export.parity import Evaluate, Trial
from denoisert.export.random_inputs import Arrays
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import PLANES
from denoisert.runtime.conditioner import CONDITIONER
from denoisert.runtime.engines.engine import Port

Trials = tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Division:
    """A denoiser and its two halves.

    Args:
        whole: what the source answers.
        hoisted: the halves.
    """

    whole: Signature
    hoisted: Hoisted

    @classmethod
    def of(cls, model: ir.Model, signature: Signature, card: Card) -> Division | None:
        """Divide a denoiser, where that is worth it; see `hoist`.

        Args:
            model: of the whole, whose weights may still lie in memory; it stays as it is.
            signature: of the whole.
            card: whose conditions are the same during a request. A mask and a picture lie beside
                the latent, which they go with; they are left alone.
        """
        told = {entry.name for entry in card.conditions if entry.source not in PLANES}
        hoisted = hoist(model, signature, told)
        return None if hoisted is None else cls(signature, hoisted)

    @property
    def note(self) -> str:
        """What the user should know."""
        return (
            f"{self.hoisted.share:.1%} of a step's operations depend on conditions alone and run "
            "once per request"
        )

    @property
    def conditioner(self) -> Signature:
        """Conditions in, the denoiser's inputs out."""
        graph = self.hoisted.conditioner.graph
        inputs, outputs = read_ports(graph.inputs), read_ports(graph.outputs)
        draw = partial(_draw_some, self.whole, inputs)
        return Signature(CONDITIONER, inputs, outputs, draw, lanes=self.whole.lanes)

    def denoiser(self, conditioner: Evaluate) -> Signature:
        """What the loop feeds and reads.

        Args:
            conditioner: runs the first half.
        """
        inputs = read_ports(self.hoisted.denoiser.graph.inputs)
        draw = partial(_draw_rest, self, inputs, conditioner)
        return replace(self.whole, inputs=inputs, draw=draw)

    def trials(self, whole: Trials, conditioner: Evaluate) -> tuple[Trials, Trials]:
        """Inputs and answers of each half.

        Args:
            whole: of the source.
            conditioner: runs the first half.
        """
        first, second = [], []
        for trial in whole:
            told = self._told(trial.inputs)
            made = conditioner(told)
            first.append(Trial(told, made))
            second.append(Trial(self._fed({**trial.inputs, **made}), trial.expected))
        return tuple(first), tuple(second)

    def together(self, conditioner: Evaluate, denoiser: Evaluate) -> Evaluate:
        """Both halves, as the source is asked."""

        def evaluate(inputs: Arrays) -> Arrays:
            made = conditioner(self._told(inputs))
            return denoiser(self._fed({**inputs, **made}))

        return evaluate

    def _told(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return _of(inputs, read_ports(self.hoisted.conditioner.graph.inputs))

    def _fed(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return _of(inputs, read_ports(self.hoisted.denoiser.graph.inputs))


def _of(arrays: Mapping[str, NDArray[Any]], ports: tuple[Port, ...]) -> Arrays:
    return {port.name: arrays[port.name] for port in ports}


def _draw_some(
    whole: Signature,
    ports: tuple[Port, ...],
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    """Conditions have no named axes, so any size of the whole will do."""
    return _of(whole.draw(lanes, generator, sizes or whole.sizes[0]), ports)


def _draw_rest(
    division: Division,
    ports: tuple[Port, ...],
    conditioner: Evaluate,
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    drawn = division.whole.draw(lanes, generator, sizes)
    told = read_ports(division.hoisted.conditioner.graph.inputs)
    return _of({**drawn, **conditioner(_of(drawn, told))}, ports)
