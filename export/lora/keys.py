"""The keys of a LoRA file, by their endings: which tensors belong to one change, and as what.

A key is a stem, which names a layer of a network in some convention, and an ending. Endings differ
between diffusers, peft, kohya and xlabs, and none of them means two things.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from denoisert.runtime.errors import ExportError


class Role(Enum):
    """What a tensor is in x -> scale * up(mid(down(x)))."""

    DOWN = "down"
    UP = "up"
    MID = "mid"
    ALPHA = "alpha"


ENDINGS: Final = (
    (".lora_A.weight", Role.DOWN),  # peft
    (".lora_B.weight", Role.UP),
    (".lora_A.default.weight", Role.DOWN),
    (".lora_B.default.weight", Role.UP),
    (".lora_down.weight", Role.DOWN),  # kohya
    (".lora_up.weight", Role.UP),
    (".lora_mid.weight", Role.MID),
    (".alpha", Role.ALPHA),
    (".lora.down.weight", Role.DOWN),  # diffusers
    (".lora.up.weight", Role.UP),
    (".lora_linear_layer.down.weight", Role.DOWN),
    (".lora_linear_layer.up.weight", Role.UP),
    ("_lora.down.weight", Role.DOWN),  # diffusers' attention processors, xlabs
    ("_lora.up.weight", Role.UP),
    (".down.weight", Role.DOWN),
    (".up.weight", Role.UP),
)
"""Endings, a longer one before those that end like it."""

OTHERS: Final = (
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("hada_w", "LoHa"),
    ("hada_t", "LoHa"),
    ("lokr_", "LoKr"),
    ("oft_", "OFT"),
    ("boft_", "BOFT"),
    ("vera_", "VeRA"),
    ("lora_embedding_", "LoRA of an embedding"),
    ("lora_B.bias", "LoRA with a bias"),
    ("lora_up.bias", "LoRA with a bias"),
    ("diff_b", "a change of biases"),
    (".diff", "a full change of weights"),
    ("ia3_", "IA3"),
    (".on_input", "IA3"),
    ("glora", "GLoRA"),
    (".a1.weight", "GLoRA"),
)
"""Parts of keys that other methods write."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The keys of one change.

    Args:
        down: key of the (rank, inputs, ...) tensor.
        up: key of the (outputs, rank, ...) tensor.
        mid: key of the kernel between them, in LoCon's Tucker form.
        alpha: key of the number that is divided by the rank.
    """

    down: str
    up: str
    mid: str | None = None
    alpha: str | None = None


def read_layers(name: str, keys: Iterable[str]) -> dict[str, Layer]:
    """Stem -> its keys.

    Args:
        name: of the file, for errors.
        keys: all of the file's.

    Raises:
        ExportError: a key of another method, of no method, or a change of which a half is missing.
    """
    found: dict[str, dict[Role, str]] = {}
    for key in keys:
        stem, role = _split(name, key)
        other = found.setdefault(stem, {}).setdefault(role, key)
        if other != key:
            raise ExportError(
                f"LoRA {name}: {other!a} and {key!a} both are the {role.value} of one layer. "
                "Remove one of them."
            )
    return {stem: _whole(name, stem, roles) for stem, roles in found.items()}


def _split(name: str, key: str) -> tuple[str, Role]:
    for part, method in OTHERS:
        if part in key:
            raise ExportError(
                f"LoRA {name}: {key!a} is {method}, which is not merged; only LoRA and LoCon are. "
                "Use a file of that kind, or merge it with the tool that made it and compile the "
                "merged model."
            )
    for ending, role in ENDINGS:
        if key.endswith(ending):
            return key.removesuffix(ending).replace(".processor", ""), role
    known = ", ".join(ending for ending, _ in ENDINGS)
    raise ExportError(
        f"LoRA {name}: {key!a} is no key of a LoRA; they end in {known}. Is this the file of a "
        "LoRA, and not of a whole model?"
    )


def _whole(name: str, stem: str, roles: dict[Role, str]) -> Layer:
    missing = [role.value for role in (Role.DOWN, Role.UP) if role not in roles]
    if missing:
        first = next(iter(roles.values()))
        raise ExportError(
            f"LoRA {name}: {stem!a} has {first!a} and no {missing[0]} matrix. The file is not "
            "whole; download it again."
        )
    return Layer(roles[Role.DOWN], roles[Role.UP], roles.get(Role.MID), roles.get(Role.ALPHA))
