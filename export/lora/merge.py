"""LoRA files merged into the networks of a model: W + sum of all changes, added up in float64."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

import torch
from safetensors import safe_open
from torch import nn

from denoisert.export.lora.change import Change
from denoisert.export.lora.file import LoraFile, open_lora
from denoisert.export.lora.fit import fit_file
from denoisert.export.lora.lora import Lora
from denoisert.export.lora.places import Site


class Merging:
    """All LoRAs of a compilation against all networks that they may change.

    Everything is checked here, before a network is changed or traced, from shapes alone: networks
    may be on the device meta, and be built and merged one after the other later.

    Args:
        networks: component of the model -> its network.
        files: what `open_lora` returned.

    Raises:
        ExportError: a file does not fit; it names file, key, expectation and remedy.
    """

    def __init__(self, networks: Mapping[str, nn.Module], files: Iterable[LoraFile]) -> None:
        self._changes: dict[str, list[Change]] = {}
        self.merged: tuple[tuple[LoraFile, Mapping[str, int]], ...] = ()
        sites = {name: Site.of(name, network) for name, network in networks.items()}
        for file in files:
            found = fit_file(file, sites)
            for component, changes in found.items():
                self._changes.setdefault(component, []).extend(changes)
            counts = {component: len(changes) for component, changes in found.items()}
            self.merged += ((file, counts),)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is merged, one sentence for each file."""
        return tuple(_note(file, counts) for file, counts in self.merged)

    def apply(self, component: str, network: nn.Module) -> None:
        """Add every change to a network's weights, in place.

        Args:
            component: its name.
            network: with its weights, in float32.

        Raises:
            ExportError: a file holds numbers that are not finite.
        """
        by_path: dict[str, list[Change]] = {}
        for change in self._changes.get(component, ()):
            for path in dict.fromkeys(place.path for place in change.places):
                by_path.setdefault(path, []).append(change)
        with ExitStack() as stack, torch.no_grad():
            files = {change.file.path for changes in by_path.values() for change in changes}
            tensors = {path: stack.enter_context(safe_open(path, framework="pt")) for path in files}
            for path, changes in by_path.items():
                weight = network.get_parameter(f"{path}.weight")
                total = torch.zeros_like(weight, dtype=torch.float64)
                for change in changes:
                    _add(total, change, path, change.delta(tensors[change.file.path].get_tensor))
                weight.copy_(weight.double() + total)


def merge(networks: Mapping[str, nn.Module], loras: Sequence[Lora]) -> tuple[str, ...]:
    """Merge LoRAs into networks, in place.

    Args:
        networks: component of the model, such as "unet" or "text_encoder" -> its network.
        loras: files and weights; their order does not matter.

    Returns:
        What was merged, one sentence for each file.

    Raises:
        ExportError: a file cannot be read or is for another model; nothing was changed then.
    """
    merging = Merging(networks, [open_lora(lora) for lora in loras])
    for component, network in networks.items():
        merging.apply(component, network)
    return merging.notes


def _add(total: torch.Tensor, change: Change, path: str, delta: torch.Tensor) -> None:
    """Add those rows of a change that belong to a layer."""
    start = 0
    for place in change.places:
        if place.path == path:
            rows = delta[start : start + place.rows]
            into = total[place.into : place.into + place.rows]
            into += rows.reshape(into.shape)
        start += place.rows


def _note(file: LoraFile, counts: Mapping[str, int]) -> str:
    where = ", ".join(f"{count} layers of {component}" for component, count in counts.items())
    return f"LoRA {file.name} is merged with weight {file.lora.weight:g}: {where}."
