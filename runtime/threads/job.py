"""A request while it is open: what it asks, how far it is, and how long each phase took."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.loop.slot import Work
from denoisert.runtime.measure.trace import Trace
from denoisert.runtime.plan import FLOAT_BYTES
from denoisert.runtime.planner import Planned
from denoisert.runtime.request import Request
from denoisert.runtime.result import Result, preview_picture
from denoisert.runtime.sampling.solvers.inpainted import SOURCE
from denoisert.runtime.threads.ending import Ending
from denoisert.runtime.threads.mailbox import Mailbox

if TYPE_CHECKING:
    from PIL.Image import Image

    from denoisert.runtime.threads.loop import Loop

Array = NDArray[Any]

NS_PER_MS = 1e6
NS_PER_S = 1e9


class Job:
    """One open request. The desk, its loop and the codec take turns in changing it.

    Attributes:
        loop: who computes it; given when it is let in.
        is_started: whether its first picture has got a slot.
        submitted_ns: when it came, on the clock of `perf_counter_ns`.
        queued_ns: when it began to wait for a slot: after its prompts were encoded.
        started_ns: when its first picture got a slot; 0 while none of them has one.
        engine_ns: what its loop's engine time was then.
        deadline_ns: when it ends at the latest, or None.
        numbers: of its pictures in the pool.
        latents: finished pictures, by image.
        tapes: what the solver wrote for each of them, (pages, elements) per tape.
        ending: where its result will be.
        mailbox: where its news goes.
        phases: milliseconds by phase.
        conditions: values of one lane per condition; None until the prompts are encoded.
        sources: what each picture starts from, empty for noise; None until a picture is encoded.
        pixels: decoded pictures.

    Args:
        number: of the request in its runtime.
        request: what is asked.
        planned: what it runs.
        mailbox: its own, or one that rings a shared bell.
        card: of the model.
        traces: collect its spans.
    """

    def __init__(
        self,
        number: int,
        request: Request,
        planned: Planned,
        mailbox: Mailbox,
        card: Card,
        traces: tuple[Trace, ...] = (),
    ) -> None:
        self.number = number
        self.request = request
        self.planned = planned
        self.traces = traces
        self.mailbox = mailbox
        self.card = card
        self.ending = Ending()
        self.loop: Loop | None = None
        self.is_started = False
        self.submitted_ns = self.queued_ns = perf_counter_ns()
        self.started_ns = 0
        self.engine_ns = 0
        self.numbers: list[int] = []
        self.latents: dict[int, NDArray[np.float32]] = {}
        self.tapes: dict[int, tuple[Array, ...]] = {}
        self.phases: dict[str, float] = {}
        self.conditions: tuple[Mapping[str, Array], ...] | None = None
        self.sources = None if planned.picture is not None else _starts(request, planned)
        self.pixels: NDArray[np.uint8] | None = None
        self.deadline_ns: int | None = None

    def begin(self, start_ns: int) -> None:
        """Count its time, and its deadline, from when its planning began."""
        self.submitted_ns = start_ns
        seconds = self.request.limits.deadline_s
        if seconds is not None:
            self.deadline_ns = start_ns + int(seconds * NS_PER_S)
        self.note("plan", start_ns, self.queued_ns)

    @property
    def rows(self) -> int:
        """Stages of all its pictures."""
        return self.request.images * self.planned.table.stages

    @property
    def nbytes(self) -> int:
        """At most while it is open: latents, values, starts, pages, parked registers."""
        planned = self.planned
        latent = planned.layout.elements * FLOAT_BYTES
        kept = 2 * latent + planned.table.form.registers * latent
        start = 0 if planned.start is None else planned.start.nbytes
        own = start + planned.told_bytes + planned.page_bytes
        return self.request.images * (kept + planned.pixel_bytes) + own

    @property
    def is_noisy(self) -> bool:
        """Whether its latents are no pictures yet, so that nobody decodes them."""
        return self.card.autoencoder is not None and not self.planned.pixel_bytes

    @property
    def is_ready(self) -> bool:
        """Whether everything is there that the loop needs."""
        return self.conditions is not None and self.sources is not None

    def works(self) -> list[Work]:
        """Its pictures as the pool takes them; the job must be ready."""
        planned, sources = self.planned, self.sources or ()
        buffers = planned.buffers
        return [
            Work(
                table=planned.table,
                asks=planned.asks,
                conditions=self.conditions or (),
                seed=int(self.request.seed),
                image=image,
                externals={SOURCE: sources[image], **buffers} if sources else buffers,
                priority=int(self.request.limits.priority),
                previews=planned.previews,
            )
            for image in range(self.request.images)
        ]

    def draw(self, latent: NDArray[np.float32]) -> Image:
        """A cheap picture of a clean estimate."""
        return preview_picture(self.card, latent, self.planned.layout)

    def note(self, phase: str, start_ns: int, end_ns: int) -> None:
        """Add a phase's time, to the result and to the traces."""
        self.phases[phase] = self.phases.get(phase, 0.0) + (end_ns - start_ns) / NS_PER_MS
        self.span(phase, start_ns, end_ns, f"request {self.number}")

    def span(self, name: str, start_ns: int, end_ns: int, track: str) -> None:
        """Add a span to the traces alone."""
        for trace in self.traces:
            images, steps = self.request.images, self.planned.plan.steps
            trace.add(name, start_ns, end_ns, track, images=images, steps=steps)

    def flat(self) -> NDArray[np.float32]:
        """Its final latents, (images, elements); every picture must have ended."""
        return np.stack([self.latents[image] for image in range(self.request.images)])

    def pictured(self) -> NDArray[np.float32]:
        """The part of its final latents that the decoder takes, (images, C, h, w)."""
        part = self.planned.layout.parts[0]
        return self.flat()[:, : part.elements].reshape(-1, *part.shape)

    def taped(self) -> tuple[tuple[NDArray[np.float32], ...], ...]:
        """What its solver wrote, per image and tape; every picture must have ended."""
        return tuple(self.tapes[image] for image in range(self.request.images))

    def result(self, error: DenoiseRTError | None) -> Result:
        """What its owner gets.

        Args:
            error: why it failed; None when every latent is there.
        """
        flat = np.zeros((0, self.planned.layout.elements), np.float32)
        if error is None:
            flat = self.flat()
        return Result(
            layout=self.planned.layout,
            picture=None if self.is_noisy else self.card.picture,
            flat=flat,
            phases=dict(self.phases),
            nfe=self.planned.table.nfe,
            error=error,
            notes=self.planned.conditions.notes,
            pixels=self.pixels if error is None else None,
            tapes=self.taped() if error is None else (),
        )


def _starts(request: Request, planned: Planned) -> list[Array]:
    """What every picture starts from, (1, elements) each, or nothing."""
    start = planned.start
    if start is None:
        return []
    if len(start) == 1:
        return [start] * request.images
    return [start[image : image + 1] for image in range(request.images)]
