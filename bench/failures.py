"""Providers that fail: said at once, and the others are still measured.

On a machine that nobody watches, what one library does wrong must not cost the figures of another.
Nothing is forgiven: whoever collects failures raises in the end.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class Failures:
    """What has failed in one case.

    Attributes:
        names: of those that have.

    Args:
        case: its name.
    """

    def __init__(self, case: str) -> None:
        self._case = case
        self.names: list[str] = []

    @contextmanager
    def of(self, provider: str) -> Iterator[None]:
        """Whatever is raised inside is told with its place and kept for the end."""
        try:
            yield
        except Exception as error:
            traceback.print_exc(limit=-4, file=sys.stdout)
            print(f"{self._case}: {provider} failed: {error}", flush=True)
            self.names.append(provider)

    def told(self) -> None:
        """Raise if anything has failed.

        Raises:
            RuntimeError: with the names.
        """
        if self.names:
            raise RuntimeError(f"{self._case}: {', '.join(self.names)} failed, see above.")
