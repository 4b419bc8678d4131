"""Validates requests against the card and the compiled shapes, and works out what they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from denoisert.runtime.conditioning import converted, lane_values, numbers
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.errors import InvalidInput, OutOfMemory, OutOfProfile
from denoisert.runtime.loop.asks import Ask, row_asks
from denoisert.runtime.plan import Plan, pool_bytes, widest_row
from denoisert.runtime.request import Request, Start
from denoisert.runtime.sampler import Sampler, TableCache
from denoisert.runtime.sampling.table import SamplerTable

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that can run.

    Args:
        plan: what it costs.
        table: its sampler.
        asks: what each row evaluates.
        conditions: per condition, values of one lane.
        externals: latents it starts from.
    """

    plan: Plan
    table: SamplerTable
    asks: tuple[tuple[Ask, ...], ...]
    conditions: tuple[Mapping[str, Array], ...]
    externals: Mapping[str, Array]


class Planner:
    """Plans requests for one denoiser.

    Args:
        denoiser: the engine and what its ports mean.
        tables: the cache of compiled samplers, which knows the card.
        reason: why this engine was chosen.
        slots: pictures that run at the same time.
    """

    def __init__(self, denoiser: Denoiser, tables: TableCache, reason: str, slots: int) -> None:
        self._denoiser = denoiser
        self._tables = tables
        self._reason = reason
        self._slots = slots

    def plan(self, request: Request) -> Planned:
        """Validate a request and work out what it runs.

        Args:
            request: what is asked.

        Returns:
            Everything the loop needs.

        Raises:
            InvalidInput: a value the model or the solver cannot honour.
            OutOfProfile: a size that is not compiled.
            OutOfMemory: it needs more than its limit.
        """
        self._check_size(request.size)
        sampler = Sampler.of(request, self._tables.card)
        table = self._tables.table(sampler)
        conditions = lane_values(
            self._denoiser.conditions,
            request.told,
            int(table.condition.max()) + 1,
        )
        plan = self._cost(request, sampler, table)
        bound = request.limits.memory_bytes
        if bound is not None and plan.memory_bytes > bound:
            raise OutOfMemory(
                f"the request may use {bound} bytes, its plan needs {plan.memory_bytes}. Raise "
                "the limit or open the runtime with fewer slots."
            )
        return Planned(plan, table, row_asks(table), conditions, self._externals(request.start))

    def _check_size(self, size: tuple[int, int] | None) -> None:
        shape = self._denoiser.layout.parts[0].shape
        if size is not None and (len(shape) != 3 or tuple(size) != shape[1:]):
            compiled = f"{shape[1]}x{shape[2]}" if len(shape) == 3 else f"a state of shape {shape}"
            raise OutOfProfile(
                f"size {'x'.join(map(str, size))} asked for, the bundle is compiled for "
                f"{compiled}. Leave the size out, or recompile the model for it."
            )

    def _externals(self, start: Start | None) -> dict[str, Array]:
        if start is None:
            return {}
        layout = self._denoiser.layout
        latent = numbers(start.latent, "the start latent")
        shapes = [part.shape for part in layout.parts]
        if latent.shape not in ((layout.elements,), *(shapes if len(shapes) == 1 else ())):
            raise InvalidInput(
                f"the start latent has shape {latent.shape}; the state is {shapes}. Pass that "
                f"shape, or its {layout.elements} numbers flat, part after part."
            )
        return {"source": converted(latent, "float32", "the start latent").reshape(1, -1)}

    def _cost(self, request: Request, sampler: Sampler, table: SamplerTable) -> Plan:
        lanes = widest_row(table) * min(request.images, self._slots)
        engine = self._denoiser.engine
        largest = engine.buckets[-1]
        lane_bytes = (
            sum(port.buffer(largest).nbytes for port in (*engine.inputs, *engine.outputs))
            // largest
        )
        return Plan(
            engine=self._reason,
            solver=sampler.solver,
            steps=sampler.steps,
            stages=table.stages,
            nfe=table.nfe,
            images=request.images,
            lanes=min(lanes, largest),
            memory_bytes=pool_bytes(
                self._denoiser.layout, table.form, self._slots, lane_bytes, largest
            ),
            seconds=None,
            notes=self._notes(lanes),
        )

    def _notes(self, lanes: int) -> tuple[str, ...]:
        notes = []
        buckets = self._denoiser.engine.buckets
        if self._denoiser.has_scalar_time:
            notes.append(
                "the graph takes one time per call: pictures at different times cannot share one"
            )
        if len(buckets) == 1:
            notes.append(f"the graph has a fixed batch of {buckets[0]}: smaller calls are padded")
        if lanes > buckets[-1]:
            notes.append(f"{lanes} lanes at once need {-(-lanes // buckets[-1])} calls per tick")
        return tuple(notes)
