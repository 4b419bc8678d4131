"""`denoisert inspect`: what a bundle holds, and the table of a sampler."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.cli import sampler

if TYPE_CHECKING:
    from denoisert.runtime.bundle.manifest import Manifest
    from denoisert.runtime.cli.verbs import Subparsers
    from denoisert.runtime.engines.engine import Port


def add(subparsers: Subparsers) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a bundle holds, or the table of a sampler",
        description="Show what a bundle holds; with --table, a sampler's rows on its card.",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")
    parser.add_argument("--table", action="store_true", help="print the sampler's rows")
    sampler.add_options(parser)
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect as the command line says."""
    from denoisert.runtime.bundle.open import Bundle

    bundle = Bundle.open(arguments.bundle)
    if arguments.json:
        print(json.dumps(json.loads(bundle.manifest.to_json()), indent=2))
        return 0
    if not arguments.table:
        for line in describe(bundle.manifest):
            print(line)
        return 0
    from denoisert.runtime.sampler import Sampler, compile_table
    from denoisert.runtime.sampling.text import table_text

    chosen = Sampler.of(sampler.request(arguments, bundle.card), bundle.card)
    print(chosen)
    for line in table_text(compile_table(chosen, bundle.card)):
        print(line)
    return 0


def describe(manifest: Manifest) -> Iterator[str]:
    """The manifest as lines for people."""
    card = manifest.card
    yield f"name        {card.name}"
    yield f"id          {manifest.id}"
    yield f"format      {manifest.format}, written by {manifest.created_by}"
    yield f"licence     {card.licence}"
    yield f"output      {card.training.parametrisation.value} on {card.training.schedule}"
    for part in card.layout.parts:
        yield f"state       {part.name} {part.shape}"
    for entry in card.conditions:
        labels = f", classes 0 to {entry.classes - 1}" if entry.classes else ""
        yield f"condition   {entry.name} from {entry.source.value}, {entry.dtype}{labels}"
    advice = card.sampler
    yield f"recommended {advice.solver}, {advice.spacing}, {advice.steps} steps, {advice.guidance}"
    for name, graph in manifest.graphs.items():
        yield f"graph       {name}: opset {graph.opset}, {graph.path}"
        yield f"            in {_ports(graph.inputs)}; out {_ports(graph.outputs)}"
    for target, engine in manifest.engines.items():
        buckets = f"lanes {engine.buckets}" if engine.buckets else "any number of lanes"
        yield f"engine      {target} {engine.version}, {buckets}"
    for path, file in sorted(manifest.files.items()):
        yield f"file        {file.size:>12} bytes  {path}"


def _ports(ports: tuple[Port, ...]) -> str:
    return ", ".join(
        f"{port.name} {port.dtype}[{', '.join(map(str, port.dims))}]" for port in ports
    )
