"""What a request will run and cost, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from denoisert.kernels.step.form import VECTORS, Form
from denoisert.runtime.devices.device import SMALLEST, grown
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.measure.estimate import Estimate
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.table import SamplerTable

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule of work of one request.

    Args:
        engine: target and why it was chosen.
        solver: how a step is taken.
        steps: N.
        stages: S, calls of the network per picture.
        nfe: network evaluations per picture, one for each lane.
        images: pictures.
        lanes: most lanes that the request occupies at once.
        memory_bytes: latents, lanes and scratch of the pool; the engine's own arena is not known.
        time: expected time of the engines, were the request alone, and what that rests on.
        notes: decisions worth knowing, one line each.
    """

    engine: str
    solver: Solver
    steps: int
    stages: int
    nfe: int
    images: int
    lanes: int
    memory_bytes: int
    time: Estimate
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"engine   {self.engine}",
            f"sampler  {self.solver!r}, {self.steps} steps, {self.stages} stages, {self.nfe} "
            "evaluations per picture",
            f"work     {self.images} picture(s), up to {self.lanes} lanes per call",
            f"memory   {self.memory_bytes / 2**20:.2f} MiB for latents and lanes",
            f"time     {self.time}",
            *(f"note     {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def pool_bytes(
    layout: StateLayout, table: SamplerTable, slots: int, lane_bytes: int, bucket: int
) -> int:
    """Memory of a pool.

    Args:
        layout: shape of the state.
        table: whose column space and lanes have to fit.
        slots: the pool's capacity.
        lane_bytes: inputs and outputs of one lane.
        bucket: most lanes of one call; as many are kept for padding.

    Returns:
        Bytes of columns, scratch and lane buffers.
    """
    lanes = slots * max(SMALLEST.branches, widest_row(table))
    columns = space_bytes(layout, grown(SMALLEST, table.form), slots)
    return columns + (lanes + bucket) * lane_bytes


def space_bytes(layout: StateLayout, form: Form, slots: int) -> int:
    """Memory of columns and scratch of a pool.

    Args:
        layout: shape of the state.
        form: the column space.
        slots: the pool's capacity.
    """
    # gathered terms, new registers, taps; four rule vectors, a product and a sorted copy
    scratch = form.columns + form.registers + form.taps + VECTORS + 2
    return (slots * form.columns + scratch) * layout.elements * FLOAT_BYTES


def lane_bytes(engine: Engine) -> int:
    """Inputs and outputs of one lane."""
    largest = engine.buckets[-1]
    return sum(port.nbytes(largest) for port in (*engine.inputs, *engine.outputs)) // largest


def widest_row(table: SamplerTable) -> int:
    """Most lanes that one row evaluates."""
    return max(map(len, table.lanes))
