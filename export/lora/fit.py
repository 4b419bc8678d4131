"""Does a LoRA file fit a model: every key has its layer, every shape is that layer's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from safetensors import safe_open

from denoisert.export.lora.adapter import positive
from denoisert.export.lora.change import Change, Read, check_shapes
from denoisert.export.lora.component import find_component
from denoisert.export.lora.file import LoraFile
from denoisert.export.lora.keys import Layer
from denoisert.export.lora.places import Place, Site
from denoisert.runtime.errors import ExportError

Sites = Mapping[str, Site]


def fit_file(file: LoraFile, sites: Sites) -> dict[str, list[Change]]:
    """The changes of a file.

    Args:
        file: whose keys are understood.
        sites: component -> its layers.

    Returns:
        Component -> its changes. A layer that no network has is left out where it changes nothing:
        some trainers write all of them and fill a few.

    Raises:
        ExportError: a key or a shape does not fit, or an alpha is no positive number.
    """
    with safe_open(file.path, framework="pt") as tensors:
        fitting = _Fitting(file, sites, tensors.get_tensor)
        found: dict[str, list[Change]] = {}
        for component, change in fitting.changes():
            found.setdefault(component, []).append(change)
    if fitting.unknown or not found:
        raise ExportError(_misfit(file, sites, fitting.unknown))
    return found


class _Fitting:
    """One pass over the layers of a file."""

    def __init__(self, file: LoraFile, sites: Sites, read: Read) -> None:
        self.file = file
        self.sites = sites
        self.read = read
        self.unknown: list[str] = []
        self._taken: dict[tuple[str, str, int], str] = {}

    def changes(self) -> Iterator[tuple[str, Change]]:
        """Yield (component, change); what has no layer is in `unknown` afterwards."""
        for stem, layer in self.file.layers.items():
            component, name = find_component(stem, self.sites)
            site = self.sites.get(component)
            places = () if site is None else site.places.get(name.replace(".", "_"), ())
            if site is None or not places:
                if bool(self.read(layer.up).any()):
                    self.unknown.append(layer.down)
                continue
            self._take(component, places, layer)
            rank = check_shapes(self.file, layer, places, site)
            scale = self._scale(component, name, layer, rank)
            yield component, Change(self.file, layer, places, self.file.lora.weight * scale)

    def _take(self, component: str, places: tuple[Place, ...], layer: Layer) -> None:
        for place in places:
            other = self._taken.setdefault((component, place.path, place.into), layer.down)
            if other != layer.down:
                raise ExportError(
                    f"LoRA {self.file.name}: {other!a} and {layer.down!a} both change "
                    f"{place.path} of {component}. Remove one of them."
                )

    def _scale(self, component: str, name: str, layer: Layer, rank: int) -> float:
        adapters = self.file.adapters
        adapter = adapters.get(component, adapters.get(""))
        if layer.alpha is None:
            return 1.0 if adapter is None else adapter.scale(name, rank)
        if adapter is not None:
            raise ExportError(
                f"LoRA {self.file.name} has {layer.alpha!a} and a configuration of peft; it cannot "
                "be told which of them scales the layer. Remove one."
            )
        alpha = self.read(layer.alpha)
        value = float(alpha.to(torch.float64)) if alpha.numel() == 1 else tuple(alpha.shape)
        return positive(value, f"LoRA {self.file.name}: {layer.alpha!a}") / rank


def _misfit(file: LoraFile, sites: Sites, unknown: list[str]) -> str:
    if not unknown:
        return f"LoRA {file.name} changes nothing: all of its layers are zero. Is it trained?"
    component, _ = find_component(unknown[0], sites)
    networks = ", ".join(f"{name} ({site.kind})" for name, site in sites.items())
    what = f"no layer of {component}" if component in sites else f"a {component}, which is missing"
    return (
        f"LoRA {file.name} is for another model: {unknown[0]!a} means {what}, and {len(unknown)} "
        f"of its {len(file.layers)} layers do not fit. The model has {networks}. Use a LoRA that "
        "was trained on this family."
    )
