"""`denoisert verify --parity`: every engine of a bundle against its graphs, on new inputs.

The oracle is ONNX Runtime on the bundle's own graph in float32, in the memory of this process only
until it has answered; each engine runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from denoisert.export.batches import LANES, Company, Spread, companies, largest_change, part_of
from denoisert.export.graph.signature import FEW, Signature
from denoisert.export.parity import BOUNDS, relative_error
from denoisert.export.random_inputs import Arrays, fit_inputs
from denoisert.export.sources.promises import components_of, promised_signature
from denoisert.export.targets.answers import answers
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.engine import ports_at
from denoisert.runtime.engines.here import obstacle
from denoisert.runtime.engines.profile import buckets_at
from denoisert.runtime.engines.target import target_of_key
from denoisert.runtime.errors import EngineError, InvalidInput, OutOfProfile

UNKNOWN = "this version of DenoiseRT does not know the target"

Say = Callable[[str], None]
Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """Inputs of one graph at one size, and what the oracle answers.

    Args:
        sizes: lengths of its named axes.
        lanes: of the inputs.
        inputs: name -> array.
        expected: name of an output -> array.
        shared: names of inputs that are one value for all lanes.
    """

    sizes: Sizes
    lanes: int
    inputs: Arrays
    expected: Arrays
    shared: tuple[str, ...] = ()

    def spread(self, entry: GraphEntry) -> Spread:
        """As calls of an engine."""
        return Spread.of(self.inputs, self.lanes, _buckets(entry, self.sizes), self.shared)


@dataclass(frozen=True, slots=True)
class Found:
    """What one engine answered.

    Args:
        error: largest, relative, over all outputs.
        change: of a lane in other company, relative; None for an engine of one bucket.
        counts: numbers of lanes that were compared.
    """

    error: float
    change: float | None
    counts: tuple[int, ...]


def check(bundle: Bundle, say: Say) -> bool:
    """Compare every engine that runs here with the graph that it was made of.

    Args:
        bundle: whose files were verified.
        say: called with a line for each component and target, and one about its batches.

    Returns:
        Whether all of them are within the bound of their dtype.

    Raises:
        ExportError: the oracle cannot run a graph.
        InvalidInput: a graph has a value that is not finite.
    """
    is_within = True
    for component in components_of(bundle):
        asked = tuple(_ask_oracle(bundle, component))
        for key in bundle.manifest.engines:
            is_within &= _check_engine(bundle, component, key, asked, say)
    return is_within


def _ask_oracle(bundle: Bundle, component: str) -> Iterator[Asked]:
    """A batch at the default size, and one lane at every other."""
    entry = bundle.manifest.graphs[component]
    signature = promised_signature(bundle, component)
    text = bundle.verified(entry.path).read_bytes()
    evaluate = open_graph(text, bundle.root, entry.path)
    most = FEW[-1] if signature.lanes == FEW else LANES
    for number, sizes in enumerate(signature.sizes):
        buckets = _buckets(entry, sizes)
        lanes = 1 if number else companies(buckets, most)[0]
        inputs = _draw(signature, entry, lanes, sizes)
        shared = tuple(port.name for port in signature.inputs if not port.dims)
        spread = Spread.of(inputs, lanes, buckets, shared)
        expected = spread.join([evaluate(part) for part in spread.inputs])
        _check_finite(component, expected)
        yield Asked(sizes, lanes, inputs, expected, shared)


def _draw(signature: Signature, entry: GraphEntry, lanes: int, sizes: Sizes) -> Arrays:
    return fit_inputs(signature.draw(lanes, np.random.default_rng(), sizes), entry.inputs)


def _check_engine(
    bundle: Bundle, component: str, key: str, asked: Sequence[Asked], say: Say
) -> bool:
    engines, target = bundle.manifest.engines[key], target_of_key(key)
    entry, name = engines.graphs[component], f"{component} {key}"
    against = UNKNOWN if target is None else obstacle(target, engines)
    if against:
        say(f"not run  {name}: {against}")
        return True
    try:
        found = _run(bundle, entry, key, asked)
    except (EngineError, OutOfProfile) as error:
        say(f"FAILED   {name}: {error}")
        return False
    bound = BOUNDS[entry.dtype]
    is_within = found.error <= bound
    say(
        f"{'parity' if is_within else 'DIFFERS':<8} {name}: relative error {found.error:.1e}, at "
        f"most {bound:.0e} in {entry.dtype}"
    )
    say(f"batches  {name}: {_words(found)}")
    return is_within


def _run(bundle: Bundle, entry: GraphEntry, key: str, asked: Sequence[Asked]) -> Found:
    """All calls of an engine, which is loaded once."""
    spreads = [each.spread(entry) for each in asked]
    first = asked[0]
    whole, places = companies(_buckets(entry, first.sizes), first.lanes)
    groups = (Company(0, whole), *places) if places else ()
    pairs = zip(asked, spreads, strict=True)
    calls = [(part, each.sizes) for each, spread in pairs for part in spread.inputs]
    calls += [(part_of(first.inputs, group, first.shared), first.sizes) for group in groups]
    answered = iter(answers(bundle.root, entry, key, calls))
    found = [spread.join([next(answered) for _ in spread.calls]) for spread in spreads]
    told = zip(asked, found, strict=True)
    error = max(_error(answer, each.expected) for each, answer in told)
    if not groups:
        return Found(error, None, ())
    batch, *smaller = answered
    change = largest_change(batch, tuple(zip(places, smaller, strict=True)))
    return Found(error, change, tuple(sorted({group.lanes for group in groups})))


def _buckets(entry: GraphEntry, sizes: Sizes) -> tuple[int, ...]:
    return buckets_at(ports_at(entry.outputs, sizes), entry.profiles, sizes)


def _error(answer: Arrays, expected: Arrays) -> float:
    return max(relative_error(answer[name], wanted) for name, wanted in expected.items())


def _words(found: Found) -> str:
    if found.change is None:
        return "one number of lanes for every call, so there is nothing to compare"
    counts = ", ".join(map(str, found.counts))
    if found.change == 0.0:
        return f"a lane is bit for bit the same in calls of {counts}"
    return f"a lane moves by up to {found.change:.1e}, relative, between calls of {counts}"


def _check_finite(component: str, outputs: Arrays) -> None:
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise InvalidInput(
                f"output {name!r} of the {component}'s graph has values that are not finite on "
                "random inputs, so nothing can be compared with it. Check its weights."
            )
