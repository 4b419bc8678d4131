"""The loops that run one job, made only when their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.case import Run
from bench.loop.baselines import Captured, Network, Sampling, compiled, fresh, sample, spread
from bench.loop.job import Job
from bench.loop.loaded import Loaded
from bench.loop.ours import Loop
from bench.loop.ratio import forward

CPU_BACKEND = "eager"  # inductor takes a minute on a CPU and shows nothing here


class Provider(NamedTuple):
    """A loop that is ready.

    Args:
        run: one whole job, (pictures, C, H, W) on the host.
        network: one bare call of its network, to tell what of a run is not the network.
        note: what the record must say, or "".
        loop: where it is ours.
    """

    run: Callable[[], np.ndarray]
    network: Run
    note: str = ""
    loop: Loop | None = None


Making = Callable[[], AbstractContextManager[Provider]]


class Providers:
    """Every loop on one job.

    Args:
        job: what to compute.
        loaded: its networks, shared by all loops and by other jobs.
    """

    def __init__(self, job: Job, loaded: Loaded) -> None:
        self.job, self.loaded = job, loaded
        self.device, self.dtype = loaded.device, loaded.dtype

    def all(self) -> dict[str, Making]:
        """Provider -> its context, the ones that compile last."""
        ours = {name: partial(self.ours, name) for name in self.loaded.places.names}
        made: dict[str, Making] = {**ours, "captured forward": self.captured, "eager": self.eager}
        made["torch.compile"] = self.compiled
        if self.device == "cuda":  # elsewhere the two modes are one
            made["torch.compile reduce-overhead"] = self.reduced
        return made

    @property
    def _network(self) -> Network:
        return self.loaded.network

    def _inputs(self, sampling: Sampling, dtype: torch.dtype) -> dict[str, Tensor]:
        """What a loop calls its network with, strides included: else it would compile twice."""
        lanes = self.job.lanes
        latent = torch.zeros((lanes, *self.job.shape.latent), device=self.device, dtype=dtype)
        time = sampling.scheduler(sampling.steps, self.device).timesteps[0]
        return {"latent": latent, "time": spread(time, lanes), **sampling.conditions}

    def _sampling(self, dtype: torch.dtype) -> Sampling:
        job, (cond, uncond) = self.job, self.job.conditions()
        branches = (cond,) if job.guidance == 1.0 else (uncond, cond)
        conditions = {
            name: torch.from_numpy(
                np.stack([branch[name] for branch in branches for _ in range(job.pictures)])
            ).to(self.device)
            for name in cond
        }
        conditions = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in conditions.items()
        }
        return Sampling(job.scheduler, job.steps, job.guidance, conditions)

    def _torch(self, call: Network, dtype: torch.dtype, note: str = "") -> Provider:
        sampling = self._sampling(dtype)
        noise = torch.from_numpy(self.job.noise()).to(self.device, dtype)
        inputs = self._inputs(sampling, dtype)

        def run() -> np.ndarray:
            # Drawn, as a pipeline would, then replaced by the noise that all providers share.
            start = fresh(tuple(noise.shape), self.device, dtype).copy_(noise)
            return sample(call, sampling, start).float().cpu().numpy()

        @torch.inference_mode()
        def bare() -> None:
            call(**inputs)

        return Provider(run, bare, note)

    @property
    def _torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def truth(self) -> np.ndarray:
        """The first picture of the eager loop in float32; whoever measures switches TF32 off."""
        first = Providers(replace(self.job, pictures=1), self.loaded)
        key = f"{first.job.name} {self.job.guidance:g}"
        return self.loaded.truth(key, lambda call: first._torch(call, torch.float32).run())

    @contextmanager
    def ours(self, name: str) -> Iterator[Provider]:
        """Ours, on one of its places."""
        loop = Loop(self.job, self.loaded.places.place(name))
        try:
            yield Provider(loop.run, self._bare(loop), loop=loop)
        finally:
            loop.close()

    def _bare(self, loop: Loop) -> Run:
        """Our network alone, captured where its ticks are; made at its first call."""
        made: list[Run] = []

        def call() -> None:
            if not made:
                made.append(forward(loop.calls(), self.device))
            made[0]()

        return call

    @contextmanager
    def eager(self) -> Iterator[Provider]:
        """As diffusers does it."""
        yield self._torch(self._network, self._torch_dtype)

    @contextmanager
    def captured(self) -> Iterator[Provider]:
        """The forward replayed, everything around it eager."""
        dtype = self._torch_dtype
        if self.device != "cuda":
            yield self._torch(self._network, dtype, "no CUDA: the forward ran eagerly")
            return
        call = Captured(self._network, self._inputs(self._sampling(dtype), dtype))
        yield self._torch(call, dtype)

    def compiled(self) -> AbstractContextManager[Provider]:
        """torch.compile as it is."""
        return self._compiled("default")

    def reduced(self) -> AbstractContextManager[Provider]:
        """torch.compile that captures."""
        return self._compiled("reduce-overhead")

    @contextmanager
    def _compiled(self, mode: str) -> Iterator[Provider]:
        try:
            if self.device == "cuda":
                yield self._torch(compiled(self._network, mode), self._torch_dtype)
            else:
                call = compiled(self._network, None, CPU_BACKEND)
                yield self._torch(call, self._torch_dtype, f"no CUDA: backend {CPU_BACKEND!r}")
        finally:
            torch.compiler.reset()
