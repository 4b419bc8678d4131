"""`denoisert doctor`: what every target can do on this machine, why not, and what to do."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from denoisert.runtime.cli.abilities import COMPILER, NO_ENGINE, Ability, Place, abilities

if TYPE_CHECKING:
    from denoisert.runtime.cli.verbs import Subparsers

PACKAGES = {
    "denoisert": "pip install denoisert",
    "numpy": "pip install numpy",
    "onnxruntime": "pip install 'denoisert[cpu]'",
    "onnxruntime-gpu": "pip install 'denoisert[gpu]'",
    "torch": "pip install 'denoisert[torch]'",
    "triton": "pip install 'denoisert[torch]'",
    "openvino": "pip install 'denoisert[openvino]'",
    "tensorrt-rtx-cu13": "pip install 'denoisert[tensorrt-rtx]'",
    "tensorrt-cu13": "pip install 'denoisert[tensorrt]'",
    "onnx": "pip install 'denoisert[torch]'",
    "onnxscript": "pip install 'denoisert[export]'",
    "safetensors": "pip install 'denoisert[export]'",
}
WIDTH = 18


def add(subparsers: Subparsers) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what this machine can run and compile for, and what is missing",
        description="Show what every target can do on this machine: where it runs, in which "
        "dtypes, whether models can be compiled for it here, and if not, what to do. Exit status "
        "1 when no bundle can run.",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Examine this environment without importing what is examined.

    Args:
        args: parsed options.

    Returns:
        0 when bundles run here, else 1.
    """
    from denoisert.runtime.engines.here import installed

    facts, found = machine(), abilities()
    packages = {name: installed(name) for name in PACKAGES}
    said = list(findings(found))
    if args.json:
        targets = {each.target: {**asdict(each), "runs": each.runs} for each in found}
        whole = {"machine": facts, "packages": packages, "targets": targets, "findings": said}
        print(json.dumps(whole, indent=2))
    else:
        print(*_facts(facts, packages), "", *table(found), "", *said, sep="\n")
    return 0 if any(each.runs for each in found) else 1


def machine() -> dict[str, str]:
    """Processor, memory, GPUs and system of this machine."""
    from denoisert.runtime.engines import driver
    from denoisert.runtime.engines.processor import instructions, processor_facts

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = (f"compute capability {each}" for each in driver.capabilities())
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor_facts().get("model name", platform.processor()),
        "instructions": " ".join(instructions()) or "none of interest",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.1f} GiB",
        "gpus": ", ".join(gpus) or f"none that {driver.LIBRARY} shows",
    }


def findings(found: Sequence[Ability]) -> Iterator[str]:
    """What that means for users, the remedies last.

    Args:
        found: of every target.
    """
    runs = [f"{each.target} on {place.device}" for each, place in _places(found, running=True)]
    if runs:
        yield f"bundles run here: {', '.join(runs)}"
    else:
        yield f"no bundle can run here yet: {PACKAGES['onnxruntime']}"
    compiled = [each.target for each in found if not each.against]
    if compiled:
        yield f"models can be compiled here for {', '.join(compiled)}"
    else:
        yield f"models cannot be compiled here: {PACKAGES[COMPILER[-1]]}"
    for each, place in _places(found, running=False):
        yield f"{each.target} does not run on {place.device}: {place.obstacle}"
    for each in found:
        if each.against not in ("", NO_ENGINE):
            yield f"{each.target} cannot be compiled for: {each.against}"


def table(found: Sequence[Ability]) -> Iterator[str]:
    """A line for every target and kind of device.

    Args:
        found: of every target.
    """
    yield f"{'target':<14}{'version':<14}{'device':<8}{'runs':<6}{'compiles':<10}dtypes"
    for each in found:
        for number, place in enumerate(each.places):
            name = each.target if not number else ""
            version = (each.version or "-") if not number else ""
            runs = "no" if place.obstacle else "yes"
            compiles = _compiles(each) if not number else ""
            yield (
                f"{name:<14}{version:<14}{place.device:<8}{runs:<6}{compiles:<10}{_dtypes(place)}"
            )


def _places(found: Sequence[Ability], *, running: bool) -> Iterator[tuple[Ability, Place]]:
    for each in found:
        for place in each.places:
            if (not place.obstacle) == running:
                yield each, place


def _compiles(ability: Ability) -> str:
    if ability.against == NO_ENGINE:
        return "no need"
    return "no" if ability.against else "yes"


def _dtypes(place: Place) -> str:
    return ", ".join(
        f"{dtype} (the processor has no {place.without[dtype]})"
        if dtype in place.without
        else dtype
        for dtype in place.dtypes
    )


def _facts(facts: dict[str, str], packages: dict[str, str | None]) -> Iterator[str]:
    for name, value in facts.items():
        yield f"{name:<{WIDTH}}{value}"
    for name, version in packages.items():
        yield f"{name:<{WIDTH}}{version or f'missing: {PACKAGES[name]}'}"
