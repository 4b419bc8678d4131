"""How much memory a request takes at its peak: weights, workspace and buffers of every phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.sizes import coder_sizes, state_sizes
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.components import DECODER, ENCODER
from denoisert.runtime.conditioner import CONDITIONER
from denoisert.runtime.engines.choice import Choice
from denoisert.runtime.engines.loading import DENOISER, components, graph_entry, weight_files
from denoisert.runtime.engines.workspace import MODELLED, UNKNOWN, Call, source_of, workspace_of
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.phase import RELEASABLE, Phase
from denoisert.runtime.plan import Plan

MIB = 2**20


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """What one phase holds while it is in memory.

    Args:
        phase: which.
        weight_bytes: of its weight files.
        workspace_bytes: what its engines compute in; None where that is not known.
        buffer_bytes: what it reads and writes; for the denoiser its pool.
    """

    phase: Phase
    weight_bytes: int
    workspace_bytes: int | None
    buffer_bytes: int

    @property
    def held_bytes(self) -> int:
        """All of it, as far as it is known."""
        return self.weight_bytes + (self.workspace_bytes or 0) + self.buffer_bytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory of a whole request, phase by phase.

    Args:
        phases: those that the bundle has.
        source: how workspaces are known.
    """

    phases: tuple[PhaseMemory, ...]
    source: str = UNKNOWN

    @property
    def peak_bytes(self) -> int:
        """With every phase in memory, which is so after the first request."""
        return sum(each.held_bytes for each in self.phases)

    @property
    def released_bytes(self) -> int:
        """Where text encoders and codec leave memory after each use: the denoiser stays."""
        stay = sum(each.held_bytes for each in self.phases if each.phase not in RELEASABLE)
        come = (each.held_bytes for each in self.phases if each.phase in RELEASABLE)
        return stay + max(come, default=0)

    @property
    def title(self) -> str:
        """What the peaks rest on."""
        if self.source == UNKNOWN:
            return f"without workspaces: to model them needs {', '.join(MODELLED)}"
        return f"workspaces are {self.source}"

    def __str__(self) -> str:
        lines = [f"{'phase':<10}{'weights':>14}{'workspace':>14}{'buffers':>14}{'held':>14}"]
        for each in self.phases:
            sizes = (each.weight_bytes, each.workspace_bytes, each.buffer_bytes, each.held_bytes)
            lines.append(f"{each.phase.value:<10}{''.join(f'{_mib(size):>14}' for size in sizes)}")
        names = " and ".join(each.value for each in RELEASABLE)
        return "\n".join(
            [
                *lines,
                f"peak      {_mib(self.peak_bytes)} with all of it in memory ({self.title})",
                f"          {_mib(self.released_bytes)} where {names} are released after each use",
            ]
        )


def memory_of(bundle: Bundle, choice: Choice, layout: StateLayout, plan: Plan) -> MemoryPlan:
    """What a request takes.

    Args:
        bundle: whose weights.
        choice: where they run.
        layout: of the request's state.
        plan: the request's.

    Raises:
        BuildError: a graph that cannot be planned.
        Tampered: a graph differs from the manifest.
    """
    once = [text.name for text in bundle.card.texts]
    once += [CONDITIONER] if CONDITIONER in components(bundle, choice) else []
    calls = {
        Phase.TEXT: [Call(name, {}, 1) for name in once],
        Phase.DENOISER: [Call(DENOISER, state_sizes(bundle.card, layout), plan.lanes)],
        Phase.CODEC: list(_codec_calls(bundle.card, layout, plan.images)),
    }
    source = source_of(choice)
    phases = (
        _phase(bundle, choice, phase, found, plan.memory_bytes)
        for phase, found in calls.items()
        if found
    )
    return MemoryPlan(tuple(phases), source)


def _codec_calls(card: Card, layout: StateLayout, images: int) -> Iterator[Call]:
    if card.autoencoder is None:
        return
    coder, sizes = Coder.of(card, layout), coder_sizes(card, layout)
    tiles = images * len(coder.tiles(*coder.shape[1:]).places)
    yield Call(DECODER, sizes, min(tiles, coder.lanes))
    if card.autoencoder.has_encoder:
        yield Call(ENCODER, sizes, 1)


def _phase(
    bundle: Bundle, choice: Choice, phase: Phase, calls: list[Call], pool_bytes: int
) -> PhaseMemory:
    entries = [graph_entry(bundle, choice, call.component) for call in calls]
    files = {path for entry in entries for path in weight_files(entry)}
    workspaces = [workspace_of(bundle, choice, call) for call in calls]
    known = [size for size in workspaces if size is not None]
    buffers = sum(
        port.at(call.sizes).nbytes(call.lanes)
        for call, entry in zip(calls, entries, strict=True)
        for port in (*entry.inputs, *entry.outputs)
    )
    return PhaseMemory(
        phase,
        sum(bundle.manifest.files[path].size for path in files),
        sum(known) if len(known) == len(calls) else None,
        pool_bytes if phase is Phase.DENOISER else buffers,
    )


def _mib(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / MIB:,.2f} MiB"
