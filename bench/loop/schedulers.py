"""Steps of a scheduler in eager torch, in the way of diffusers 0.42.

As there: sigmas stay on the host and are picked by a counter at each step, whole steps are small
eager operations, the update runs in float32 where diffusers upcasts, and DDIM reads the alphas at a
time that lies on the device, which waits for the device. Times are "trailing", the noise schedule
is that of latent diffusion, networks predict noise, and the last step ends at sigma 0.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

TRAIN_STEPS = 1000


def _kept() -> Tensor:
    """Alpha squared of every train time, on the host."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS, dtype=torch.float32) ** 2
    return torch.cumprod(1.0 - betas, 0)


def _times(steps: int) -> np.ndarray:
    times: np.ndarray = np.arange(TRAIN_STEPS, 0, -TRAIN_STEPS / steps).round() - 1
    return times[:steps].astype(np.int64)


def _sigmas(times: np.ndarray) -> Tensor:
    """sigma / alpha of the times, then 0, on the host."""
    kept = _kept()[torch.from_numpy(times)]
    return torch.cat((((1.0 - kept) / kept) ** 0.5, torch.zeros(1)))


class Scheduler(Protocol):
    """What a loop asks for in every step."""

    timesteps: Tensor

    def start(self, noise: Tensor) -> Tensor:
        """The first latents."""
        ...

    def scaled(self, latents: Tensor) -> Tensor:
        """What the network is given."""
        ...

    def step(self, noise: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """The next latents from the guided noise estimate."""
        ...


class Counting(Scheduler, Protocol):
    """One that counts its steps."""

    index: int


class Euler:
    """Euler's method in sigma / alpha; latents are those of the variance exploding path."""

    def __init__(self, steps: int, device: str) -> None:
        times = _times(steps)
        self.timesteps = torch.from_numpy(times.astype(np.float32)).to(device)
        self.sigmas = _sigmas(times)
        self.index = 0

    def start(self, noise: Tensor) -> Tensor:
        """Noise at the first level, with the variance that the network was trained on."""
        return noise * (self.sigmas[0] ** 2 + 1.0) ** 0.5

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents of variance 1."""
        sigma = self.sigmas[self.index]
        return latents / ((sigma**2 + 1.0) ** 0.5)

    def step(self, noise: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """x + (sigma' - sigma) (x - x0) / sigma, in float32."""
        wide, sigma = latents.to(torch.float32), self.sigmas[self.index]
        clean = wide - sigma * noise
        derivative = (wide - clean) / sigma
        change = self.sigmas[self.index + 1] - sigma
        self.index += 1
        return (wide + derivative * change).to(noise.dtype)


class EulerAncestral(Euler):
    """Euler down to a lower level than the next one, then fresh noise of torch's generator."""

    def step(self, noise: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """x + (sigma_down - sigma) (x - x0) / sigma + sigma_up xi, in float32."""
        wide, sigma = latents.to(torch.float32), self.sigmas[self.index]
        clean = wide - sigma * noise
        after = self.sigmas[self.index + 1]
        up = (after**2 * (sigma**2 - after**2) / sigma**2) ** 0.5
        down = (after**2 - up**2) ** 0.5
        derivative = (wide - clean) / sigma
        moved = wide + derivative * (down - sigma)
        fresh = torch.randn(noise.shape, dtype=noise.dtype, device=noise.device)
        self.index += 1
        return (moved + fresh * up).to(noise.dtype)


class DDIM:
    """DDIM with eta 0."""

    def __init__(self, steps: int, device: str) -> None:
        self.timesteps = torch.from_numpy(_times(steps)).to(device)
        self.kept, self.jump = _kept(), TRAIN_STEPS // steps

    def start(self, noise: Tensor) -> Tensor:
        """Noise as it is."""
        return noise

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents as they are."""
        return latents

    def step(self, noise: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """alpha' x0 + sigma' eps; indexing by a time on the device reads it on the host."""
        before = time - self.jump
        kept = self.kept[time.cpu()]
        after = self.kept[before.cpu()] if before >= 0 else torch.tensor(1.0)
        clean = (latents - (1.0 - kept) ** 0.5 * noise) / kept**0.5
        direction = (1.0 - after) ** 0.5 * noise
        return after**0.5 * clean + direction


class DPMpp2M:
    """DPM-Solver++(2M), midpoint; first order at both ends."""

    def __init__(self, steps: int, device: str) -> None:
        times = _times(steps)
        self.timesteps = torch.from_numpy(times).to(device)
        self.sigmas, self.index = _sigmas(times), 0
        self.clean: list[Tensor] = []

    def start(self, noise: Tensor) -> Tensor:
        """Noise as it is."""
        return noise

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents as they are."""
        return latents

    def _level(self, index: int) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) of one point, computed at each use."""
        sigma = self.sigmas[index]
        alpha = 1.0 / ((sigma**2 + 1.0) ** 0.5)
        return alpha, sigma * alpha

    def step(self, noise: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """(sigma'/sigma) x - alpha' expm1(-h) d, the estimates and the update in their own dtype.

        The update itself is in float32, as diffusers upcasts the sample.
        """
        alpha, sigma = self._level(self.index)
        self.clean = [*self.clean[-1:], (latents - sigma * noise) / alpha]
        alpha_s, sigma_s = self._level(self.index + 1)
        h = (torch.log(alpha_s) - torch.log(sigma_s)) - (torch.log(alpha) - torch.log(sigma))
        is_first_order = len(self.clean) < 2 or self.index == len(self.timesteps) - 1
        target = self.clean[-1] if is_first_order else self._extrapolated(h)
        wide = latents.to(torch.float32)
        self.index += 1
        after = (sigma_s / sigma) * wide - (alpha_s * (torch.exp(-h) - 1.0)) * target
        return after.to(noise.dtype)

    def _extrapolated(self, h: Tensor) -> Tensor:
        """d0 + (d0 - d1) / (2 r)."""
        (alpha, sigma), (alpha_1, sigma_1) = self._level(self.index), self._level(self.index - 1)
        before = torch.log(alpha) - torch.log(sigma) - (torch.log(alpha_1) - torch.log(sigma_1))
        r = before / h
        slope = (1.0 / r) * (self.clean[-1] - self.clean[-2])
        return self.clean[-1] + 0.5 * slope
