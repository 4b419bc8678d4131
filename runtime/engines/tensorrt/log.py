"""What a library said: its calls answer None or False, and only its log says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import SupportsInt

from denoisert.runtime.engines.tensorrt.binding import Library

ERROR = 1
WARNING = 2
"""Severities; smaller is worse."""

MOST_LINES = 6
MOST_CHARACTERS = 500

# Said whether or not anything failed: of CUDA where there is no driver, of a node's beginning and
# end, of inputs that keep their 64 bits, of a second logger in a process (each is used, though).
NOISE = re.compile(
    r"cudaError 35|While parsing node number|-{3} (Begin|End) node|Make sure (input|output) "
    r"|already registered for an existing"
)
NO_DRIVER = re.compile(
    r"\[checkMacros[^]]*\] Error Code 1: Cuda Runtime \([^(]*\(cudaError 35[^)]*\)\)"
)
PLACES = re.compile(r"\s*In [\w:<>~]+(?:\([^)]*\))? at /\S+?:\d+|\b\w+\.(?:cpp|h|hpp):\d+:? ?")
"""Where in the library's own source it happened."""


@dataclass(slots=True)
class Log:
    """Errors and warnings of one library, in order; it may speak from threads of its own.

    Args:
        lines: severity and text of each.
    """

    lines: list[tuple[int, str]] = field(default_factory=list)

    def add(self, severity: int, text: str) -> None:
        """Keep an error or a warning."""
        if severity <= WARNING and not NOISE.search(text):
            self.lines.append((severity, readable(text)))

    def logger(self, library: Library) -> object:
        """What the library writes to."""
        return implement(library.ILogger, log=self._take)

    def _take(self, severity: SupportsInt, text: str) -> None:
        self.add(int(severity), text)

    def said(self, worst: int = ERROR) -> tuple[str, ...]:
        """Texts of a severity or worse, each once."""
        return tuple(dict.fromkeys(text for severity, text in self.lines if severity <= worst))

    def clear(self) -> None:
        """Forget what was said so far."""
        self.lines.clear()

    def text(self) -> str:
        """The last errors, or warnings where there is none, for the end of a message."""
        found = self.said() or self.said(WARNING)
        return "; ".join(found[-MOST_LINES:]) or "nothing in its log"


def readable(text: str) -> str:
    """A message on one line, without places in the library's source, of readable length."""
    flat = re.sub(r"\s+", " ", PLACES.sub("", NO_DRIVER.sub("", text))).strip()
    return flat if len(flat) <= MOST_CHARACTERS else f"{flat[:MOST_CHARACTERS]} ..."


def implement(base: type, **methods: Callable[..., object]) -> object:
    """An object of an interface that the library calls.

    Args:
        base: class of the library; its own constructor is what runs.
        methods: name -> function without `self`.
    """
    bound = {name: _without_self(function) for name, function in methods.items()}
    made: object = type(base.__name__, (base,), bound)()
    return made


def _without_self(function: Callable[..., object]) -> Callable[..., object]:
    return lambda _, *arguments: function(*arguments)
