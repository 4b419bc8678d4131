"""A network: its bundle for every target, the same network in torch, and numbers for its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.model import MODELS
from bench.peers.peer_denoisert import export
from bench.peers.place import Place
from bench.runtime import torch_loop
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.loading import DENOISER

if TYPE_CHECKING:
    from torch import Tensor, nn

DIGITS = "digits"
SUBJECTS = (DIGITS, *MODELS)
SEED = 7

Inputs = Mapping[str, NDArray[Any]]
Network = Callable[..., "Tensor"]
"""Called with the bundle's inputs in their order."""

PORTS = {
    "unet": ("UNet2DConditionModel", ("sample", "timestep", "encoder_hidden_states")),
    "transformer": ("DiTTransformer2DModel", ("hidden_states", "timestep", "class_labels")),
}
"""Component of a diffusers folder -> its class, and what our inputs are called there."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Args:
        place: of its bundle and its diffusers folder; `place.model` is one of SUBJECTS.
    """

    place: Place

    def bundle(self) -> Bundle:
        """Its bundle for every target, compiled now if it is not there."""
        out = self.place.files("bundle")
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            is_digits = self.place.model == DIGITS
            export(DIGITS if is_digits else self.place.files("model"), out)
        return Bundle.open(out)

    def network(self, dtype: str) -> nn.Module:
        """The network in torch, in "float32" or "bfloat16"."""
        import torch

        kind = getattr(torch, dtype)
        if self.place.model == DIGITS:
            network = torch_loop.load(torch.get_num_threads()).to(kind)
            network.time.float().register_forward_hook(lambda *told: told[2].to(kind))
            return network  # times are embedded in float32, as diffusers does
        import diffusers

        part, (name, _) = self._part()
        folder = self.place.files("model") / part
        return getattr(diffusers, name).from_pretrained(folder, torch_dtype=kind).eval()

    def called(self, network: nn.Module) -> Network:
        """The same, called with our inputs in their order."""
        if self.place.model == DIGITS:
            return network
        _, (_, names) = self._part()

        def call(*given: Tensor) -> Tensor:
            named = dict(zip(names, given, strict=True))
            return network(**named, return_dict=False)[0]

        return call

    def _part(self) -> tuple[str, tuple[str, tuple[str, ...]]]:
        model = self.place.files("model")
        return next(item for item in PORTS.items() if (model / item[0]).is_dir())


def inputs_of(bundle: Bundle, lanes: int) -> Inputs:
    """Numbers for every input: normal ones, labels, and times all over the schedule.

    Args:
        bundle: whose denoiser.
        lanes: how many.

    Returns:
        By name, in the graph's order.
    """
    random, card = np.random.default_rng(SEED), bundle.card
    classes = {each.name: each.classes for each in card.conditions}
    ends = sorted((card.training.schedule.first, card.training.schedule.last))
    found: dict[str, NDArray[Any]] = {}
    for port in bundle.manifest.graphs[DENOISER].inputs:
        shape = port.shape(lanes)
        if port.name == card.network.time:
            found[port.name] = random.uniform(*ends, shape).astype(port.dtype)
        elif port.dtype == "int64":
            found[port.name] = random.integers(0, classes[port.name], shape)
        else:
            found[port.name] = random.standard_normal(shape).astype(port.dtype)
    return found
