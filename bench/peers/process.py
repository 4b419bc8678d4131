"""Peers as processes: one that stays and answers task after task, or a fresh one a picture."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.peers.provider import ROOT


class PeerEnded(RuntimeError):
    """A peer's process ended before it answered."""


class Peer:
    """A peer that has loaded its model and waits for tasks; it sleeps while others work.

    Args:
        command: how it is started, with `--task serve`.
        surroundings: its environment variables.
        log: where its standard error goes.
    """

    def __init__(self, command: list[str], surroundings: Mapping[str, str], log: Path) -> None:
        self._log = log
        self.started = time.monotonic()
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(surroundings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def answer(self) -> dict[str, Any]:
        """The next line that it says.

        Raises:
            PeerEnded: it ended instead, or had ended before.
        """
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise PeerEnded(f"a peer ended: {self._log.read_text()[-2000:]}")
        return json.loads(line)

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Have it do a task.

        Args:
            asked: see `bench.peers.serve`.
        """
        if self._process.stdin.closed:
            raise PeerEnded("a peer had ended before")
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Let it end."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
