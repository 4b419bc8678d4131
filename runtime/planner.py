"""Validates requests against the card and the compiled shapes, and works out what they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.buffers import checked_buffers, page_bytes
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.nearest import check_size
from denoisert.runtime.bundle.sizes import pixel_size, timed_name
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.components import DECODER
from denoisert.runtime.conditioner import CONDITIONER
from denoisert.runtime.conditioning import plan_conditions
from denoisert.runtime.conditions import Conditions
from denoisert.runtime.devices.device import SMALLEST
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.errors import InvalidInput, OutOfMemory
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.loop.asks import Ask, row_asks
from denoisert.runtime.loop.lanes import calls
from denoisert.runtime.measure.estimate import NOTHING, Estimate
from denoisert.runtime.measure.profile import Profile
from denoisert.runtime.origin import Canvas, Origin
from denoisert.runtime.plan import Plan, lane_bytes, pool_bytes, space_bytes, widest_row
from denoisert.runtime.request import Request
from denoisert.runtime.sampler import Sampler, TableCache
from denoisert.runtime.sampling.table import SamplerTable
from denoisert.runtime.text.tokenizer import Tokenizer

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that can run.

    Args:
        plan: what it costs.
        layout: shape of the state.
        table: its sampler.
        asks: what each row evaluates.
        conditions: what the branches are told; prompts are tokenised, not yet encoded.
        start: the latent it starts from, (1, elements) or one row a picture; None for noise or a
            picture.
        picture: the picture it starts from, or None.
        previews: a clean estimate is shown every so many steps, 0 never.
        pixel_bytes: of one decoded picture, 0 where nothing is decoded.
        buffers: name -> (pages, elements) that the solver reads beside the start.
    """

    plan: Plan
    layout: StateLayout
    table: SamplerTable
    asks: tuple[tuple[Ask, ...], ...]
    conditions: Conditions
    start: Array | None = None
    picture: Canvas | None = None
    previews: int = 0
    pixel_bytes: int = 0
    buffers: Mapping[str, Array] = field(default_factory=dict)

    @property
    def told_bytes(self) -> int:
        """Of the values that its branches are told."""
        lanes = self.conditions.lanes
        known = sum(array.nbytes for lane in lanes for array in lane.given.values())
        known += self.conditions.conditioned_bytes
        told = (entry for lane in lanes for entry, _ in lane.told)
        entries = (*told, *(entry for lane in lanes for entry in lane.shown))
        return known + sum(prod(entry.shape) * np.dtype(entry.dtype).itemsize for entry in entries)

    @property
    def page_bytes(self) -> int:
        """Of its buffers and tapes, which are part of the plan's memory."""
        images = self.plan.images
        return page_bytes(self.buffers, self.table, self.layout, images, self.previews)

    @property
    def pool_bytes(self) -> int:
        """What the plan needs of a pool, which others use, too."""
        return self.plan.memory_bytes - self.page_bytes


class Planner:
    """Plans requests of one size for one bundle on one kind of device.

    Args:
        denoiser: the engine, what its ports mean, and its layout.
        tables: the cache of compiled samplers, which knows the card.
        reason: why this engine was chosen.
        slots: pictures that run at the same time.
        tokenizers: by the name of the text encoder.
        profile: times that were measured on this device, or None.
        notes: what every plan tells about the choice of the engine.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        tables: TableCache,
        reason: str,
        slots: int,
        *,
        tokenizers: Mapping[str, Tokenizer] | None = None,
        profile: Profile | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._denoiser = denoiser
        self._tables = tables
        self._reason = reason
        self._slots = slots
        self._tokenizers = tokenizers or {}
        self._profile = profile
        self._choice_notes = notes

    @property
    def card(self) -> Card:
        """Of the bundle."""
        return self._tables.card

    def plan(self, request: Request, previews: int = 0) -> Planned:
        """Validate a request and work out what it runs.

        Args:
            request: what is asked.
            previews: show a clean estimate every so many steps, 0 never.

        Returns:
            Everything the loop needs.

        Raises:
            InvalidInput: a value the model or the solver cannot honour.
            OutOfProfile: a size that is not compiled.
            OutOfMemory: it needs more than its limit.
        """
        check_size(self.card, request.size)
        sampler = Sampler.of(request, self.card, previews)
        table = self._tables.table(sampler)
        self._denoiser.check(table)
        origin = Origin.of(request.start, self.card, self._denoiser.layout, request.images)
        conditions = self._conditions(request, table, origin)
        given = origin.read(table.externals)
        buffers = checked_buffers(given, table, self._denoiser.layout)
        plan = self._cost(request, sampler, table, conditions, buffers)
        bound = request.limits.memory_bytes
        if bound is not None and plan.memory_bytes > bound:
            raise OutOfMemory(
                f"the request may use {bound} bytes, its plan needs {plan.memory_bytes}. Raise "
                "the limit or open the runtime with fewer slots."
            )
        return Planned(
            plan,
            self._denoiser.layout,
            table,
            row_asks(table),
            conditions,
            origin.latent,
            origin.canvas,
            previews,
            0 if sampler.is_cut else self._pixel_bytes,
            buffers,
        )

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels, None of a state without pixels."""
        return pixel_size(self.card, self._denoiser.layout)

    @property
    def smallest_pool(self) -> tuple[StateLayout, int]:
        """The layout, and the bytes of a pool that has not grown yet."""
        engine = self._denoiser.engine
        lane, largest = lane_bytes(engine), engine.buckets[-1]
        lanes = self._slots * SMALLEST.branches
        layout = self._denoiser.layout
        return layout, space_bytes(layout, SMALLEST, self._slots) + (lanes + largest) * lane

    @property
    def _pixel_bytes(self) -> int:
        """Of one decoded picture."""
        if self.card.autoencoder is None:
            return 0
        return prod(Coder.of(self.card, self._denoiser.layout).picture_shape)

    def _conditions(self, request: Request, table: SamplerTable, origin: Origin) -> Conditions:
        """What the branches are told and shown."""
        conditions = plan_conditions(
            self._denoiser.conditions,
            self.card.texts,
            self._tokenizers,
            request.told,
            int(table.condition.max()) + 1,
            size=self.size,
            mask=origin.mask,
        )
        if conditions.needs_picture and origin.canvas is None:
            raise InvalidInput(
                "this network is shown the picture of which it repaints a part, and the request "
                "gives a latent. Pass start=Start(picture, mask=mask)."
            )
        made = len(conditions.lanes) * self._denoiser.conditioned_bytes
        return replace(conditions, conditioned_bytes=made)

    def _cost(
        self,
        request: Request,
        sampler: Sampler,
        table: SamplerTable,
        conditions: Conditions,
        buffers: Mapping[str, Array],
    ) -> Plan:
        layout = self._denoiser.layout
        lanes = widest_row(table) * min(request.images, self._slots)
        engine = self._denoiser.engine
        largest = engine.buckets[-1]
        pool = pool_bytes(layout, table, self._slots, lane_bytes(engine), largest)
        pages = page_bytes(buffers, table, layout, request.images, sampler.previews)
        return Plan(
            engine=self._reason,
            solver=sampler.solver,
            steps=sampler.steps,
            stages=table.stages,
            nfe=table.nfe,
            images=request.images,
            lanes=min(lanes, largest),
            memory_bytes=pool + pages,
            time=self._time(request.images, table, conditions),
            notes=(*self._choice_notes, *conditions.notes, *self._notes(lanes, pages)),
        )

    def _time(self, images: int, table: SamplerTable, conditions: Conditions) -> Estimate:
        """What the engines would take if nothing else ran."""
        profile = self._profile
        if profile is None:
            return Estimate()
        buckets = self._denoiser.engine.buckets
        widths = Counter(map(len, table.lanes))
        whole = NOTHING
        for pictures, times in ((self._slots, images // self._slots), (images % self._slots, 1)):
            for width, rows in widths.items():
                for call in calls(width * pictures, buckets):
                    whole += profile.call(self._timed(DENOISER), call.bucket) * (rows * times)
        for prompt in conditions.prompts:
            whole += profile.call(prompt.encoder, 1)
        if conditions.conditioned_bytes:
            whole += profile.call(CONDITIONER, len(conditions.lanes))
        if self.card.autoencoder is not None:
            whole += profile.call(self._timed(DECODER), images)
        return whole

    def _timed(self, component: str) -> str:
        """What the device profile calls a graph at this size."""
        return timed_name(self.card, component, self._denoiser.layout)

    def _notes(self, lanes: int, pages: int) -> tuple[str, ...]:
        notes = []
        if pages:
            notes.append(f"{pages / 2**20:.2g} MiB of the memory are its tapes and buffers")
        buckets = self._denoiser.engine.buckets
        if self._denoiser.has_scalar_time:
            notes.append(
                "the graph takes one time per call: pictures at different times cannot share one"
            )
        if len(buckets) == 1:
            notes.append(f"the graph has a fixed batch of {buckets[0]}: smaller calls are padded")
        if lanes > buckets[-1]:
            notes.append(f"{lanes} lanes at once need {-(-lanes // buckets[-1])} calls per tick")
        if self._profile is not None and self._profile.note:
            notes.append(self._profile.note)
        return tuple(notes)
