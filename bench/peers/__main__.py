"""Our runtime beside its peers on one diffusers folder.

python -m bench.peers prepare PLACE MODEL      # environments, exports; once, needs a network
python -m bench.peers renew PLACE MODEL        # our runtime and our bundle again, after a change
python -m bench.peers run PLACE MODEL --out bench/results/DEVICE-peers-DATE.jsonl
python -m bench.report bench/results/*.jsonl   # the tables of docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers.measured import Measured
from bench.peers.model import MODELS, source_of
from bench.peers.place import Place
from bench.peers.prepare import prepare, renew
from bench.peers.provider import PROVIDERS, offered
from bench.peers.quality import pictures_of
from bench.peers.rounds import measure_cold, measure_warm
from bench.peers.table import records, sizes
from bench.peers.work import TASKS
from bench.run import here, readable
from denoisert.runtime.measure.record import Record


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare or measure.

    Args:
        argv: the command line without its first word; None takes the process's own.
    """
    options = _parser().parse_args(argv)
    place = Place(options.place.resolve(), options.model)
    if options.verb == "prepare":
        prepare(source_of(place), place)
    elif options.verb == "renew":
        renew(place)
    else:
        measure(place, options)


def measure(place: Place, options: argparse.Namespace) -> None:
    """Measure the chosen providers, print and append their records."""
    offer = offered(place.files("model"))
    names = options.provider or [each.name for each in offer]
    chosen = [each for each in offer if each.name in names]
    found = {each.name: Measured() for each in chosen}
    began = time.monotonic()
    shutil.rmtree(place.own / "pictures", ignore_errors=True)  # nothing of an earlier run counts
    (place.own / "pictures").mkdir()
    try:
        measure_cold(chosen, place, options.starts, found)
        measure_warm(chosen, place, options.rounds, options.task or TASKS, found)
    finally:  # an interrupted run keeps what it has
        machine = here()
        made = [*records(chosen, found, pictures_of(chosen, place), place.model, machine)]
        made += sizes(list(dict.fromkeys(each.environment for each in chosen)), place, machine)
        print(f"{len(made)} records in {(time.monotonic() - began) / 60:.1f} minutes")
        print("\n".join(map(readable, made)), flush=True)
        if options.out:
            append(made, options.out)


def append(made: Sequence[Record], out: Path) -> None:
    """Add a line for each record."""
    with out.open("a") as lines:
        lines.writelines(f"{record.line()}\n" for record in made)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    preparing = verbs.add_parser("prepare", help="make environments and every peer's files")
    renewing = verbs.add_parser("renew", help="install our runtime and compile our bundle again")
    running = verbs.add_parser("run", help="measure")
    for each in (preparing, renewing, running):
        each.add_argument("place", type=Path, help="folder to work in")
        each.add_argument("model", choices=MODELS, help="what is drawn with")
    names = [each.name for each in PROVIDERS]
    running.add_argument("--rounds", type=int, default=4, help="counted rounds of warm tasks")
    running.add_argument("--starts", type=int, default=3, help="counted fresh processes")
    running.add_argument("--task", action="append", choices=TASKS, help="may be repeated")
    running.add_argument("--provider", action="append", choices=names, help="may be repeated")
    running.add_argument("--out", type=Path, help="file of JSON lines to append to")
    return parser


if __name__ == "__main__":
    main()
