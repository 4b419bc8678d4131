"""What other runtimes do: a loop in Python around eager, compiled or captured calls.

Each loop has the body that diffusers pipelines share: double the latents, scale them, call the
network, split, guide, step. What differs is how the network is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.loop.schedulers import Scheduler

Network = Callable[..., Tensor]
Steps = Callable[[int, str], Scheduler]
Conditions = Mapping[str, Tensor]

WARM_UP = 3  # calls before a capture: libraries choose algorithms and allocate in them


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a loop computes.

    Args:
        scheduler: makes a fresh scheduler of (steps, device).
        steps: N.
        guidance: scale; 1 runs the cond branch alone.
        conditions: input -> (lanes, ...) of the uncond branch, then of the cond branch.
    """

    scheduler: Steps
    steps: int
    guidance: float
    conditions: Conditions

    @property
    def branches(self) -> int:
        """Network evaluations of one step and picture."""
        return 1 if self.guidance == 1.0 else 2


def fresh(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> Tensor:
    """Noise of torch's own generator."""
    return torch.randn(shape, device=device, dtype=dtype)


def spread(time: Tensor, lanes: int) -> Tensor:
    """One time for every lane, (lanes,) float32."""
    return time.expand(lanes).to(torch.float32)


@torch.inference_mode()
def sample(call: Network, sampling: Sampling, noise: Tensor) -> Tensor:
    """The final latents from noise, by the loop of diffusers.

    Args:
        call: `network(latent, time, **conditions)`; surplus output channels are cut off.
        sampling: what to compute.
        noise: (pictures, C, H, W), in the dtype of the latents between steps.

    Returns:
        (pictures, C, H, W).
    """
    scheduler = sampling.scheduler(sampling.steps, str(noise.device))
    latents = scheduler.start(noise)
    for time in scheduler.timesteps:
        doubled = torch.cat([latents] * sampling.branches)
        doubled = scheduler.scaled(doubled)
        predicted = call(doubled, spread(time, len(doubled)), **sampling.conditions)
        predicted = predicted[:, : noise.shape[1]]
        if sampling.branches == 2:
            uncond, cond = predicted.chunk(2)
            predicted = uncond + sampling.guidance * (cond - uncond)
        latents = scheduler.step(predicted, time, latents)
    return latents


def compiled(network: Network, mode: str | None, backend: str = "inductor") -> Network:
    """The network through torch.compile.

    Args:
        network: eager.
        mode: "default" or "reduce-overhead", which captures; None where the backend has no modes.
        backend: of torch.compile.

    Returns:
        A call that compiles when it is first used.
    """
    return torch.compile(network, mode=mode, backend=backend, fullgraph=True, dynamic=False)


class Captured:
    """The network in a CUDA graph with static buffers; the loop around it stays eager.

    Args:
        network: eager.
        inputs: an example of what it is called with, by name.
    """

    def __init__(self, network: Network, inputs: Mapping[str, Tensor]) -> None:
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.inference_mode():
            for _ in range(WARM_UP):
                network(**self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.inference_mode():
            self._output = network(**self._inputs)

    def __call__(self, latent: Tensor, time: Tensor, **conditions: Tensor) -> Tensor:
        """Copy in, replay; the result is overwritten by the next call."""
        for name, value in {"latent": latent, "time": time, **conditions}.items():
            self._inputs[name].copy_(value)
        self._graph.replay()
        return self._output
