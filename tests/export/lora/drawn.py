"""Random LoRAs of a network, and the names under which trainers write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


class Factors(NamedTuple):
    """down (rank, inputs, ...) and up (outputs, rank, ...)."""

    down: torch.Tensor
    up: torch.Tensor


Drawn = Mapping[str, Factors]


def draw(
    network: nn.Module,
    seed: int,
    *,
    rank: int = 3,
    keep: Callable[[str], bool] = lambda path: True,
    size: float = 0.2,
) -> Drawn:
    """A change of every linear layer and convolution whose path is kept."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return size * torch.randn(shape, generator=generator)

    found = {}
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and keep(path):
            outputs, inputs, *kernel = layer.weight.shape
            ones = [1] * len(kernel)
            found[path] = Factors(normal(rank, inputs, *kernel), normal(outputs, rank, *ones))
    return found


def is_attention(path: str) -> bool:
    return path.endswith(ATTENTION)


def is_text(path: str) -> bool:
    return path.endswith(TEXT)


def peft(drawn: Drawn, beginning: str = "") -> dict[str, torch.Tensor]:
    """As peft writes it: dots, A and B."""
    return {
        f"{beginning}{path}.lora_{letter}.weight": value
        for path, factors in drawn.items()
        for letter, value in zip("AB", factors, strict=True)
    }


def kohya(
    drawn: Drawn, beginning: str, alpha: Callable[[int], float] | None = None
) -> dict[str, torch.Tensor]:
    """As kohya's scripts write it: underscores, down, up and alpha."""
    found = {}
    for number, (path, factors) in enumerate(drawn.items()):
        stem = beginning + path.replace(".", "_")
        found[f"{stem}.lora_down.weight"] = factors.down
        found[f"{stem}.lora_up.weight"] = factors.up
        if alpha is not None:
            found[f"{stem}.alpha"] = torch.tensor(alpha(number))
    return found


def saved(folder: Path, name: str, *tensors: Mapping[str, torch.Tensor], **metadata: str) -> Path:
    """A safetensors file of all tensors."""
    path = folder / f"{name}.safetensors"
    merged = {key: value.contiguous() for part in tensors for key, value in part.items()}
    save_file(merged, path, metadata or None)
    return path


def by_hand(network: nn.Module, drawn: Drawn, scale: Callable[[int], float]) -> dict[str, object]:
    """Weights after W + scale up down, by the convolution's own definition, in float64.

    The composition of two layers is applied to the identity: whatever a layer makes of every unit
    input is its kernel, so nothing here multiplies matrices in the order that is tested.
    """
    found = {name: value.double() for name, value in network.state_dict().items()}
    for number, (path, (down, up)) in enumerate(drawn.items()):
        name, rank = f"{path}.weight", down.shape[0]
        outer = sum(
            up[:, r].double().reshape(-1, 1) * down[r].double().reshape(1, -1) for r in range(rank)
        )
        found[name] = found[name] + scale(number) * outer.reshape(found[name].shape)
    return found


STEM = "lora_unet_mid_block_attentions_0_proj_in"
"""A 1x1 convolution of the tiny UNet, (64, 64), as kohya names it."""


def layer(
    stem: str = STEM, *, rank: int = 2, inputs: int = 64, outputs: int = 64
) -> dict[str, torch.Tensor]:
    """One layer of ones."""
    return {
        f"{stem}.lora_down.weight": torch.ones(rank, inputs, 1, 1),
        f"{stem}.lora_up.weight": torch.ones(outputs, rank, 1, 1),
    }
