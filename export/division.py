"""A denoiser that becomes two parts of a bundle: their signatures, and trials of each.

The source knows the whole alone. The first part's answers are what it gives in float32; the second
is asked with those and compared with the source, so that its figures are those of both together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx_ir as ir

from denoisert.export.graph.hoist import SMALLEST_SHARE, Hoisted, hoist
from denoisert.export.graph.ports import read_ports
from denoisert.export.graph.signature import DENOISER, ONE_SIZE, Signature, Sizes
from denoisert.export.parity import Evaluate, Trial
from denoisert.export.random_inputs import Arrays
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import PLANES
from denoisert.runtime.conditioner import CONDITIONER
from denoisert.runtime.engines.engine import Port

Trials = tuple[Trial, ...]
Part = tuple[Signature, Trials]


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
    def of(
        cls,
        model: ir.Model,
        signature: Signature,
        card: Card,
        smallest_share: float = SMALLEST_SHARE,
    ) -> Division | None:
        """Divide a denoiser, where that is worth it; see `hoist`.

        Args:
            model: of the whole, whose weights may still lie in memory; it stays as it is.
            signature: of the whole.
            card: whose conditions are the same during a request. A mask and a picture lie beside
                the latent, which they go with; they are left alone.
            smallest_share: see `hoist`.
        """
        told = {entry.name for entry in card.conditions if entry.source not in PLANES}
        hoisted = hoist(model, signature, told, smallest_share)
        return None if hoisted is None else cls(signature, hoisted)

    @property
    def note(self) -> str:
        """What the user should know."""
        return (
            f"{self.hoisted.share:.1%} of a step's operations depend on conditions alone and run "
            "once per request"
        )

    @property
    def graphs(self) -> dict[str, ir.Model]:
        """Component -> its graph, the conditioner first."""
        return {CONDITIONER: self.hoisted.conditioner, DENOISER: self.hoisted.denoiser}

    def parts(self, trials: Trials, conditioner: Evaluate) -> tuple[Part, Part]:
        """What each half is asked and answers.

        Args:
            trials: inputs of the whole, and what the source made of them.
            conditioner: runs the first half.
        """
        first, second = [], []
        for trial in trials:
            asked = self.told(trial.inputs)
            answer = conditioner(asked)
            first.append(Trial(asked, answer))
            second.append(Trial(self.fed(trial.inputs, answer), trial.expected))
        told, fed = (read_ports(graph.graph.inputs) for graph in self.graphs.values())
        made = read_ports(self.hoisted.conditioner.graph.outputs)
        signature = conditioner_signature(self.whole, told, made)
        rest = fed_signature(self.whole, fed, told, conditioner)
        return (signature, tuple(first)), (rest, tuple(second))

    def told(self, inputs: Arrays) -> Arrays:
        """Those inputs of the whole that the first half takes."""
        return _of(inputs, read_ports(self.hoisted.conditioner.graph.inputs))

    def fed(self, inputs: Arrays, made: Arrays) -> Arrays:
        """What the second half takes, of inputs of the whole and what the first half gave."""
        return _of({**inputs, **made}, read_ports(self.hoisted.denoiser.graph.inputs))


def conditioner_signature(
    whole: Signature, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> Signature:
    """The first half: conditions in, inputs of the denoiser out.

    Args:
        whole: of both together, by the card.
        inputs: of the graph.
        outputs: of the graph.
    """
    draw = partial(_draw_told, whole, inputs)
    return Signature(CONDITIONER, inputs, outputs, draw, lanes=whole.lanes)


def fed_signature(
    whole: Signature, inputs: tuple[Port, ...], told: tuple[Port, ...], conditioner: Evaluate
) -> Signature:
    """The second half: what the loop feeds and reads.

    Args:
        whole: of both together, by the card.
        inputs: of the graph.
        told: inputs of the first half.
        conditioner: runs the first half.
    """
    return replace(whole, inputs=inputs, draw=_Fed(whole, inputs, told, conditioner))


def _of(arrays: Arrays, ports: tuple[Port, ...]) -> Arrays:
    return {port.name: arrays[port.name] for port in ports}


def _draw_told(
    whole: Signature,
    ports: tuple[Port, ...],
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    """Conditions have no named axes, so any size of the whole will do."""
    return _of(whole.draw(lanes, generator, sizes or whole.sizes[0]), ports)


@dataclass(frozen=True, slots=True)
class _Fed:
    """Draws what the second half takes; see `fed_signature`."""

    whole: Signature
    inputs: tuple[Port, ...]
    told: tuple[Port, ...]
    conditioner: Evaluate

    def __call__(
        self, lanes: int, generator: np.random.Generator, sizes: Sizes = ONE_SIZE
    ) -> Arrays:
        """What comes from the first half is the same at every draw: that half is asked about it."""
        drawn = self.whole.draw(lanes, generator, sizes)
        conditions = self.whole.draw(lanes, np.random.default_rng(0), sizes)
        return _of({**drawn, **self.conditioner(_of(conditions, self.told))}, self.inputs)
