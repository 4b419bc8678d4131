"""One measurement: a JSON line that names its device, its versions and its commit."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from denoisert.runtime.engines.processor import processor_facts
from denoisert.runtime.errors import InvalidInput

LIBRARIES = (
    *("numpy", "onnxruntime", "torch", "triton", "diffusers", "openvino"),
    *("onnxruntime-gpu", "tensorrt-rtx-cu13", "tensorrt"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a measurement was taken.

    Args:
        commit: of the source tree, empty outside a checkout.
        is_dirty: whether tracked files differed from it.
        date: UTC, ISO 8601.
        device: name of the processor or accelerator.
        driver: of the accelerator, or the kernel's release.
        clocks: as the system reports them, or empty.
        cores: cores this process may use.
        libraries: versions of what is installed.
    """

    commit: str
    is_dirty: bool
    date: str
    device: str
    driver: str
    clocks: str
    cores: int
    libraries: dict[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """One case of one provider on one machine.

    Args:
        case: what ran, with its sizes.
        provider: who ran it.
        dtype: of the data.
        unit: of the three percentiles, "ms" unless it says otherwise.
        median: of the repeats.
        p10: tenth percentile.
        p90: ninetieth percentile.
        repeats: (warm-up, measured).
        machine: where.
        extra: bytes, FLOPs, GB/s, per cent of peak, peak memory, quality: whatever the case knows.
    """

    case: str
    provider: str
    dtype: str
    unit: str
    median: float
    p10: float
    p90: float
    repeats: tuple[int, int]
    machine: Machine
    extra: dict[str, float | str] = field(default_factory=dict)

    def line(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_line(cls, line: str, place: str) -> Record:
        """The record that a line holds.

        Args:
            line: what `line` returned.
            place: the file and line, for errors.

        Raises:
            InvalidInput: the line is no record.
        """
        try:
            data = json.loads(line)
            repeats = tuple(data.pop("repeats"))
            return cls(machine=Machine(**data.pop("machine")), repeats=repeats, **data)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{place} is no record: {error}. Measure it again.") from error


def this_machine(root: Path, cores: int) -> Machine:
    """Describe the machine that runs this process.

    Args:
        root: folder of the source tree; one without `.git`, as when installed, has no commit.
        cores: cores this process may use.

    Returns:
        The description.
    """
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    speed = processor_facts().get("cpu MHz")
    return Machine(
        commit=_git(root, "rev-parse", "HEAD"),
        is_dirty=bool(status),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        device=processor(),
        driver=platform.release(),
        clocks=f"{speed} MHz" if speed else "",
        cores=cores,
        libraries=libraries(),
    )


def processor() -> str:
    """Name of the processor that runs this process."""
    return processor_facts().get("model name") or platform.processor()


def libraries() -> dict[str, str]:
    """Versions of the installed libraries that a figure depends on."""
    return {name: found for name in LIBRARIES if (found := _installed(name))}


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():  # else an enclosing checkout would answer
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
