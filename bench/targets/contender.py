"""Who calls the network: our engines, and torch eager or compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.provider import TARGETS, ours
from bench.targets.subject import Inputs, Subject
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.loading import DENOISER, graph_entry, load
from denoisert.runtime.engines.target import OnnxRuntime, OpenVino, engine_key

if TYPE_CHECKING:
    from torch import nn

    from bench.targets.subject import Network

REFERENCE = "torch eager"
MIB = 2**20

Output = NDArray[Any]
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute the network.

    Args:
        name: as it stands in the table.
        dtype: what it computes in.
        bind: from inputs to a call on them, and the array that holds what it found last.
        extra: what is known before any call: load_ms, and for ours mib of graph and weights.
    """

    name: str
    dtype: str
    bind: Callable[[Inputs], tuple[Call, Callable[[], Output]]]
    extra: dict[str, float]


def contenders(subject: Subject, bundle: Bundle, threads: int) -> Iterator[Contender]:
    """All of them; ours are those that the bundle has engines for.

    Args:
        subject: what is measured.
        bundle: its bundle.
        threads: of every engine; torch has been told before.
    """
    for target in TARGETS:
        if engine_key(target) in bundle.manifest.engines:
            yield our_engine(bundle, target, threads)
    for name, dtype in ((REFERENCE, "float32"), (f"{REFERENCE} bfloat16", "bfloat16")):
        began = perf_counter()
        network = subject.network(dtype)
        extra = {"load_ms": round(1e3 * (perf_counter() - began))}
        yield Contender(name, dtype, _in_torch(subject.called(network), dtype), extra)
    compiled = _compiled(subject.network("float32"))
    yield Contender("torch.compile", "float32", _in_torch(subject.called(compiled), "float32"), {})


def our_engine(bundle: Bundle, target: OnnxRuntime | OpenVino, threads: int) -> Contender:
    """One of our targets."""
    choice, began = choose(bundle, target), perf_counter()
    engine, entry = load(bundle, choice, DENOISER, threads), graph_entry(bundle, choice, DENOISER)
    files = {entry.path, *entry.weights}
    extra = {
        "load_ms": round(1e3 * (perf_counter() - began)),
        "mib": round(sum(bundle.manifest.files[path].size for path in files) / MIB, 1),
    }
    provider = ours(target)
    return Contender(provider.name, target.dtype, lambda given: _bound(engine, given), extra)


def _bound(engine: Engine, given: Inputs) -> tuple[Call, Callable[[], Output]]:
    """A call on buffers of its own; they live as long as it does."""
    lanes = len(next(iter(given.values())))
    buffers = {name: np.ascontiguousarray(values) for name, values in given.items()}
    buffers |= {port.name: port.buffer(lanes) for port in engine.outputs}
    bound = engine.bind(lanes, buffers)
    return bound.run, lambda: buffers[engine.outputs[0].name].astype(np.float64)


def _compiled(network: nn.Module) -> nn.Module:
    import torch

    return torch.compile(network)


def _in_torch(
    network: Network, dtype: str
) -> Callable[[Inputs], tuple[Call, Callable[[], Output]]]:
    """Latents and conditions in the network's dtype; times stay, as schedulers give them."""
    import torch

    def bind(given: Inputs) -> tuple[Call, Callable[[], Output]]:
        kind, found = getattr(torch, dtype), {}
        tensors = [
            each.to(kind) if each.is_floating_point() and each.dim() > 1 else each
            for each in map(torch.from_numpy, given.values())
        ]

        def call() -> None:
            with torch.inference_mode():
                found["output"] = network(*tensors)

        return call, lambda: found["output"].double().numpy()

    return bind
