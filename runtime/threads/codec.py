"""The codec thread: it alone touches the encoders of text and pictures, conditioner and decoder.

It runs beside the loop, so that encoding the next prompt and decoding the last picture hide behind
the ticks of the pictures between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from itertools import chain, islice
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.components import Components
from denoisert.runtime.engines.heap import trim
from denoisert.runtime.engines.resident import Resident, memory_counts
from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.phase import Phase
from denoisert.runtime.sampling.solvers.inpainted import SOURCE
from denoisert.runtime.text.tokenizer import Prompt
from denoisert.runtime.threads.job import Job
from denoisert.runtime.threads.worker import Worker

if TYPE_CHECKING:
    from denoisert.runtime.threads.desk import Desk
    from denoisert.runtime.threads.loop import Loop

MINE = (Phase.TEXT, Phase.CODEC)


class Codec(Worker):
    """Prepares requests for a loop and finishes them after it.

    Attributes:
        text_ns: time in encoders and the conditioner; written by this thread alone.
        decode_ns: time in the decoder.

    Args:
        name: of the thread.
        components: the engines, of which all but the denoiser are its own.
        card: of the model.
        desk: where finished requests end.
        releases: phases that leave memory whenever nobody waits for them.
    """

    def __init__(
        self,
        name: str,
        components: Components,
        card: Card,
        desk: Desk,
        releases: Collection[Phase] = (),
    ) -> None:
        super().__init__(name, desk.abandon)
        self._releases = frozenset(releases)
        self._card = card
        self.text_ns = 0
        self.decode_ns = 0
        self._components = components
        self._desk = desk
        self._wanted: deque[tuple[Job, Loop]] = deque()
        self._taken = 0  # pictures to decode, counted by the loop
        self._given = 0  # pictures decoded or dropped, counted here

    @property
    def backlog(self) -> int:
        """Pictures that wait for the decoder."""
        return self._taken - self._given

    @property
    def has_decoder(self) -> bool:
        """Whether finished latents have to come here."""
        return self._components.decoder is not None

    def prepare(self, job: Job, loop: Loop) -> None:
        """Encode a request's prompts and picture, then hand it to its loop; called by the loop.

        Requests that come while another is encoded share the next calls.
        """
        self._wanted.append((job, loop))
        self.post(self._prepare)

    def decode(self, job: Job, loop: Loop) -> None:
        """Decode a request's latents and end it; called by the loop."""
        self._taken += job.request.images
        self.post(self._decode, job, loop)

    def warm(self, prompts: Sequence[Prompt], phases: Collection[Phase]) -> None:
        """Run every graph of some phases once at every size.

        Args:
            prompts: of every text encoder one.
            phases: which.
        """
        parts = self._components
        if parts.texts is not None and Phase.TEXT in phases:
            for resident in parts.residents.get(Phase.TEXT, ()):
                resident.engine()  # also where the cache knows the prompts
            parts.texts.encode(prompts)
        if parts.conditioner is not None and Phase.TEXT in phases:
            parts.conditioner.warm()
        for layout in self._card.layouts if Phase.CODEC in phases else ():
            if parts.decoder is not None:
                parts.decoder.decode(np.zeros((1, *layout.parts[0].shape), np.float32))
            if parts.encoder is not None:
                picture = Coder.of(self._card, layout).picture_shape
                parts.encoder.encode(np.zeros(picture, np.uint8))

    def stats(self) -> dict[str, float]:
        """Its counts, by the names of `Runtime.stats`."""
        times = {"text_ms": self.text_ns / 1e6, "decode_ms": self.decode_ns / 1e6}
        return times | memory_counts(chain.from_iterable(map(self._residents, MINE)))

    def let_go(self, phases: Collection[Phase]) -> None:
        """Give back the memory of some phases; who needs one next loads it again.

        Args:
            phases: which; the denoiser is not this thread's.
        """
        for phase in (phase for phase in MINE if phase in phases):
            self._components.forget(phase)
            for resident in self._residents(phase):
                resident.release()
            trim()

    def release(self) -> None:
        """Close the engines."""
        parts = self._components
        for each in (parts.texts, parts.conditioner, parts.decoder, parts.encoder):
            if each is not None:
                each.close()

    def _prepare(self) -> None:
        pairs = []
        while self._wanted:
            pairs.append(self._wanted.popleft())
        pairs = [(job, loop) for job, loop in pairs if not job.ending.is_over()]
        if not pairs:
            return
        start = perf_counter_ns()
        try:
            self._encode([job for job, _ in pairs])
        except DenoiseRTError as error:
            for job, loop in pairs:
                loop.post(loop.drop, job, error)
            return
        end = perf_counter_ns()
        self.text_ns += end - start
        if not self._wanted:
            self.let_go(self._releases & {Phase.TEXT})
        for job, loop in pairs:
            job.note("text", start, end)
            job.span("text", start, end, self.name)
            job.queued_ns = end
            loop.post(loop.admit, job)

    def _encode(self, jobs: list[Job]) -> None:
        """All prompts in one go, the pictures one by one, and what all of it comes to in one go."""
        prompts = (prompt for job in jobs for prompt in job.planned.conditions.prompts)
        texts = self._components.texts
        found = {} if texts is None else texts.encode(prompts)
        for job in jobs:
            shown = self._shown(job)
            job.conditions = job.planned.conditions.fill(found.__getitem__, shown)
            self._look(job)
        self._condition(jobs)

    def _condition(self, jobs: list[Job]) -> None:
        """Replace what branches are told by what the denoiser is fed, where that is another."""
        conditioner = self._components.conditioner
        if conditioner is None:
            return
        fed = iter(conditioner.tell([each for job in jobs for each in job.conditions or ()]))
        for job in jobs:
            job.conditions = tuple(islice(fed, len(job.conditions or ())))

    def _look(self, job: Job) -> None:
        """Draw what every picture of a request starts from, where its table reads that."""
        canvas, encoder = job.planned.picture, self._components.encoder
        if canvas is None or encoder is None:
            return
        if SOURCE not in job.planned.table.externals:
            job.sources = []
            return
        looked, seed = encoder.encode(canvas.pixels), int(job.request.seed)
        images = range(job.request.images)
        job.sources = [looked.draw(seed, image).reshape(1, -1) for image in images]

    def _shown(self, job: Job) -> NDArray[np.float32] | None:
        """The latent of the picture without what is painted anew, for a network that is shown it.

        It is one for all pictures of a request, which share what they are told.
        """
        canvas, encoder = job.planned.picture, self._components.encoder
        if not job.planned.conditions.needs_picture or canvas is None or encoder is None:
            return None
        looked = encoder.encode(canvas.pixels, canvas.painted)
        return looked.draw(int(job.request.seed), draw=1)

    def _decode(self, job: Job, loop: Loop) -> None:
        decoder = self._components.decoder
        if decoder is not None and not job.ending.is_over():
            start = perf_counter_ns()
            try:
                job.pixels = decoder.decode(job.pictured())
            except DenoiseRTError as error:
                loop.post(loop.drop, job, error)
            else:
                end = perf_counter_ns()
                self.decode_ns += end - start
                job.note("decode", start, end)
                job.span("decode", start, end, self.name)
                self._desk.end(job)
        self._given += job.request.images
        if not self.backlog and not self._wanted:
            self.let_go(self._releases & {Phase.CODEC})
        loop.post(loop.forget, job)

    def _residents(self, phase: Phase) -> tuple[Resident, ...]:
        return self._components.residents.get(phase, ())
