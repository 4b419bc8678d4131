"""A component's network: the library's own class, its configuration, and weights from safetensors.

Nothing that the folder names is imported: the classes stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from denoisert.export.sources.diffusers.fit import check_fit, read_weights
from denoisert.export.sources.diffusers.folder import Component
from denoisert.runtime.errors import ExportError

REFUSALS: Final = (
    *(AttributeError, KeyError, RuntimeError, TypeError, ValueError, ZeroDivisionError),
    StrictDataclassError,
)
"""What the libraries raise when a configuration describes no network."""


def build_network(component: Component, paths: tuple[Path, ...]) -> nn.Module:
    """One network with its weights in float32, in evaluation mode.

    Args:
        component: of a class in the closed table.
        paths: its weight files.

    Raises:
        ExportError: configuration and weights do not fit together.
    """
    with torch.device("meta"):
        skeleton = _from_config(component)
    wanted = {name: tuple(value.shape) for name, value in skeleton.state_dict().items()}
    check_fit(wanted, paths, component.name)  # before memory is taken for absurd sizes
    network = _from_config(component)
    tensors = read_weights(wanted, paths, component.name)
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.float().eval().requires_grad_(requires_grad=False)


def _from_config(component: Component) -> nn.Module:
    config = dict(component.config)
    try:
        if component.library == "transformers":
            return _transformers(config)
        return _diffusers(component.class_name, config)
    except REFUSALS as error:
        raise ExportError(
            f"the configuration of {component.name} describes no {component.class_name}: {error}. "
            "Use the configuration that the model was saved with."
        ) from error


def _transformers(config: Mapping[str, Any]) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig.from_dict(dict(config)))


def _diffusers(class_name: str, config: Mapping[str, Any]) -> nn.Module:
    from diffusers import AutoencoderKL, DiTTransformer2DModel, UNet2DConditionModel

    networks: dict[str, Any] = {
        "AutoencoderKL": AutoencoderKL,
        "DiTTransformer2DModel": DiTTransformer2DModel,
        "Transformer2DModel": DiTTransformer2DModel,  # its name before it had a class of its own
        "UNet2DConditionModel": UNet2DConditionModel,
    }
    known = {name: value for name, value in config.items() if not name.startswith("_")}
    network: nn.Module = networks[class_name].from_config(known)
    return network
