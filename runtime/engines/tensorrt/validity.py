"""Whether a library takes an engine on this machine, asked before it is deserialised."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from denoisert.runtime.engines.tensorrt.binding import Binding, Library
from denoisert.runtime.engines.tensorrt.interface import JustInTimeRuntime
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.errors import Incompatible

DIAGNOSTICS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "VERSION_MISMATCH": (
            "it was built by another version of the library",
            "Install the version that the manifest names, or compile the model again with yours.",
        ),
        "UNSUPPORTED_CC": (
            "the library, or the engine, does not run on GPUs of this compute capability",
            "Compile with --capability of this GPU, or open the bundle on Torch().",
        ),
        "OLD_CUDA_DRIVER": ("the CUDA driver is too old", "Update the driver."),
        "OLD_CUDA_RUNTIME": ("the CUDA runtime is too old", "Update CUDA."),
        "INSUFFICIENT_GPU_MEMORY": (
            "the GPU has too little memory",
            "Free some, or compile smaller profiles or a half type.",
        ),
        "MALFORMED_ENGINE": (
            "the file is no engine of this library",
            "Compile the model again.",
        ),
        "CUDA_ERROR": (
            "CUDA's driver or runtime does not work here",
            "See whether nvidia-smi and torch.cuda.is_available() find the GPU.",
        ),
    }
)
"""Name of a diagnostic -> what it means and what to do."""

NOTHING_SAID = (
    "the library does not say why, as where there is no CUDA driver",
    "See whether nvidia-smi finds a GPU, or open the bundle on another target.",
)


def diagnose(bits: int, numbers: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """What diagnostics mean.

    Args:
        bits: as `get_engine_validity` answers them.
        numbers: name of a diagnostic -> its bit.

    Returns:
        Meaning and remedy of each bit that is set.
    """
    known = [(name, number) for name, number in numbers.items() if bits & number]
    found = [DIAGNOSTICS.get(name, (name, "Compile the model again.")) for name, _ in known]
    rest = bits & ~sum(number for _, number in known)
    if rest:
        found.append((f"diagnostics {rest}, unknown here", "Compile the model again."))
    return tuple(found) or (NOTHING_SAID,)


def check_validity(
    binding: Binding, library: Library, runtime: JustInTimeRuntime, plan: object, log: Log
) -> None:
    """Refuse an engine that this machine cannot run.

    Args:
        binding: of the library; one that is not just in time has no such question.
        library: imported.
        runtime: of the library.
        plan: buffer of the engine's file.
        log: of the runtime.

    Raises:
        Incompatible: the library calls it invalid.
    """
    if not binding.is_just_in_time:
        return
    validity, bits = runtime.get_engine_validity(plan)
    if validity != library.EngineValidity.INVALID:
        return
    members = library.EngineInvalidityDiagnostics.__members__
    found = diagnose(int(bits), {name: int(member) for name, member in members.items()})
    reasons = "; ".join(reason for reason, _ in found)
    remedies = " ".join(dict.fromkeys(remedy for _, remedy in found))
    raise Incompatible(
        f"{binding.title} {binding.version} does not take the engine: {reasons}. {remedies} "
        f"Its own words: {log.text()}."
    )
