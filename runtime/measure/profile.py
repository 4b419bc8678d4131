"""The device profile: measured times of every component of a bundle at every bucket.

A cache, not a promise: keyed by everything that changes the times, written in one step, and a file
that is damaged or of something else is passed over with a note.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident

from denoisert.runtime.bundle.document import canonical, parse
from denoisert.runtime.bundle.typed import decode, encode
from denoisert.runtime.engines.here import PACKAGES
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.target import Target, engine_key
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.estimate import Basis, Estimate
from denoisert.runtime.measure.record import libraries, processor

FORMAT = 1
FOLDER = "profiles"
MAX_BYTES = 2**20
DIGITS = 32


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """Everything that changes the times.

    Args:
        bundle: its id.
        target: its key.
        device: name of the processor or accelerator.
        threads: of one engine.
        libraries: versions of what runs.
    """

    bundle: str
    target: str
    device: str
    threads: int
    libraries: Mapping[str, str]

    @classmethod
    def of(cls, bundle: str, target: Target, threads: int, device: str | None = None) -> ProfileKey:
        """The key on this machine.

        Args:
            bundle: its id.
            target: what runs the engines.
            threads: of one engine.
            device: its name; None for this machine's processor.
        """
        found = libraries()
        used = {name: found[name] for name in ("numpy", *PACKAGES[target.name]) if name in found}
        return cls(bundle, engine_key(target), device or processor(), threads, used)

    def path(self, cache: Path) -> Path:
        """Where the profile lies in a cache folder."""
        text = canonical(encode(ProfileKey, self, {}))
        return cache / FOLDER / f"{hashlib.sha256(text).hexdigest()[:DIGITS]}.json"


@dataclass(frozen=True, slots=True)
class Call:
    """One measured call.

    Args:
        component: for example "denoiser".
        lanes: bucket.
        seconds: median.
    """

    component: str
    lanes: int
    seconds: float

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.seconds < 0.0:
            raise InvalidInput(f"{self.lanes} lanes in {self.seconds} s is no measured call.")


@dataclass(frozen=True, slots=True)
class Profile:
    """Measured calls of one bundle on one device.

    Args:
        key: what they hold for.
        calls: as measured, at most one per component and bucket.
        format: of the file.
        note: why a file was passed over, "" where none was.
    """

    key: ProfileKey
    calls: tuple[Call, ...] = ()
    format: int = FORMAT
    note: str = field(default="", compare=False)

    @classmethod
    def read(cls, cache: Path | None, key: ProfileKey) -> Profile:
        """The profile in a cache, or an empty one.

        Args:
            cache: its folder, or None.
            key: what is wanted.

        Returns:
            A profile with `key`; its note says why a file there was not taken.
        """
        path = None if cache is None else key.path(cache)
        if path is None or not os.path.lexists(path):
            return cls(key)
        try:
            with path.open("rb") as file:
                data = parse(file.read(MAX_BYTES + 1), path.name, MAX_BYTES)
            found: Profile = decode(Profile, data, path.name, {})
        except (InvalidInput, OSError) as error:
            return cls(key, note=f"the device profile was passed over: {error}")
        if found.format != FORMAT or found.key != key:
            return cls(key, note=f"the device profile {path.name} is of something else")
        return cls(key, found.calls)

    def write(self, cache: Path) -> Path:
        """Put the profile into a cache, in one step.

        Args:
            cache: its folder, made where it is missing, for its user alone.

        Returns:
            The file.

        Raises:
            OSError: the folder cannot be written to.
        """
        path = self.key.path(cache)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.stem}.{os.getpid()}.{get_ident()}")
        try:
            draft.write_bytes(canonical(encode(Profile, self, {})))
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def times(self, component: str) -> dict[int, float]:
        """Bucket -> seconds of one component, ascending."""
        found = {call.lanes: call.seconds for call in self.calls if call.component == component}
        return dict(sorted(found.items()))

    def call(self, component: str, lanes: int) -> Estimate:
        """The expected time of one call.

        Between two measured buckets, and beyond them, the line through the nearest two; one bucket
        alone serves every smaller call, and a larger one in proportion.

        Args:
            component: for example "denoiser".
            lanes: bucket, at least 1.

        Returns:
            Measured, modelled or unknown.
        """
        times = self.times(component)
        if lanes in times:
            return Estimate(times[lanes], Basis.MEASURED)
        if not times:
            return Estimate()
        return Estimate(_line(times, lanes), Basis.MODELLED)


def measured_seconds(
    bundle: str, targets: Sequence[Target], cache: Path | None, threads: int
) -> dict[str, float]:
    """How long the denoiser takes on each of some targets of this machine's processor.

    Args:
        bundle: its id.
        targets: on the CPU.
        cache: folder of device profiles, or None.
        threads: of one engine.

    Returns:
        Key of a target -> seconds of its smallest measured call; without those never measured.
    """
    found = {}
    for target in targets:
        profile = Profile.read(cache, ProfileKey.of(bundle, target, threads))
        times = profile.times(DENOISER)
        if times:
            found[engine_key(target)] = next(iter(times.values()))
    return found


def _line(times: Mapping[int, float], lanes: int) -> float:
    """Seconds at a bucket that was not measured, never less than a smaller measured call."""
    known = list(times)
    if len(known) == 1:
        return times[known[0]] * max(1.0, lanes / known[0])
    above = next((place for place, each in enumerate(known) if each > lanes), len(known) - 1)
    first, last = (known[0], known[1]) if above == 0 else (known[above - 1], known[above])
    slope = (times[last] - times[first]) / (last - first)
    floor = max((times[each] for each in known if each < lanes), default=0.0)
    return max(times[first] + slope * (lanes - first), floor)
