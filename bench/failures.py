"""Providers that fail: said at once, and the others are still measured.

On a machine that nobody watches, what one library does wrong must not cost the figures of another.
Nothing is forgiven: whoever collects failures raises in the end.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

INNERMOST = -4  # frames of a traceback that are shown


class Failures:
    """What has failed in one case.

    Attributes:
        names: of those that have.

    Args:
        case: its name.
    """

    def __init__(self, case: str) -> None:
        self.case = case
        self.names: list[str] = []

    def of(self, provider: str) -> Guarded:
        """A block in which any error is told with its place and kept for the end."""
        return Guarded(self, provider)

    def told(self) -> None:
        """Raise if anything has failed.

        Raises:
            RuntimeError: with the names.
        """
        if self.names:
            raise RuntimeError(f"{self.case}: {', '.join(self.names)} failed, see above.")


class Guarded:
    """The block of one provider; errors end in it, an interrupt does not.

    Args:
        failures: where its name goes.
        provider: its name.
    """

    def __init__(self, failures: Failures, provider: str) -> None:
        self._failures, self._provider = failures, provider

    def __enter__(self) -> None:
        """Nothing is made ready."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> bool:
        """Tell what was raised."""
        if not isinstance(error, Exception):
            return False
        traceback.print_exception(error, limit=INNERMOST, file=sys.stdout)
        print(f"{self._failures.case}: {self._provider} failed: {error}", flush=True)
        self._failures.names.append(self._provider)
        return True
