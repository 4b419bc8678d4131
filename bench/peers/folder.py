"""The folder that every peer gets: a copy of a model that all of them read the same way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "text_model."
KEPT = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type")


def ddim_config(found: Mapping[str, Any]) -> dict[str, Any]:
    """DDIM on the noise schedule that a model was trained with.

    Args:
        found: its own scheduler_config.json.

    Returns:
        Settings of diffusers' DDIMScheduler as Stable Diffusion has them; no infinite number, which
        JSON does not know and openvino-genai does not read.

    Raises:
        ValueError: a noise schedule that the settings kept here would not describe.
    """
    if found.get("trained_betas") is not None or found.get("rescale_betas_zero_snr"):
        raise ValueError("openvino-genai has neither trained betas nor a zero terminal SNR.")
    return {
        "_class_name": "DDIMScheduler",
        **{name: found[name] for name in KEPT if name in found},
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }


def prefixed(weights: bytes) -> bytes:
    """A safetensors file of a CLIP text encoder with the names that published folders have.

    transformers 5.23 leaves "text_model." out when it saves; the versions that optimum needs then
    find no tensor that they know and draw the text encoder at random, with a warning at most.

    Args:
        weights: the file: 8 bytes of header length, the header, the tensors.

    Returns:
        The same tensors, each name with the prefix; unchanged when they have it.
    """
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    if any(name.startswith(PREFIX) for name in header):
        return weights
    named = {
        name if name == "__metadata__" else PREFIX + name: value for name, value in header.items()
    }
    text = json.dumps(named).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + weights[8 + length :]


def write_model(source: Path, out: Path) -> None:
    """Copy a diffusers folder for the peers.

    Args:
        source: a diffusers folder.
        out: what to write; an older copy is replaced.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    weights = out / "text_encoder" / "model.safetensors"
    if weights.exists():
        weights.write_bytes(prefixed(weights.read_bytes()))
    place = out / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(ddim_config(json.loads(place.read_text())), indent=2))
    index = json.loads((out / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (out / "model_index.json").write_text(json.dumps(index, indent=2))
