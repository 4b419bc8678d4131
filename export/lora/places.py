"""Every name that a LoRA file may have for the layers of a network, and where their weights lie.

Names are compared with underscores instead of dots, as kohya writes all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from torch import nn

from denoisert.export.lora.flux import SWAPPED, flux_names
from denoisert.export.lora.original import original_names

TEXT: Final = "text_model."
"""The part of a CLIP encoder that some versions of transformers name and others leave out."""

OLD_ATTENTION: Final = {
    "to_out.0": "to_out",
    "self_attn.q_proj": "self_attn.to_q",
    "self_attn.k_proj": "self_attn.to_k",
    "self_attn.v_proj": "self_attn.to_v",
    "self_attn.out_proj": "self_attn.to_out",
}
"""End of a path -> what diffusers' attention processors called it."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Outputs of one layer that a change reaches.

    Args:
        path: of the layer in its network.
        rows: outputs, taken from the change one place after the other.
        into: the first of them.
    """

    path: str
    rows: int
    into: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """The layers of a network that a LoRA can change: linear ones and convolutions.

    Args:
        component: of the model.
        kind: class of the network.
        shapes: path -> shape of the layer's weights.
        places: name with underscores -> what it means.
    """

    component: str
    kind: str
    shapes: Mapping[str, Shape]
    places: Mapping[str, tuple[Place, ...]]

    @classmethod
    def of(cls, component: str, network: nn.Module) -> Site:
        """The site of a network; its weights are not read and may be on the device meta."""
        shapes = {
            path: tuple(layer.weight.shape)
            for path, layer in network.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d)
        }
        places = {name.replace(".", "_"): found for name, found in _named(shapes)}
        return cls(component, type(network).__name__, shapes, places)


def _named(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, tuple[Place, ...]]]:
    """Yield all names; a later one that is written alike wins, so the network's own come last."""
    for name, path in original_names(shapes):
        yield name, _whole(shapes, path)
    for name, paths in flux_names(shapes):
        yield name, _whole(shapes, *paths)
    for name, path in SWAPPED.items():
        if path in shapes:
            half = shapes[path][0] // 2
            yield name, (Place(path, half, half), Place(path, half, 0))
    for path in shapes:
        for own in (path, *_old(path)):
            yield TEXT + own, _whole(shapes, path)
            yield own.removeprefix(TEXT), _whole(shapes, path)
            yield own, _whole(shapes, path)


def _old(path: str) -> Iterator[str]:
    for now, before in OLD_ATTENTION.items():
        if path.endswith(f".{now}"):
            yield path.removesuffix(now) + before


def _whole(shapes: Mapping[str, Shape], *paths: str) -> tuple[Place, ...]:
    return tuple(Place(path, shapes[path][0]) for path in paths)
