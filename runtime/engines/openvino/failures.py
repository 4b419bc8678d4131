"""What OpenVINO raises, and what it says."""

from __future__ import annotations

import re
from typing import Final

FAILURES: Final = (RuntimeError, TypeError, ValueError)
"""Its binding has no errors of its own."""

_PLACES: Final = re.compile(r"(Exception from|Check '[^']*' failed at) [^\s:]+(:\d+)?:?")


def words(error: Exception) -> str:
    """What OpenVINO said, on one line and without the lines of its source."""
    return " ".join(_PLACES.sub("", str(error)).split())
