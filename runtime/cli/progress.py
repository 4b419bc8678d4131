"""Progress of a run: a bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

QUARTERS = 4


class Progress:
    """Shows how many of the rows are done; use it as a context.

    Args:
        unit: what is counted.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._is_terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._quarter = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Bring the display up to date."""
        if self._is_terminal:
            self._draw(done, total)
            return
        quarter = QUARTERS * done // max(total, 1)
        if quarter > self._quarter:
            self._quarter = quarter
            print(f"{100 * quarter // QUARTERS} % ({done}/{total} {self._unit})", file=sys.stderr)

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=f" {self._unit}", leave=False)
        self._bar.update(done - self._bar.n)
