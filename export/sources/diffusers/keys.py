"""Settings of a configuration that no class has.

The libraries leave them out without a word. One that an author or a newer version has introduced
may change what is computed, so each is refused by name, unless it is known to mean nothing or is
not set. Networks are compared with the installed classes; schedulers, which keep settings of one
another, with all that any of them reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.defaults import DEFAULTS, UNLISTED
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

TRAINING: Final = (
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
)
"""What an average of weights writes into the configuration that it is saved with."""

FORMER: Final = (
    "adapter_attn_dim",
    "dropout",
    "gradient_checkpointing",
    "n_positions",
    "output_past",
    "pruned_heads",
    "task_specific_params",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "use_bfloat16",
)
"""Keys of all models of earlier versions of transformers; none of them changes an encoder."""

FREE: Final[Mapping[str, Any]] = {"attention_type": "default", "block_out_channels": ...}
"""Keys of earlier or other classes of diffusers -> the value that changes nothing, ... for any."""

SCHEDULERS: Final = frozenset(
    {key for settings in DEFAULTS.values() for key in settings}
    | UNLISTED.keys()
    | {"clip_denoised", "rho", "s_noise", "sigma_data"}  # of consistency models
)
"""Settings that some scheduler reads."""

FORMER_SCHEDULERS: Final[Mapping[str, Any]] = {"predict_epsilon": True, "tensor_format": ...}
"""Settings of earlier versions -> the value that is all that is left, ... for any."""

PIPELINES: Final = (
    "add_watermarker",
    "force_zeros_for_empty_prompt",
    "id2label",
    "requires_aesthetics_score",
    "requires_safety_checker",
)
"""Settings of the pipelines that are compiled."""

UNSET: Final[tuple[object, ...]] = (None, False, 0, "", [], {})


def check_keys(component: Component, skeleton: nn.Module) -> None:
    """Refuse a configuration with a setting that its class does not have.

    Args:
        component: whose configuration.
        skeleton: the network that was made of it.

    Raises:
        ExportError: names the key, its value and the versions.
    """
    known = _known_keys(component.library, skeleton)
    for key, value in sorted(component.config.items()):
        if key not in known and value not in UNSET and not _is_free(key, value, FREE):
            library = f"{component.library} {metadata.version(component.library)}"
            whose = f"is no setting of {component.class_name} in {library}"
            raise ExportError(_unknown(component, key, whose))


def check_scheduler_keys(component: Component) -> None:
    """Refuse a scheduler's configuration with a setting that no scheduler has.

    Args:
        component: whose configuration.

    Raises:
        ExportError: names the key and its value.
    """
    for key, value in sorted(component.config.items()):
        is_known = key in SCHEDULERS or (value in UNSET and key not in FORMER_SCHEDULERS)
        if not is_known and not _is_free(key, value, FORMER_SCHEDULERS):
            raise ExportError(_unknown(component, key, "is no setting of any scheduler"))


def check_pipeline_keys(class_name: str, settings: Mapping[str, Any]) -> None:
    """Refuse a pipeline's index with a setting that its class does not have.

    Args:
        class_name: of the pipeline.
        settings: what its index says besides its components.

    Raises:
        ExportError: names the key and its value.
    """
    for key, value in sorted(settings.items()):
        if key not in PIPELINES and value not in UNSET and not key.startswith("_"):
            index = Component("the pipeline", "diffusers", class_name, Path(), settings)
            raise ExportError(_unknown(index, key, f"is no setting of a {class_name}"))


def _is_free(key: str, value: object, free: Mapping[str, Any]) -> bool:
    return key.startswith("_") or (key in free and free[key] in (..., value))


def _known_keys(library: str, skeleton: nn.Module) -> set[str]:
    if library == "diffusers":
        return {*inspect.signature(type(skeleton).__init__).parameters, *TRAINING}
    from transformers import GenerationConfig

    kind: Any = type(skeleton.config)
    generation: Any = GenerationConfig  # earlier versions wrote it into every configuration
    return {*kind().to_dict(), *kind.attribute_map, *generation().to_dict(), *FORMER}


def _unknown(component: Component, key: str, what: str) -> str:
    config = component.config
    version = config.get("_diffusers_version", config.get("transformers_version"))
    return (
        f"the configuration of {component.name} has {shown(key)} = {shown(config[key])}, which "
        f"{what} (the file was saved by version {shown(version)}). It would be left out, and "
        "pictures could be others. Remove the key if the model works without, or install the "
        "version that has it."
    )
