"""How far a long piece of work is, on stderr: a bar on a terminal, five plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

QUARTERS = 4

Report = Callable[[int, int], None]


@contextmanager
def progress(what: str, unit: str) -> Iterator[Report]:
    """Show the progress of the work inside the `with`.

    Args:
        what: the work, for example "sampling".
        unit: of the numbers; "B" is shown with prefixes.

    Yields:
        A function to call with (done, in all) as often as there is news.
    """
    if not sys.stderr.isatty():
        yield Lines(what).report
        return
    bar = Bar(what, unit)
    try:
        yield bar.report
    finally:
        bar.close()


class Lines:
    """One line each at 0, 25, 50, 75 and 100 %.

    Args:
        what: the work.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._quarter = 0
        self._print()

    def report(self, done: int, total: int) -> None:
        """Print a line if another quarter is complete."""
        quarter = QUARTERS * done // total if total else QUARTERS
        if quarter > self._quarter:
            self._quarter = quarter
            self._print()

    def _print(self) -> None:
        percent = 100 * self._quarter // QUARTERS
        print(f"{self._what} {percent} %", file=sys.stderr, flush=True)


class Bar:
    """A bar that redraws itself.

    Args:
        what: the work.
        unit: of the numbers.
    """

    def __init__(self, what: str, unit: str) -> None:
        from tqdm import tqdm

        is_bytes = unit == "B"
        self._bar: Any = tqdm(
            desc=what, unit=unit, unit_scale=is_bytes, unit_divisor=1024, file=sys.stderr
        )

    def report(self, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Draw it a last time and leave it standing."""
        self._bar.close()
