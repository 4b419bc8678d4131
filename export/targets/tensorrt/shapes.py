"""From our profiles to the library's, checked against the inputs of the network."""

from __future__ import annotations

from collections.abc import Iterator

from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.tensorrt.interface import (
    Builder,
    IBuilderConfig,
    INetworkDefinition,
    ITensor,
)
from denoisert.runtime.engines.profile import LANES, Profile
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.errors import OutOfProfile

VARIES = -1
Shapes = tuple[tuple[int, ...], ...]
"""Least, usual and largest."""


def add_profiles(
    builder: Builder,
    network: INetworkDefinition,
    config: IBuilderConfig,
    job: EngineJob,
    log: Log,
) -> None:
    """Add every profile of a job, in order.

    Args:
        builder: makes them.
        network: parsed.
        config: of the build.
        job: with the profiles.
        log: of the builder.

    Raises:
        OutOfProfile: an axis that varies has no length in a profile, or the library refuses one.
    """
    inputs = tuple(network.get_input(index) for index in range(network.num_inputs))
    check_profiles(inputs, job)
    for profile in job.profiles:
        made = builder.create_optimization_profile()
        for tensor in inputs:
            made.set_shape(tensor.name, *shapes_of(tensor, profile))
        if config.add_optimization_profile(made) < 0:
            raise OutOfProfile(
                f"the profile ({profile}) of {job.component} is refused. Compile for other sizes. "
                f"The library says: {log.text()}"
            )


def check_profiles(inputs: tuple[ITensor, ...], job: EngineJob) -> None:
    """Refuse profiles that leave a length of an input open.

    Raises:
        OutOfProfile: no profile at all, or one that says nothing about an axis.
    """
    varying = dict(pair for tensor in inputs for pair in _varying(tensor))
    if varying and not job.profiles:
        raise OutOfProfile(
            f"{job.component} has axes of any length, {', '.join(varying)}, and no profile. "
            "Compile it with --size and --batch."
        )
    for profile in job.profiles:
        missing = [axis for axis in varying if axis not in profile.axes]
        if missing:
            axis = missing[0]
            raise OutOfProfile(
                f"{varying[axis]} of {job.component} has an axis {axis!r} of any length; the "
                f"profile ({profile}) says nothing about it. Give its lengths."
            )


def shapes_of(tensor: ITensor, profile: Profile) -> Shapes:
    """Least, usual and largest shape of an input; what does not vary is passed over."""
    names = [_axis(tensor, index) for index in range(len(tensor.shape))]
    fixed = [int(size) for size in tensor.shape]
    return tuple(
        tuple(
            profile.axes[name][which] if size == VARIES else size
            for name, size in zip(names, fixed, strict=True)
        )
        for which in range(3)
    )


def _varying(tensor: ITensor) -> Iterator[tuple[str, str]]:
    """Name of an axis that varies -> the input that has it."""
    for index, size in enumerate(tensor.shape):
        if size == VARIES:
            yield _axis(tensor, index), tensor.name


def _axis(tensor: ITensor, index: int) -> str:
    """Its name; the first of an input has the lanes where it has none."""
    return tensor.get_dimension_name(index) or (LANES if index == 0 else f"axis {index}")
