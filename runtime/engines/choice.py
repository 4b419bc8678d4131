"""Which engines run on a device, and why: decided once, in `open`, never silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
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

Seconds = Mapping[str, float]
"""Key of a target -> measured time of its denoiser here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine set of a runtime.

    Args:
        target: what runs it.
        reason: one line that says why.
        passed: key of every other set of the bundle -> why it was not taken.
        notes: of these, what somebody who asked for this device might have expected to run.
    """

    target: Target
    reason: str
    passed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What bundles and device profiles call the target."""
        return engine_key(self.target)

    @property
    def lines(self) -> tuple[str, ...]:
        """The reason, and those against every other set."""
        return (self.reason, *self.against)

    @property
    def against(self) -> tuple[str, ...]:
        """A line for every set that was not taken, and why."""
        return tuple(f"not {key}: {why}" for key, why in self.passed.items())


def choose(bundle: Bundle, wanted: str | Target = CPU, seconds: Seconds | None = None) -> Choice:
    """Pick the engines of a bundle for a device, or see whether a target runs here.

    Args:
        bundle: the opened bundle.
        wanted: a target; or the name of a device, which leaves the target open: the first that
            runs here of those in `ON_CPU`, or on CUDA TensorRT, TensorRT for RTX and torch. A lower
            precision is never taken where a higher one runs on a CPU.
        seconds: times of targets; sets of one dtype that were all measured are taken by them.

    Returns:
        The choice with its reason.

    Raises:
        Incompatible: the bundle or this environment lacks what is needed.
        InvalidInput: no device of that name.
    """
    if not isinstance(wanted, str):
        return _given(bundle, wanted)
    there = _present(bundle, wanted)
    against = {engine_key(target): _obstacle(bundle, target) for target in there}
    runs = [target for target in there if not against[engine_key(target)]]
    if not runs:
        raise Incompatible(_nothing(bundle, wanted, against))
    taken, why = _first(runs, seconds or {})
    reason = _reason(bundle, taken) + why
    passed = _passed(bundle, taken, wanted)
    return Choice(taken, reason, passed, tuple(_notes(taken, there, against, seconds or {})))


def foresee(bundle: Bundle, wanted: str | Target) -> Choice:
    """What a machine would choose that has all that a bundle's engines need.

    Args:
        bundle: the opened bundle.
        wanted: a target or the name of a device.

    Returns:
        The choice; its reason says that it is not for this machine.

    Raises:
        Incompatible: the bundle has no such engines.
        InvalidInput: no device of that name.
    """
    there = [wanted] if not isinstance(wanted, str) else _present(bundle, wanted)
    there = [target for target in there if _is_there(bundle, target)]
    if not there:
        raise Incompatible(_nothing(bundle, wanted, {}))
    target = there[0]
    have = f"{target.name} on {place_of(target)} in {target.dtype}, not on this machine"
    return Choice(target, have + _built(bundle, target), _passed(bundle, target, target.device))


def spelled(target: Target) -> str:
    """A target as Python reads it, without what it is anyway: OpenVino("float32")."""
    said = [each for each in fields(target) if getattr(target, each.name) != each.default]
    words = (f'{each.name}="{getattr(target, each.name)}"' for each in said)
    return f"{type(target).__name__}({', '.join(words)})"


def _present(bundle: Bundle, device: str) -> list[Target]:
    """What a device may mean, as far as the bundle has it."""
    candidates = _candidates(check_device(device))
    return [target for target in candidates if _is_there(bundle, target)]


def _candidates(device: str) -> Iterator[Target]:
    if device == CPU:
        yield from ON_CPU
        return
    yield from (TensorRt(dtype, device) for dtype in WIDEST_FIRST)
    yield from (TensorRtRtx(dtype, device) for dtype in WIDEST_FIRST)
    yield Torch(device)


def _given(bundle: Bundle, target: Target) -> Choice:
    if not _is_there(bundle, target):
        raise Incompatible(_nothing(bundle, target, {}))
    against = _obstacle(bundle, target)
    if against:
        raise Incompatible(f"{engine_key(target)} cannot run here: {against}")
    return Choice(target, _reason(bundle, target), _passed(bundle, target, target.device))


def _first(runs: list[Target], seconds: Seconds) -> tuple[Target, str]:
    """The best of those that run, and what a measurement had to say."""
    equals = [target for target in runs if target.dtype == runs[0].dtype]
    if len(equals) == 1 or any(engine_key(target) not in seconds for target in equals):
        return runs[0], ""
    best = min(equals, key=lambda target: seconds[engine_key(target)])
    times = ", ".join(f"{_timed(engine_key(target), seconds)}" for target in equals)
    return best, f"; measured here: {times}"


def _notes(
    taken: Target, there: list[Target], against: Mapping[str, str], seconds: Seconds
) -> Iterator[str]:
    """Sets for this device that cannot run, and those that were measured to be faster."""
    key = engine_key(taken)
    for target in there:
        other = engine_key(target)
        if against[other]:
            yield f"not {other}: {against[other]}"
        elif key in seconds and seconds.get(other, seconds[key]) < seconds[key]:
            yield (
                f"{_timed(other, seconds)} was measured here, {_timed(key, seconds)}; ask for "
                f"{spelled(target)} where {target.dtype} is good enough"
            )


def _timed(key: str, seconds: Seconds) -> str:
    return f"{key} {1e3 * seconds[key]:.3g} ms"


def _is_there(bundle: Bundle, target: Target) -> bool:
    return isinstance(target, Torch) or engine_key(target) in bundle.manifest.engines


def _obstacle(bundle: Bundle, target: Target) -> str:
    return obstacle(target, bundle.manifest.engines.get(engine_key(target)))


def _reason(bundle: Bundle, target: Target) -> str:
    have = f"{target.name} {version_of(target)} on {place_of(target)} in {target.dtype}"
    return have + _built(bundle, target)


def _built(bundle: Bundle, target: Target) -> str:
    """What it runs."""
    if isinstance(target, Torch):
        return ", running the bundle's own graphs"
    built = bundle.manifest.engines[engine_key(target)].version
    return f", the bundle's engine for it (built with {built})"


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
    there = _on(target, device)
    against = _obstacle(bundle, there)
    if against and target.device == CPU and not _obstacle(bundle, target):
        there, against = target, ""  # what a GPU's library lacks is no matter to a CPU's
    if against:
        return against
    if is_cuda(there.device) != is_cuda(device):
        return f"it runs on {place_of(there)}; ask for {spelled(there)}"
    return f"it runs here, too; ask for {spelled(there)}"


def _on(target: Target, device: str) -> Target:
    """A target on the GPU that was asked for, if it runs on GPUs."""
    if isinstance(target, OpenVino) or target.dtype == INT8 or not is_cuda(device):
        return target
    return replace(target, device=device)


def _nothing(bundle: Bundle, wanted: str | Target, against: Mapping[str, str]) -> str:
    if against:
        return "; ".join(f"{key} cannot run here: {why}" for key, why in against.items())
    found = ", ".join(sorted(bundle.manifest.engines)) or "no target"
    first = next(_candidates(wanted)) if isinstance(wanted, str) else wanted
    device = first.device
    for_what = wanted if isinstance(wanted, str) else engine_key(wanted)
    name = first.name if first.dtype == FLOAT32 else f"{first.name}:{first.dtype}"
    return (
        f"the bundle has engines for {found}, none for {for_what}. Compile with --target {name}, "
        f'or open it on Torch("{device}").'
    )
