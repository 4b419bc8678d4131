"""Who is measured: each provider is one form of one peer, and a peer has its own environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
REFERENCE = "diffusers"
POOL = "lanes of one pool"
BATCH = "one batch"
SERIAL = "one after the other"


@dataclass(frozen=True, slots=True)
class Provider:
    """One line of the comparison.

    Args:
        name: as it stands in the table.
        peer: bench.peers.peer_<peer> speaks for it, in the environment of that name.
        form: how it computes, one of that module's FORMS.
        files: what it loads: "model", "onnx", "openvino" or "bundle".
        equal: what it makes of sixteen requests with equal settings.
        mixed: what it makes of sixteen with different ones.
    """

    name: str
    peer: str
    form: str
    files: str
    equal: str
    mixed: str = SERIAL

    @property
    def dtype(self) -> str:
        """What its networks compute in."""
        return "bfloat16" if self.form == "bfloat16" else "float32"


PROVIDERS = (
    Provider("denoisert", "denoisert", "float32", "bundle", POOL, POOL),
    Provider(REFERENCE, "diffusers", "float32", "model", BATCH),
    Provider("diffusers bfloat16", "diffusers", "bfloat16", "model", BATCH),
    Provider("diffusers torch.compile", "diffusers", "compile", "model", BATCH),
    Provider("openvino-genai float32", "openvino_genai", "float32", "openvino", SERIAL),
    Provider("openvino-genai bfloat16", "openvino_genai", "bfloat16", "openvino", SERIAL),
    Provider("optimum-onnx", "optimum_onnx", "float32", "onnx", BATCH),
    Provider("optimum-intel", "optimum_intel", "float32", "openvino", BATCH),
)
PEERS = tuple(dict.fromkeys(each.peer for each in PROVIDERS))
