"""Quality and error against evaluations, for every solver that runs on a demo model.

python -m bench.quality digits           # measure, append records, draw docs/quality-digits.svg
python -m bench.quality digits --draw    # draw and write the tables again from stored records
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from bench.case import Setting, Size
from bench.quality import digits, emoji
from bench.quality.page import PAGE, publish
from bench.quality.reference import reference
from bench.quality.sweep import EVALUATIONS, Sweep
from bench.quality.yardstick import OWN, Yardstick
from bench.run import ROOT, here, slug
from denoisert.export import compile_bundle
from denoisert.runtime import Runtime, Solver
from denoisert.runtime.cli.subjects import solvers
from denoisert.runtime.measure.record import Record
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.notation import parse

YARDSTICKS = {each.name: each for each in (digits.YARDSTICK, emoji.YARDSTICK)}
VARIANTS = ("ddim(eta=1)", "deis(order=2)", "unipc(order=3)")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a model, or draw it again.

    Args:
        argv: the command line without its first word; None takes the process's own.
    """
    options = _parser().parse_args(argv)
    yardstick, machine = YARDSTICKS[options.model], here()
    results = ROOT / "bench" / "results"
    out = options.out or results / f"{slug(machine.device)}-quality-{machine.date[:10]}.jsonl"
    if not options.draw:
        bundle = ROOT / "demo" / f"{yardstick.name}.bundle"
        bundle.parent.mkdir(exist_ok=True)
        setting = Setting(Size.FULL, machine, compile_bundle(yardstick.name, bundle).path)
        keep(measured(yardstick, setting, chosen(options.solver), options.spacing), out)
    publish(out, yardstick, options.page)


def chosen(names: Sequence[str] | None) -> dict[str, Solver]:
    """Those that were asked for, or all and some of their options."""
    if names:
        return {name: parse(SOLVERS, name) for name in names}
    return {**solvers(None)[0], **{name: parse(SOLVERS, name) for name in VARIANTS}}


def measured(
    yardstick: Yardstick, setting: Setting, tried: Mapping[str, Solver], spacing: str | None
) -> Iterator[Record | str]:
    """The reference, every solver on the card's spacing, some on others; or all on one alone."""
    known = chosen(None)
    with Runtime.open(setting.bundle, threads=1) as runtime:
        truth = reference(runtime, yardstick, setting, known)
        yield from truth.records
        sweep = Sweep(runtime, yardstick, setting, truth.drawn)
        some = {name: tried[name] for name in yardstick.selected if name in tried}
        every = {OWN if spacing is None else spacing}
        places = every if spacing else (OWN, *yardstick.spacings)
        for asked, place in product(EVALUATIONS, places):
            yield from sweep.records(place, tried if place in every else some, asked)


def keep(found: Iterator[Record | str], out: Path) -> None:
    """Append every record at once, and print a line for each and for each refusal."""
    with out.open("a") as lines:
        for each in found:
            if isinstance(each, str):
                print(each, flush=True)
                continue
            print(f"{each.case:40} {each.provider:24} {each.median:.3e} {each.extra}", flush=True)
            lines.write(each.line() + "\n")
            lines.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("model", choices=list(YARDSTICKS))
    parser.add_argument("--solver", action="append", help="only this one; may be repeated")
    parser.add_argument("--spacing", help="only this one, for all solvers; the card's is `card`")
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to, or to draw")
    parser.add_argument("--page", type=Path, default=PAGE, help="Markdown that gets the tables")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    return parser


if __name__ == "__main__":
    main()
