"""Fresh processes: what a start costs, interpreter included."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from bench.case import Run, Setting, Size, summary
from bench.run import ROOT
from denoisert.runtime.measure.clock import interleaved
from denoisert.runtime.measure.record import Record

ROUNDS = {Size.FULL: (1, 5), Size.TINY: (0, 1)}


def start(arguments: Sequence[str]) -> Run:
    """One run of Python with arguments, in the root of the checkout.

    Args:
        arguments: behind the interpreter's name.

    Returns:
        A call that raises CalledProcessError when the process fails.
    """
    command = [sys.executable, *arguments]

    def run() -> object:
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    return run


def fresh_records(case: str, setting: Setting, commands: Mapping[str, Run]) -> Iterator[Record]:
    """Time processes in turns; the first, uncounted round fills the page cache.

    Args:
        case: name of the case.
        setting: size and choice of provider.
        commands: provider -> one process.

    Yields:
        A record for each provider.
    """
    warm_up, repeats = ROUNDS[setting.size]
    times = interleaved(setting.chosen(commands), warm_up=warm_up, repeats=repeats)
    for provider, values in times.items():
        yield summary(case, provider, values, setting, warm_up=warm_up)
