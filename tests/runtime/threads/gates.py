"""An engine that runs when it is told to, so that a test decides what happens between two ticks."""

import threading
from contextlib import contextmanager

from tests.runtime.bundles import watched

PATIENCE_S = 60


class Gate:
    """Called before every run of the engine; lets as many through as `let` says."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed = 0
        self.entered = 0

    def __call__(self, buffers) -> None:
        with self._changed:
            self.entered += 1
            mine = self.entered
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._allowed >= mine, PATIENCE_S)

    def let(self, runs: int = 1) -> None:
        """Let further runs through."""
        with self._changed:
            self._allowed += runs
            self._changed.notify_all()

    def free(self) -> None:
        """Let all runs through from now on."""
        self.let(10**9)

    def reached(self, run: int) -> None:
        """Wait until the engine stands before its run number `run`, counted from 1."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= run, PATIENCE_S)


@contextmanager
def gated(bundle, **options):
    """A runtime whose engine waits at a gate; closed in the end, whatever is still open."""
    gate = Gate()
    runtime, spy = watched(bundle, before=gate, **options)
    try:
        yield runtime, gate, spy
    finally:
        gate.free()
        runtime.close(drain_s=0)
