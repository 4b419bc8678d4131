"""All threads of one runtime: hired together, sent home together, also when nobody says so."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Collection, Sequence
from functools import partial

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.components import Components
from denoisert.runtime.options import Options
from denoisert.runtime.phase import Phase
from denoisert.runtime.text.tokenizer import Prompt
from denoisert.runtime.threads.codec import Codec
from denoisert.runtime.threads.desk import Desk
from denoisert.runtime.threads.loop import Loop
from denoisert.runtime.threads.pools import Pools
from denoisert.runtime.threads.worker import Errand, Worker

EXIT_PATIENCE_S = 30.0


class Crew:
    """A loop and, where there is work for it, a codec for every device.

    Args:
        devices: the engines of each.
        card: of the model.
        desk: where requests come in.
        options: slots of each device, and which phases leave memory by themselves.
    """

    def __init__(
        self, devices: Sequence[Components], card: Card, desk: Desk, options: Options
    ) -> None:
        self.loops: list[Loop] = []
        self.codecs: list[Codec] = []
        self._desk = desk
        self._process = os.getpid()
        for index, each in enumerate(devices):
            number = f" {index}" if len(devices) > 1 else ""
            residents = each.residents.get(Phase.DENOISER, ())
            pools = Pools(each.denoisers, each.device, slots=options.slots, residents=residents)
            codec = None
            if each.has_codec:
                codec = Codec(f"codec{number}", each, card, desk, options.releases)
                self.codecs.append(codec)
            self.loops.append(Loop(f"loop{number}", pools, desk, codec))
        self._workers: list[Worker] = [*self.loops, *self.codecs]

    def start(self, owner: object) -> None:
        """Start the threads, and see to it that they end with whoever owns them.

        Args:
            owner: when it is collected, or the interpreter ends, the threads end.
        """
        self._desk.employ(self.loops, self._workers)
        for worker in self._workers:
            worker.start()
        weakref.finalize(owner, self._dropped).atexit = False
        atexit.register(self._at_exit)

    def warm(self, prompts: Sequence[Prompt], phases: Collection[Phase]) -> None:
        """Run the engines of some phases once at every bucket and size, each in its own thread.

        Args:
            prompts: of every text encoder one.
            phases: which.

        Raises:
            DenoiseRTError: an engine cannot be loaded or failed, or a thread has ended meanwhile.
        """
        loops = self.loops if Phase.DENOISER in phases else []
        errands = [loop.send(loop.warm) for loop in loops]
        errands += [codec.send(partial(codec.warm, prompts, phases)) for codec in self.codecs]
        self._wait(errands)

    def let_go(self, phases: Collection[Phase]) -> None:
        """Give back the memory of some phases, between what the codecs do.

        Args:
            phases: which; not the denoiser.
        """
        self._wait([codec.send(partial(codec.let_go, phases)) for codec in self.codecs])

    def _wait(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            if not errand.wait():
                self._desk.check_open()

    def dismiss(self) -> None:
        """End the threads and wait for them; no request may be open."""
        self._stop()
        for worker in self._workers:
            worker.join()
        atexit.unregister(self._at_exit)

    def stats(self) -> dict[str, float]:
        """Counts of all threads together, by the names of `Runtime.stats`."""
        found: dict[str, float] = {}
        for worker in (*self.loops, *self.codecs):
            for name, number in worker.stats().items():
                found[name] = found.get(name, 0) + number
        return found

    def _stop(self) -> None:
        for worker in self._workers:
            worker.stop()

    def _dropped(self) -> None:
        """Nobody holds the runtime any more. Called wherever garbage is collected: no waiting."""
        if os.getpid() == self._process:
            atexit.unregister(self._at_exit)
            self._stop()

    def _at_exit(self) -> None:
        """The interpreter ends: a thread that outlived it would crash in its engine."""
        if os.getpid() == self._process:
            self._stop()
            for worker in self._workers:
                worker.join(EXIT_PATIENCE_S)
