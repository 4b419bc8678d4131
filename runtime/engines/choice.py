"""Which engines run on a device, and why: decided once, in `open`, never silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.here import obstacle, place_of, version_of
from denoisert.runtime.engines.target import (
    BFLOAT16,
    CPU,
    FLOAT16,
    FLOAT32,
    INT8,
    OnnxRuntime,
    OpenVino,
    Target,
    TensorRt,
    TensorRtRtx,
    Torch,
    check_device,
    engine_key,
    is_cuda,
    target_of_key,
)
from denoisert.runtime.errors import Incompatible

ON_CPU: Final[tuple[Target, ...]] = (
    OnnxRuntime(),
    OpenVino(FLOAT32),
    OpenVino(BFLOAT16),
    OnnxRuntime(INT8),
    OpenVino(INT8),
)
"""What "cpu" may mean, best first: a lower precision only where a bundle has nothing else."""

WIDEST_FIRST: Final = (FLOAT32, BFLOAT16, FLOAT16)


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine set of a runtime.

    Args:
        target: what runs it.
        reason: one line that says why.
        passed: key of every other set of the bundle -> why it was not taken.
    """

    target: Target
    reason: str
    passed: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What bundles and device profiles call the target."""
        return engine_key(self.target)

    @property
    def lines(self) -> tuple[str, ...]:
        """The reason, and those against every other set."""
        return (self.reason, *(f"not {key}: {why}" for key, why in self.passed.items()))


def choose(
    bundle: Bundle, wanted: str | Target = CPU, seconds: Mapping[str, float] | None = None
) -> Choice:
    """Pick the engines of a bundle for a device, or see whether a target runs here.

    Args:
        bundle: the opened bundle.
        wanted: a target; or the name of a device, which leaves the target open: the first that
            runs here of those in `ON_CPU`, or on CUDA TensorRT, TensorRT for RTX and torch. A lower
            precision is never taken where a higher one runs on a CPU.
        seconds: key of a target -> measured time of its denoiser here; sets of one dtype that were
            all measured are taken by it.

    Returns:
        The choice with its reason.

    Raises:
        Incompatible: the bundle or this environment lacks what is needed.
        InvalidInput: no device of that name.
    """
    if not isinstance(wanted, str):
        return _given(bundle, wanted)
    candidates = tuple(_candidates(check_device(wanted)))
    there = [target for target in candidates if _is_there(bundle, target)]
    against = {engine_key(target): _obstacle(bundle, target) for target in there}
    runs = [target for target in there if not against[engine_key(target)]]
    if not runs:
        raise Incompatible(_nothing(bundle, candidates[0], against))
    taken, why = _first(runs, seconds or {})
    return Choice(taken, _reason(bundle, taken) + why, _passed(bundle, taken, wanted))


def _candidates(device: str) -> Iterator[Target]:
    if device == CPU:
        yield from ON_CPU
        return
    yield from (TensorRt(dtype, device) for dtype in WIDEST_FIRST)
    yield from (TensorRtRtx(dtype, device) for dtype in WIDEST_FIRST)
    yield Torch(device)


def _given(bundle: Bundle, target: Target) -> Choice:
    if not _is_there(bundle, target):
        found, key = sorted(bundle.manifest.engines), engine_key(target)
        raise Incompatible(
            f"the bundle has engines for {', '.join(found) or 'no target'}, none for {key}. "
            f"Compile with --target {target.name}:{target.dtype}, or open it on Torch()."
        )
    against = _obstacle(bundle, target)
    if against:
        raise Incompatible(f"{engine_key(target)} cannot run here: {against}")
    return Choice(target, _reason(bundle, target), _passed(bundle, target, target.device))


def _first(runs: list[Target], seconds: Mapping[str, float]) -> tuple[Target, str]:
    """The best of those that run, and what a measurement had to say."""
    equals = [target for target in runs if target.dtype == runs[0].dtype]
    if len(equals) == 1 or any(engine_key(target) not in seconds for target in equals):
        return runs[0], ""
    best = min(equals, key=lambda target: seconds[engine_key(target)])
    times = ", ".join(
        f"{engine_key(target)} {1e3 * seconds[engine_key(target)]:.3g} ms" for target in equals
    )
    return best, f"; measured here: {times}"


def _is_there(bundle: Bundle, target: Target) -> bool:
    return isinstance(target, Torch) or engine_key(target) in bundle.manifest.engines


def _obstacle(bundle: Bundle, target: Target) -> str:
    return obstacle(target, bundle.manifest.engines.get(engine_key(target)))


def _reason(bundle: Bundle, target: Target) -> str:
    have = f"{target.name} {version_of(target)} on {place_of(target)} in {target.dtype}"
    if isinstance(target, Torch):
        return f"{have}, running the bundle's own graphs"
    built = bundle.manifest.engines[engine_key(target)].version
    return f"{have}, the bundle's engine for it (built with {built})"


def _passed(bundle: Bundle, taken: Target, device: str) -> dict[str, str]:
    """Why each other set of the bundle was not taken."""
    return {
        key: _why_not(bundle, target_of_key(key), device)
        for key in bundle.manifest.engines
        if key != engine_key(taken)
    }


def _why_not(bundle: Bundle, target: Target | None, device: str) -> str:
    if target is None:
        return "this version of DenoiseRT does not know it"
    against = _obstacle(bundle, target)
    if against:
        return against
    if is_cuda(target.device) != is_cuda(device):
        return f"it runs on {place_of(target)}; ask for {target!r}"
    return f"it runs here, too; ask for {target!r}"


def _nothing(bundle: Bundle, first: Target, against: Mapping[str, str]) -> str:
    if against:
        return "; ".join(f"{key} cannot run here: {why}" for key, why in against.items())
    found = ", ".join(sorted(bundle.manifest.engines)) or "no target"
    return (
        f"the bundle has engines for {found}, none for {first.device}. Compile with --target "
        f"{first.name}, or open it on Torch()."
    )
