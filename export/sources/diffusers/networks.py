"""A component's network: the library's own class, its configuration, and weights from safetensors.

Nothing that the folder names is imported: the classes stand here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.counts import check_counts
from denoisert.export.sources.diffusers.foreign import in_one_line
from denoisert.export.sources.diffusers.keys import check_keys
from denoisert.export.sources.diffusers.stored import Stored
from denoisert.export.sources.diffusers.unfilled import Unfilled, check_filled
from denoisert.runtime.errors import ExportError

NETWORKS: Final = (
    "AutoencoderKL",
    "AutoencoderTiny",
    "DiTTransformer2DModel",
    "FluxTransformer2DModel",
    "PixArtTransformer2DModel",
    "SD3Transformer2DModel",
    "UNet2DConditionModel",
    "UNet2DModel",
)
"""Classes of diffusers."""

CONFIGURATIONS: Final[Mapping[str, str]] = {
    "CLIPTextModel": "CLIPTextConfig",
    "CLIPTextModelWithProjection": "CLIPTextConfig",
    "T5EncoderModel": "T5Config",
}
"""Class of transformers -> class of its configuration."""

REFUSALS: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError),
    *(RuntimeError, TypeError, ValueError, StrictDataclassError),
)
"""What the libraries raise when a configuration describes no network."""


def build_network(component: Component, stored: Stored) -> nn.Module:
    """One network with its weights in float32, in evaluation mode.

    Args:
        component: of a class in the closed tables.
        stored: its weights.

    Raises:
        ExportError: configuration and weights do not fit together.
    """
    wanted = _shapes(check_network(component, stored))  # before memory is taken for absurd sizes
    with Unfilled():
        network = _from_config(component)
    network.load_state_dict(stored.read(wanted), strict=True, assign=True)
    check_filled(network, component.name)
    return network.float().eval().requires_grad_(requires_grad=False)


def check_network(component: Component, stored: Stored) -> nn.Module:
    """Compare a component's weights with its configuration, without reading any of them.

    Args:
        component: of a class in the closed tables.
        stored: its weights.

    Returns:
        The network without weights, on the device meta.

    Raises:
        ExportError: configuration and weights do not fit together.
    """
    check_counts(component, len(stored.tensors))
    skeleton = build_skeleton(component)
    check_keys(component, skeleton)
    stored.check(_shapes(skeleton))
    return skeleton


def build_skeleton(component: Component) -> nn.Module:
    """One network without weights, on the device meta.

    Args:
        component: of a class in the closed tables.

    Raises:
        ExportError: its configuration describes no network.
    """
    with torch.device("meta"):
        return _from_config(component)


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _from_config(component: Component) -> nn.Module:
    if component.class_name not in (*NETWORKS, *CONFIGURATIONS):
        raise ExportError(f"{component.name} is {component.class_name}, which is no network.")
    config = dict(component.config)
    try:
        if component.library == "transformers":
            return _transformers(component.class_name, config)
        return _diffusers(component.class_name, config)
    except REFUSALS as error:
        raise ExportError(
            f"the configuration of {component.name} describes no {component.class_name}: "
            f"{in_one_line(error)}. Use the configuration that the model was saved with."
        ) from error


def _transformers(class_name: str, config: dict[str, Any]) -> nn.Module:
    import transformers

    configuration = getattr(transformers, CONFIGURATIONS[class_name])
    network: nn.Module = getattr(transformers, class_name)(configuration.from_dict(config))
    return network


def _diffusers(class_name: str, config: dict[str, Any]) -> nn.Module:
    import diffusers

    kind = getattr(diffusers, class_name)
    taken = inspect.signature(kind.__init__).parameters.keys() & config.keys()
    network: nn.Module = kind.from_config({key: config[key] for key in taken})  # warns of others
    return network
