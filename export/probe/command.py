"""The verb `probe` of the command `denoisert`: is this sampler a table, and which one."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisert.runtime.errors import ExportError, InvalidInput

if TYPE_CHECKING:
    from denoisert.export.probe.probed import Probed
    from denoisert.export.probe.source import Source

FIRST_SIGMA, LAST_SIGMA = 14.6, 0.03
STEPS = 20


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "probe",
        help="see whether a sampler fits into a table",
        description="Run a sampler written for diffusers or k-diffusion once on coordinate "
        "vectors, and verify the table that comes out. The Python file named is executed.",
    )
    parser.add_argument(
        "sampler",
        help="scheduler_config.json of diffusers, its folder, or FILE.py:NAME, a scheduler class "
        "or a function sample(model, x, sigmas)",
    )
    parser.add_argument("--steps", type=int, help=f"steps (default: {STEPS}, or --sigmas' own)")
    parser.add_argument(
        "--sigmas",
        type=_numbers,
        metavar="A,B,...",
        help="falling noise levels for a function (default: --steps of them, log-uniform, then 0)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="further argument of the scheduler's step or of the function; may be repeated",
    )
    parser.add_argument(
        "--inverse", action="store_true", help="it starts from a latent instead of noise"
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Probe as the command line says.

    Returns:
        The exit status, 0; refusals are errors of our tree, the command's to print.
    """
    from denoisert.export.probe.canonical import Start
    from denoisert.export.probe.check import rounding
    from denoisert.export.probe.probe import SEED, probe_source

    _check(arguments)
    source = _source(arguments)
    probed = probe_source(source, start=Start.SOURCE if arguments.inverse else Start.NOISE)
    single = rounding(source, probed.pinned, probed.start, SEED)
    for line in summarise(probed, single):
        print(line)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that do not belong together."""
    steps, sigmas = arguments.steps, arguments.sigmas
    if steps is not None and steps < 1:
        raise InvalidInput(f"--steps {steps} must be at least 1.")
    if None not in (steps, sigmas) and len(sigmas) != steps + 1:
        raise InvalidInput(
            f"--steps {steps} and {len(sigmas)} --sigmas, which make {len(sigmas) - 1} steps. "
            f"Leave --steps out, or give {steps + 1} levels."
        )


def summarise(probed: Probed, single: float) -> list[str]:
    """The result as lines of text.

    Args:
        probed: the solver.
        single: relative difference of the source as it is, in float32, to its table.
    """
    meaning = probed.meaning
    sign = "-" if meaning.gain < 0 else ""
    noise = ", equal in law: draws were merged" if probed.is_merged else ""
    return [
        f"{probed.name}: a table of {probed.stages} evaluations in {probed.steps} steps, "
        f"{probed.registers} registers, {probed.draws} draws{noise}",
        f"registers needed before each evaluation: {' '.join(map(str, probed.minimal[:-1]))}",
        f"network output: {sign}{meaning.parametrisation.value}; starts from "
        f"{probed.start.value}; clean estimate: {probed.pinned.bound or 'as it is'}",
        f"relative error against the source in float64: {probed.error:.1e}",
        f"the source as written, in float32, is off its own table by {single:.1e}",
    ]


def _source(arguments: argparse.Namespace) -> Source:
    """What the command line names, ready to run."""
    from denoisert.export.probe.function import FunctionSource
    from denoisert.export.probe.scheduler import SchedulerSource

    options = dict(arguments.option)
    kind, config = _named(arguments.sampler)
    if not hasattr(kind, "step") and not hasattr(kind, "set_timesteps"):
        sigmas = arguments.sigmas or _even(arguments.steps or STEPS)
        return FunctionSource(kind, sigmas, options)
    if arguments.sigmas:
        raise InvalidInput(
            f"--sigmas are a function's, and {arguments.sampler} is a scheduler, which has its own "
            "levels. Leave them out, or change its configuration."
        )

    def build() -> object:
        scheduler = kind.from_config(config) if config else kind()
        scheduler.set_timesteps(arguments.steps or STEPS)
        return scheduler

    return SchedulerSource(build, options)


def _named(text: str) -> tuple[Any, Mapping[str, Any]]:
    """The class or function that a word of the command line means, and its configuration."""
    place, _, name = text.rpartition(":")
    if place.endswith(".py"):
        return _attribute(Path(place), name), {}
    path = Path(text)
    path = path / "scheduler_config.json" if path.is_dir() else path
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{text!r} is no scheduler configuration ({error}). Name a scheduler_config.json, its "
            "folder, or FILE.py:NAME."
        ) from error
    import diffusers

    name = config.get("_class_name", "") if isinstance(config, dict) else ""
    if not hasattr(diffusers, name or " "):
        raise ExportError(
            f"{path} names the class {name!r}, which diffusers {diffusers.__version__} does not "
            "have. Name its file: FILE.py:NAME."
        )
    return getattr(diffusers, name), config


def _attribute(path: Path, name: str) -> object:
    """A name out of a Python file, which is executed."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InvalidInput(f"there is no Python file {path}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise InvalidInput(f"{path} has no {name!r}.")
    found: object = getattr(module, name)
    return found


def _even(steps: int) -> list[float]:
    """Log-uniform sigmas and 0."""
    ratio = (LAST_SIGMA / FIRST_SIGMA) ** (1.0 / max(1, steps - 1))
    return [*(FIRST_SIGMA * ratio**index for index in range(steps)), 0.0]


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers; write 14,3,0") from None


def _option(text: str) -> tuple[str, object]:
    """NAME=VALUE with a literal value."""
    name, sign, value = text.partition("=")
    try:
        return name, ast.literal_eval(value) if sign else True
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE with a number") from None
