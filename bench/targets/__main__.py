"""The CPU targets of networks beside torch: one call, and the pictures of the demo models.

python -m bench.peers prepare PLACE MODEL      # for emoji, unet and dit; digits needs nothing
python -m bench.targets PLACE --out bench/results/DEVICE-targets-DATE.jsonl
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from bench.case import SHELF, Setting, Size
from bench.peers.__main__ import append
from bench.peers.place import Place
from bench.run import ROOT, here, readable
from bench.targets import pictures
from bench.targets.subject import SUBJECTS, Subject
from denoisert.runtime.measure.record import Record


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every model and number of threads, each in a process of its own.

    Args:
        argv: the command line without its first word; None takes the process's own.
    """
    options = _parser().parse_args(argv)
    models, threads = options.model or SUBJECTS, options.threads or (1, 2)
    if len(models) == len(threads) == 1:
        _measure(options, models[0], threads[0])
        return
    given = [str(options.place), "--rounds", str(options.rounds)]
    given += ["--out", str(options.out)] if options.out else []
    for model, count in product(models, threads):
        command = [sys.executable, "-m", "bench.targets", *given]
        command += ["--model", model, "--threads", str(count)]
        subprocess.run(command, cwd=ROOT, check=True)


def _measure(options: argparse.Namespace, model: str, threads: int) -> None:
    place = Place(options.place.resolve(), model)
    for record in _records(Subject(place), threads, options.rounds):
        print(readable(record), flush=True)
        if options.out:
            append([record], options.out)


def _records(subject: Subject, threads: int, rounds: int) -> Iterator[Record]:
    import torch

    from bench.targets import network

    torch.set_num_threads(threads)
    machine = here()
    setting = Setting(Size.FULL, machine, subject.place.files("bundle"), None, SHELF)
    yield from network.measure(subject, setting, threads=threads, rounds=rounds)
    if threads == machine.cores and subject.place.model in pictures.YARDSTICKS:
        yield from pictures.measure(subject, setting, threads=threads)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.targets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("place", type=Path, help="folder of `python -m bench.peers prepare`")
    parser.add_argument("--model", action="append", choices=SUBJECTS, help="may be repeated")
    parser.add_argument("--threads", action="append", type=int, help="may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    return parser


if __name__ == "__main__":
    main()
