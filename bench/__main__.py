"""python -m bench [ROOM_OR_CASE...] [--tiny] [--provider NAME] [--out FILE.jsonl] [--list]."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.case import Setting, Size
from bench.run import BUNDLE, ROOT, compiled, every_case, here, measured, slug


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the chosen cases.

    Args:
        argv: the command line without its first word; None takes the process's own.

    Returns:
        0, or 2 when no case has such a name.
    """
    options = _parser().parse_args(argv)
    size = Size.TINY if options.tiny else Size.FULL
    wanted = options.names or [""]
    chosen = [case for case in every_case(size) if any(name in case.name for name in wanted)]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    if not chosen:
        print(f"no case has {' or '.join(wanted)} in its name; --list shows them all.")
        return 2
    machine = here()
    setting = Setting(size, machine, compiled(options.bundle), options.provider)
    default = ROOT / "bench" / "results" / f"{slug(machine.device)}-{machine.date[:10]}.jsonl"
    # A tiny run is no measurement, so it writes only where it is told to.
    measured(chosen, setting, options.out or (None if options.tiny else default))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of case names, for example kernels or tick")
    parser.add_argument("--tiny", action="store_true", help="one round on the smallest data")
    parser.add_argument("--provider", help="measure only this provider")
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="folder of the digits bundle")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
