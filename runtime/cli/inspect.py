"""`denoisert inspect`: what a bundle holds, what serves a request, and the table of a sampler."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import route, sampler

if TYPE_CHECKING:
    from denoisert.runtime.bundle.condition import ConditionInput
    from denoisert.runtime.bundle.manifest import EngineEntry, Manifest
    from denoisert.runtime.bundle.open import Bundle
    from denoisert.runtime.bundle.picture import Autoencoder
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.engines.engine import Port


def add(subparsers: Subparsers) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a bundle holds, what serves a request, or the table of a sampler",
        description="Show what a bundle holds; with --plan, what would serve a request; with "
        "--table, a sampler's rows on its card.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--table", action="store_true", help="print the sampler's rows")
    route.add_options(parser)
    sampler.add_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the manifest or a table, for people or as JSON.

    Args:
        args: parsed options.

    Returns:
        0.

    Raises:
        DenoiseRTError: no bundle there, or a sampler that does not fit its card.
    """
    from denoisert.runtime.bundle.open import Bundle

    bundle = Bundle.open(args.bundle)
    if args.plan is not None:
        route.run(args, bundle)
    elif args.table:
        name, lines = _table(args, bundle)
        print(
            json.dumps({"sampler": name, "lines": lines})
            if args.json
            else "\n".join([name, *lines])
        )
    elif args.json:
        print(json.dumps(json.loads(bundle.manifest.to_json()), indent=2))
    else:
        print("\n".join(describe(bundle.manifest)))
    return 0


def _table(args: argparse.Namespace, bundle: Bundle) -> tuple[str, list[str]]:
    """The sampler that the options choose, and the lines of its table, given all that it reads."""
    from denoisert.runtime.sampler import Sampler, compile_table
    from denoisert.runtime.sampling.text import table_text

    card = bundle.card
    chosen = Sampler.of(sampler.request(args, card), card)
    read = chosen.solver.rows(chosen.grid(card)).basis.externals
    name = f"{chosen.solver}, {chosen.spacing}, {chosen.steps} steps, {chosen.guidance}"
    return name, list(table_text(compile_table(replace(chosen, given=read), card)))


def describe(manifest: Manifest) -> Iterator[str]:
    """The manifest as lines for people."""
    from denoisert.runtime.bundle.sizes import pixel_sizes

    card = manifest.card
    yield f"name        {card.name}"
    yield f"id          {manifest.id}"
    yield f"format      {manifest.format}, written by {manifest.created_by}"
    yield f"licence     {card.licence}"
    yield f"output      {card.training.parametrisation.value} on {card.training.schedule}"
    for part in card.layout.parts:
        yield f"state       {part.name} {part.shape}"
    for layout in card.further:
        yield f"            or {', '.join(str(part.shape) for part in layout.parts)}"
    for entry in card.conditions:
        yield f"condition   {entry.name} from {entry.source.value}, {entry.dtype}{_origin(entry)}"
    for text in card.texts:
        yield f"text        {text.name}: {text.tokens} tokens, {text.room} of them the prompt's"
    if card.autoencoder is not None:
        yield f"pictures    {pixel_sizes(card)} pixels {_pictures(card.autoencoder)}"
    elif card.further:
        yield f"pictures    {pixel_sizes(card)} pixels"
    advice = card.sampler
    yield f"recommended {advice.solver}, {advice.spacing}, {advice.steps} steps, {advice.guidance}"
    for name, graph in manifest.graphs.items():
        yield f"graph       {name}: opset {graph.opset}, {graph.path}"
        yield f"            in {_ports(graph.inputs)}; out {_ports(graph.outputs)}"
    for target, engine in manifest.engines.items():
        yield f"engine      {target} {engine.version}, {_lanes(engine.buckets)}"
        yield from _promises(target, engine)
    for path, file in sorted(manifest.files.items()):
        yield f"file        {file.size:>12} bytes  {path}"


def _lanes(buckets: tuple[int, ...]) -> str:
    if not buckets:
        return "any number of lanes"
    if buckets == tuple(range(buckets[0], buckets[-1] + 1)) and len(buckets) > 1:
        return f"{buckets[0]} to {buckets[-1]} lanes"
    return f"{', '.join(map(str, buckets))} lanes"


def _promises(key: str, engine: EngineEntry) -> Iterator[str]:
    """Dtypes, profiles, GPUs, and what is known about the lanes of an engine set."""
    from denoisert.runtime.engines.invariance import statement
    from denoisert.runtime.engines.loading import DENOISER
    from denoisert.runtime.engines.target import CPU, target_of_key

    target = target_of_key(key)
    if target is None:
        yield "            of a target that this version of DenoiseRT does not know"
        return
    yield f"            a lane is {statement(target)}"
    for profile in engine.graphs[DENOISER].profiles:
        yield f"            profile {profile}"
    if target.device != CPU:
        names = ", ".join(engine.capabilities)
        which = f"GPUs of compute capability {names}" if names else "every GPU of the library's"
        yield f"            for {which}"


def _pictures(coder: Autoencoder) -> str:
    tile = "x".join(str(size * coder.factor) for size in coder.tile)
    ways = "decoder and encoder" if coder.has_encoder else "decoder"
    previews = "previews" if coder.readout else "no previews"
    return f"in tiles of {tile}, {ways}, {previews}"


def _origin(entry: ConditionInput) -> str:
    if entry.encoder:
        return f" {list(entry.shape)} of {entry.encoder}"
    if not entry.classes:
        return ""
    labels = f" ({', '.join(entry.labels)})" if entry.labels else ""
    null = "none" if entry.null is None else f"{entry.null:g}"
    return f", classes 0 to {entry.classes - 1}{labels}, null {null}"


def _ports(ports: tuple[Port, ...]) -> str:
    return ", ".join(
        f"{port.name} {port.dtype}[{', '.join(map(str, port.dims))}]" for port in ports
    )
