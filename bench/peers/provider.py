"""Who is measured: each provider is one form of one peer, in an environment of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from denoisert.runtime.engines.target import FLOAT32, OnnxRuntime, OpenVino, engine_key

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
REFERENCE = "diffusers"
POOL = "lanes of one pool"
BATCH = "one batch"
SERIAL = "one after the other"

TARGETS = (
    OnnxRuntime(),
    OpenVino("float32"),
    OpenVino("bfloat16"),
    OnnxRuntime("int8"),
    OpenVino("int8"),
)
"""What our bundle is compiled for, and opened on, one after the other."""

WITH_CLASSES = ("denoisert", "diffusers")
"""Peers that run a class-conditioned transformer; the others have no such pipeline."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One line of the comparison.

    Args:
        name: as it stands in the table.
        peer: bench.peers.peer_<peer> speaks for it.
        form: how it computes, one of that module's FORMS.
        files: what it loads: "model", "onnx", "openvino" or "bundle".
        equal: what it makes of sixteen requests with equal settings.
        mixed: what it makes of sixteen with different ones.
        dtype: what its networks compute in.
        surroundings: name of its environment and list of requirements; empty for the peer's own.
    """

    name: str
    peer: str
    form: str
    files: str
    equal: str
    mixed: str = SERIAL
    dtype: str = FLOAT32
    surroundings: str = ""

    @property
    def environment(self) -> str:
        """Name of its environment."""
        return self.surroundings or self.peer


def ours(target: OnnxRuntime | OpenVino) -> Provider:
    """Our runtime on one target; what needs no ONNX Runtime has an environment without it."""
    name = "denoisert" if target == OnnxRuntime() else f"denoisert {target.name} {target.dtype}"
    place = "denoisert_openvino" if isinstance(target, OpenVino) else ""
    key = engine_key(target)
    return Provider(name, "denoisert", key, "bundle", POOL, POOL, target.dtype, place)


PROVIDERS = (
    *map(ours, TARGETS),
    Provider(REFERENCE, "diffusers", "float32", "model", BATCH),
    Provider("diffusers bfloat16", "diffusers", "bfloat16", "model", BATCH, dtype="bfloat16"),
    Provider("diffusers torch.compile", "diffusers", "compile", "model", BATCH),
    Provider("openvino-genai float32", "openvino_genai", "float32", "openvino", SERIAL),
    Provider(
        *("openvino-genai bfloat16", "openvino_genai", "bfloat16", "openvino", SERIAL),
        dtype="bfloat16",
    ),
    Provider("optimum-onnx", "optimum_onnx", "float32", "onnx", BATCH),
    Provider("optimum-intel", "optimum_intel", "float32", "openvino", BATCH),
)
PEERS = tuple(dict.fromkeys(each.peer for each in PROVIDERS))
ENVIRONMENTS = tuple(dict.fromkeys(each.environment for each in PROVIDERS))


def offered(model: Path) -> tuple[Provider, ...]:
    """The providers that run a model.

    Args:
        model: a diffusers folder.
    """
    index = json.loads((model / "model_index.json").read_text())
    if index["_class_name"] != "DiTPipeline":
        return PROVIDERS
    return tuple(each for each in PROVIDERS if each.peer in WITH_CLASSES)
