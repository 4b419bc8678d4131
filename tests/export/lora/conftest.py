"""Networks of the tiny folder, and diffusers' own merging of LoRA files into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from denoisert.export.lora.lora import Lora
from denoisert.export.lora.merge import merge
from denoisert.runtime.errors import ExportError
from tests.export.lora.drawn import Drawn, draw, is_text, layer, saved

NAMES = ("unet", "text_encoder")

Networks = dict[str, nn.Module]


@pytest.fixture(scope="module", autouse=True)
def without_bars() -> Iterator[None]:
    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
    yield
    for logging in (diffusers_logging, transformers_logging):
        logging.enable_progress_bar()


@pytest.fixture(scope="module")
def networks(tiny_text_folder: Path) -> Callable[[], Networks]:
    """Fresh networks of the tiny folder."""
    pipe = StableDiffusionPipeline.from_pretrained(tiny_text_folder, dtype=torch.float32)
    loaded = {name: getattr(pipe, name).requires_grad_(False) for name in NAMES}
    return lambda: deepcopy(loaded)


@pytest.fixture
def fused(tiny_text_folder: Path) -> Callable[..., Networks]:
    """What diffusers makes of files with weights, one after the other."""

    def load(*loras: tuple[Path, float]) -> Networks:
        pipe = StableDiffusionPipeline.from_pretrained(tiny_text_folder, dtype=torch.float32)
        for path, weight in loras:
            pipe.load_lora_weights(str(path.parent), weight_name=path.name)
            pipe.fuse_lora(components=list(NAMES), lora_scale=weight)
            pipe.unload_lora_weights()
        return {name: getattr(pipe, name) for name in NAMES}

    return load


@pytest.fixture
def drawn_unet(networks: Callable[[], Networks]) -> Drawn:
    """A LoCon of all layers of the UNet: linear, 1x1 and 3x3."""
    return draw(networks()["unet"], 1)


@pytest.fixture
def drawn_text(networks: Callable[[], Networks]) -> Drawn:
    return draw(networks()["text_encoder"], 2, rank=2, keep=is_text)


@pytest.fixture
def refused(networks: Callable[[], Networks], tmp_path: Path) -> Callable[..., str]:
    """The error of a file beside a good one; the networks stay as they were."""

    def find(tensors: Mapping[str, torch.Tensor], **metadata: str) -> str:
        good = saved(tmp_path, "good", layer())
        bad = saved(tmp_path, "bad", tensors, **metadata)
        found, base = networks(), networks()
        with pytest.raises(ExportError, match=r"bad\.safetensors|bad") as caught:
            merge(found, [Lora(good), Lora(bad)])
        for name in NAMES:
            assert all(map(torch.equal, *(n[name].state_dict().values() for n in (found, base))))
        return str(caught.value)

    return find
