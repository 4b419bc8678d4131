"""How far a build has come, and how it ends early."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from denoisert.export.targets.job import Report
from denoisert.runtime.engines.tensorrt.binding import Library
from denoisert.runtime.engines.tensorrt.log import implement
from denoisert.runtime.errors import DenoiseRTError

PROFILES: Final = "Computing profile costs"
"""The library's phase that compiles one profile after the other; nearly all time goes there."""

DEEPEST: Final = 4
"""Phases lie inside each other; what happens below this level is over in no time."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""Heard where Python raises for them: not where they end the process, or nothing."""

STOPS: Final = (KeyboardInterrupt, OSError, DenoiseRTError)
"""What a report may raise to end a build."""


@dataclass(slots=True)
class Progress:
    """Follows the library's phases and counts the profiles that are compiled.

    The library asks whether to go on after every step; compiling one profile is one step, so a
    build ends at most one profile late.

    Args:
        report: called with a phase, how many profiles are compiled, and how many there are; what
            it raises ends the build.
        profiles: how many there are, at least 1.
        phases: that are open, the outermost first.
        steps: of the phase that compiles profiles.
        compiled: how many profiles are.
        stop: why it is to end: what the report raised, or an interrupt.
    """

    report: Report
    profiles: int
    phases: list[str] = field(default_factory=list)
    steps: int = 1
    compiled: int = 0
    stop: BaseException | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        self.phases.append(name)
        if name == PROFILES:
            self.steps = max(1, steps)
        if len(self.phases) <= DEEPEST:
            self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """A step is finished; False ends the build."""
        done = (step + 1) * self.profiles // self.steps if name == PROFILES else 0
        if done > self.compiled:
            self.compiled = done
            self._tell(name)
        return self.stop is None

    def finish(self, name: str) -> None:
        """A phase ends, with those that it holds."""
        if name in self.phases:
            del self.phases[self.phases.index(name) :]

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A signal becomes the reason to stop: the library swallows what its callbacks raise."""
        is_main = threading.current_thread() is threading.main_thread()
        numbers = SIGNALS if is_main else ()  # no other thread hears any
        before = {number: signal.getsignal(number) for number in numbers}
        heard = {number: former for number, former in before.items() if callable(former)}
        for number in heard:
            signal.signal(number, lambda number, frame: self.end(KeyboardInterrupt()))
        try:
            yield
        finally:
            for number, former in heard.items():
                signal.signal(number, former)

    def end(self, reason: BaseException) -> None:
        """Stop after this step; the first reason counts."""
        self.stop = self.stop or reason

    def monitor(self, library: Library) -> object:
        """What the library calls."""
        return implement(
            library.IProgressMonitor,
            phase_start=self.start,
            step_complete=self.step,
            phase_finish=self.finish,
        )

    def _tell(self, name: str) -> None:
        if self.stop is not None:
            return
        try:
            self.report(name, self.compiled, self.profiles)
        except STOPS as error:
            self.end(error)
