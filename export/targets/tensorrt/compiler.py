"""Builds one engine: read the graph, tell the library what is wanted, build, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from denoisert.export.targets.job import EngineJob, Report
from denoisert.export.targets.tensorrt.failure import explain, explain_shapes
from denoisert.export.targets.tensorrt.interface import (
    Builder,
    INetworkDefinition,
    JustInTimeConfig,
)
from denoisert.export.targets.tensorrt.parse import (
    allow_decomposition,
    check_types,
    layer_names,
    parse,
)
from denoisert.export.targets.tensorrt.progress import Progress
from denoisert.export.targets.tensorrt.shapes import add_profiles
from denoisert.export.targets.tensorrt.stillness import watched
from denoisert.runtime.engines import driver
from denoisert.runtime.engines.tensorrt.binding import BINDINGS, Binding, Library
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.errors import BuildError, BundleError, OutOfMemory

RESERVE_BYTES: Final = 2**25
"""Kept while an engine is compiled, for the message that memory ran out."""


def build(job: EngineJob, report: Report) -> None:
    """Compile a graph and write its engine to `job.out`.

    The same job gives the same bytes with one version of the library, in a process that builds
    nothing else: after a build that failed, the library's next one may differ.

    Args:
        job: what to build; its target is "tensorrt-rtx" or "tensorrt".
        report: called with a phase, how many profiles are compiled and how many there are;
            KeyboardInterrupt, or an error of ours or of the system that it raises, ends the build
            and comes out of here.

    Raises:
        UnsupportedOperator: the library lacks an operator, or the form in which it is used.
        OutOfProfile: the graph does not take the shapes of a profile.
        OutOfMemory: the build needs more than there is.
        BuildError: anything else that keeps the engine from being built; the library's words come
            last.
        BundleError: the engine cannot be written.
    """
    binding = BINDINGS[job.target]
    binding.check_capabilities(job.capabilities)
    _check_gpu(binding, job)
    library = binding.load()
    reserve: list[bytearray] = []
    try:
        reserve.append(bytearray(RESERVE_BYTES))
        plan = Compilation(binding, library, job, Log()).run(report, reserve)
    except OutOfMemory:
        raise
    except MemoryError as error:
        reserve.clear()
        raise OutOfMemory(
            f"{job.component} cannot be compiled for {job.target}: Python ran out of memory. Give "
            "the build more, or build fewer engines at a time."
        ) from error
    _write(job, plan)


@dataclass(frozen=True, slots=True)
class Compilation:
    """One build under way.

    Args:
        binding: of the library.
        library: imported.
        job: what to build.
        log: what the library says.
    """

    binding: Binding
    library: Library
    job: EngineJob
    log: Log

    def run(self, report: Report, reserve: list[bytearray]) -> memoryview:
        """The engine; see `build`.

        Args:
            report: see `build`.
            reserve: given back once nothing more is compiled, so that a build that ran out of
                memory can say so.
        """
        builder: Builder = self.library.Builder(self.log.logger(self.library))
        progress = Progress(report, max(1, len(self.job.profiles)))
        network = builder.create_network(0)
        report("Reading the graph", 0, progress.profiles)
        parse(self.binding, self.library, self.job, network, self.log)
        check_types(self.job, network)
        allow_decomposition(self.library, network)
        self.log.clear()
        config = self._configuration(builder)
        add_profiles(builder, network, config, self.job, self.log)
        config.progress_monitor = progress.monitor(self.library)
        what = f"Compiling {self.job.component} for {self.job.target}"
        with progress.interruptible(), watched(what):
            plan = builder.build_serialized_network(network, config)
        reserve.clear()
        if progress.stop is not None:
            raise progress.stop
        return self._checked(plan, network)

    def _checked(self, plan: memoryview | None, network: INetworkDefinition) -> memoryview:
        """The engine, or the error that says why there is none that could be used."""
        context = self.binding, self.job, self.log, layer_names(network)
        refusal = explain(*context) if plan is None else explain_shapes(*context)
        if plan is None or refusal is not None:
            raise refusal or BuildError(self.log.text())
        return memoryview(plan)

    def _configuration(self, builder: Builder) -> JustInTimeConfig:
        """Flags, and which GPUs the engine is for."""
        config, library, wanted = builder.create_builder_config(), self.library, self.job
        for flag in self.binding.flags:
            config.set_flag(getattr(library.BuilderFlag, flag))
        if self.binding.levels:
            level = self.binding.levels[1 if wanted.capabilities else 0]
            config.hardware_compatibility_level = getattr(library.HardwareCompatibilityLevel, level)
            return config
        if wanted.capabilities:
            config.num_compute_capabilities = len(wanted.capabilities)
        for index, name in enumerate(wanted.capabilities):
            member = getattr(library.ComputeCapability, f"SM{name.replace('.', '')}")
            if not config.set_compute_capability(member, index):
                raise BuildError(
                    f"{self.binding.title} {self.binding.version} does not compile for compute "
                    f"capability {name}. Leave it out. It says: {self.log.text()}"
                )
        return config


def _check_gpu(binding: Binding, job: EngineJob) -> None:
    """Refuse a library that compiles on a GPU where there is none, or another one."""
    if binding.is_just_in_time:
        return
    found = driver.capabilities()
    if not found:
        raise BuildError(
            f"{binding.title} compiles on the GPU that an engine is for, and the driver shows none "
            "here. Compile there, or for tensorrt-rtx, which needs no GPU."
        )
    if job.capabilities and job.capabilities[0] != found[0]:
        raise BuildError(
            f"compute capability {job.capabilities[0]} asked for; {binding.title} compiles for the "
            f"first GPU here, which has {found[0]}. Compile on the other one."
        )


def _write(job: EngineJob, plan: memoryview) -> None:
    """Write the engine; a file that could not be finished is removed."""
    try:
        job.out.write_bytes(plan)
    except OSError as error:
        job.out.unlink(missing_ok=True)
        raise BundleError(
            f"the engine of {job.component}, {len(plan)} bytes, cannot be written to "
            f"{job.out.name}: {error}. Free space, then compile again."
        ) from error
