"""What a peft configuration says about a LoRA: how its layers are scaled.

diffusers stores it in the safetensors file itself, packed under the components' names; peft beside
the file, as adapter_config.json. Fields that change the mathematics in other ways are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.bundle.document import parse
from denoisert.runtime.errors import ExportError, InvalidInput

IN_FILE: Final = "lora_adapter_metadata"
"""diffusers' key in the metadata of a safetensors file."""

BESIDE: Final = "adapter_config.json"
PEFT_FILE: Final = "adapter_model.safetensors"
CONFIG_BYTES: Final = 2**20

IGNORED: Final = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
        *("revision", "inference_mode", "r", "target_modules", "exclude_modules", "lora_dropout"),
        *("layers_to_transform", "layers_pattern", "rank_pattern", "megatron_core", "loftq_config"),
        *("eva_config", "qalora_group_size", "runtime_config"),
        *("lora_alpha", "alpha_pattern", "use_rslora", "init_lora_weights", "bias"),
    )
)
"""Fields that say how it was trained, or what the tensors say themselves, or that are read here."""

PLAIN_STARTS: Final = (True, None, "gaussian", "orthogonal", "eva", False)
"""Values of init_lora_weights that leave the model's own weights alone."""

_NAME: Final = re.compile(r"\^?[A-Za-z0-9_.]{1,300}")


@dataclass(frozen=True, slots=True)
class Adapter:
    """How the layers of one component are scaled: alpha / rank, or alpha / sqrt(rank).

    Args:
        alpha: of every layer.
        alphas: the end of a layer's name -> alpha of its own.
        is_rank_stabilised: whether alpha is divided by the square root of the rank.
    """

    alpha: float
    alphas: Mapping[str, float]
    is_rank_stabilised: bool = False

    def scale(self, layer: str, rank: int) -> float:
        """Factor of a layer's up times down."""
        own = (value for name, value in self.alphas.items() if _is_meant(name, layer))
        alpha = next(own, self.alpha)
        return alpha / (math.sqrt(rank) if self.is_rank_stabilised else rank)


def _is_meant(name: str, layer: str) -> bool:
    """Whether a name is the layer's whole one, or its end; a circumflex asks for the whole."""
    return layer == name.removeprefix("^") or layer.endswith(f".{name}")


def read_adapters(path: Path) -> dict[str, Adapter]:
    """Component -> its configuration; "" for a file of peft, which does not name one.

    Args:
        path: a safetensors file whose header was checked.

    Raises:
        ExportError: a configuration that cannot be read, or that asks for more than a scale.
    """
    packed = _in_file(path)
    if packed is not None:
        groups: dict[str, dict[str, Any]] = {}
        for key, value in packed.items():
            component, _, field = key.partition(".")
            groups.setdefault(component, {})[field] = value
        return {name: _adapter(fields, path.name) for name, fields in groups.items()}
    beside = path.parent / BESIDE
    if path.name != PEFT_FILE or not beside.is_file():
        return {}
    with beside.open("rb") as file:
        return {"": _adapter(_object(file.read(CONFIG_BYTES + 1), BESIDE), BESIDE)}


def _in_file(path: Path) -> dict[str, Any] | None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    text = metadata.get(IN_FILE)
    return None if text is None else _object(text.encode(), f"{IN_FILE} of {path.name}")


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        data = parse(text, where, CONFIG_BYTES)
    except InvalidInput as error:
        raise ExportError(f"{error} Save the LoRA again.") from error
    if not isinstance(data, dict):
        raise ExportError(f"{where} is no JSON object. Save the LoRA again.")
    return data


def _adapter(fields: Mapping[str, Any], where: str) -> Adapter:
    kind = fields.get("peft_type", "LORA")
    if kind != "LORA":
        raise ExportError(f"{where} has peft_type {shown(kind)}; only LORA is merged.")
    asked = [name for name, value in fields.items() if value and name not in IGNORED]
    if asked:
        raise ExportError(
            f"{where} has {shown(asked[0])} = {shown(fields[asked[0]])}, which is more than "
            "a LoRA and is not merged. Merge it with peft (merge_and_unload), compile the result."
        )
    bias, start = fields.get("bias"), fields.get("init_lora_weights")
    if bias not in (None, "none"):
        raise ExportError(f"{where} has bias {shown(bias)}; only LoRA of weights is merged.")
    if start not in PLAIN_STARTS:
        raise ExportError(
            f"{where} has init_lora_weights {shown(start)}, which changed the weights of the "
            "model that it was trained on. Convert it to a plain LoRA with peft and save it again."
        )
    alphas = fields.get("alpha_pattern") or {}
    if not isinstance(alphas, dict) or not all(_NAME.fullmatch(name) for name in alphas):
        raise ExportError(
            f"{where} has alpha_pattern {shown(alphas)}; it must map layers to numbers."
        )
    return Adapter(
        positive(fields.get("lora_alpha"), f"lora_alpha of {where}"),
        {name: positive(value, f"alpha_pattern of {where}") for name, value in alphas.items()},
        bool(fields.get("use_rslora")),
    )


def positive(value: object, what: str) -> float:
    """An alpha: a finite number above 0.

    Raises:
        ExportError: it is something else. Tools disagree about what an alpha of 0 means.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise ExportError(f"{what} is {shown(value)}; an alpha must be a number above 0.")
