"""What the tick kernels replace, as one writes it in torch: timed as it is and compiled.

A formula gets the tensors that its kernel reads and returns what that writes, next inputs included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SCALE, PHI = 4.0, 0.7
RATIO = 0.995
A, B, C = 0.98, -0.12, 0.05  # of x, of the network's answer, of noise or history

Results = Tensor | tuple[Tensor, ...]


class Formula(NamedTuple):
    """A function and tensors to call it with."""

    function: Callable[..., Results]
    arguments: tuple[Tensor, ...]


def _guided(predicted: Tensor) -> Tensor:
    cond, uncond = predicted
    return uncond + SCALE * (cond - uncond)


def _inputs(latent: Tensor, like: Tensor) -> Tensor:
    """The next input of both branches."""
    return torch.stack((latent, latent)).to(like.dtype)


def euler(x: Tensor, predicted: Tensor) -> Results:
    """x' = a x + b G."""
    after = A * x + B * _guided(predicted)
    return after, _inputs(after, predicted)


def ancestral(x: Tensor, predicted: Tensor) -> Results:
    """x' = a x + b G + c xi."""
    after = A * x + B * _guided(predicted) + C * torch.randn_like(x)
    return after, _inputs(after, predicted)


def multistep(x: Tensor, before: Tensor, predicted: Tensor) -> Results:
    """d' = a x + b G, x' = a x + b d' + c d."""
    clean = A * x + B * _guided(predicted)
    after = A * x + B * clean + C * before
    return after, clean, _inputs(after, predicted)


def corrector(x: Tensor, d: Tensor, e: Tensor, y: Tensor, predicted: Tensor) -> Results:
    """x', y' over 4 registers and G, d' over x and G."""
    guided = _guided(predicted)
    after = A * x + B * guided + C * d - C * e + C * y
    corrected = A * y + B * guided + C * x - C * d + C * e
    return after, corrected, A * x + B * guided, _inputs(after, predicted)


def step(function: Callable[..., Results], registers: int, dtype: str) -> Callable[..., Formula]:
    """A step on some registers and two predictions of a dtype."""

    def make(device: str, elements: int, slots: int) -> Formula:
        held = tuple(torch.randn(slots, elements, device=device) for _ in range(registers))
        kind: torch.dtype = getattr(torch, dtype)
        return Formula(function, (*held, torch.randn(2, slots, elements, device=device).to(kind)))

    return make


def philox(device: str, elements: int, slots: int) -> Formula:
    """torch's own normals."""
    out = torch.empty(elements * slots, device=device)
    return Formula(torch.randn_like, (out,))


def gram(vectors: int) -> Callable[..., Formula]:
    """Products and sums in float64."""

    def products(values: Tensor) -> Results:
        wide = values.double()
        return wide @ wide.mT, wide.sum(-1)

    return lambda device, elements, slots: Formula(
        products, (torch.randn(slots, vectors, elements, device=device),)
    )


def rule(device: str, elements: int, slots: int) -> Formula:
    """Weights of guidance with rescale from products and sums."""

    def weights(products: Tensor, sums: Tensor) -> Results:
        variance = (products.diagonal(0, 1, 2) - sums**2 / elements).clamp(min=0.0)
        cross = products[:, 0, 1] - sums[:, 0] * sums[:, 1] / elements
        guided = SCALE**2 * variance[:, 0] + (1.0 - SCALE) ** 2 * variance[:, 1]
        guided = guided + 2.0 * SCALE * (1.0 - SCALE) * cross
        factor = PHI * (variance[:, 0] / guided.clamp(min=1e-30)).sqrt() + (1.0 - PHI)
        return torch.stack((SCALE * factor, (1.0 - SCALE) * factor), 1).float()

    wide = {"dtype": torch.float64, "device": device}
    products = torch.eye(2, **wide).expand(slots, 2, 2).contiguous() * elements
    return Formula(weights, (products, torch.zeros(slots, 2, **wide)))


def quantile(device: str, elements: int, slots: int) -> Formula:
    """torch.quantile of the absolute values; it sorts."""

    def threshold(values: Tensor) -> Results:
        return torch.quantile(values.abs(), RATIO, dim=-1)

    return Formula(threshold, (torch.randn(slots, elements, device=device),))


def lanes(device: str, elements: int, slots: int) -> Formula:
    """Every slot into its two branches, scaled, as float16."""

    def gather(source: Tensor, index: Tensor, scale: Tensor) -> Results:
        return (source.index_select(0, index) * scale).half()

    index = torch.arange(slots, device=device).repeat_interleave(2)
    scale = torch.full((2 * slots, 1), 0.5, device=device)
    return Formula(gather, (torch.randn(slots, elements, device=device), index, scale))
