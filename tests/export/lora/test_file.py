"""LoRA files that are none: pickles, folders, damaged and lying headers."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from denoisert.export.lora.file import open_lora
from denoisert.export.lora.lora import Lora
from denoisert.runtime.errors import ExportError
from tests.export.lora.drawn import STEM, layer, saved

DOWN = f"{STEM}.lora_down.weight"


@pytest.mark.parametrize("name", ["style.pt", "style.ckpt", "style.BIN"])
def test_pickles(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ExportError, match="pickled"):
        open_lora(Lora(tmp_path / name))


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No such file"):
        open_lora(Lora(tmp_path / "none.safetensors"))
    saved(tmp_path, "inside", layer())
    with pytest.raises(ExportError, match=r"is a folder; give one file in it: inside\.safetensors"):
        open_lora(Lora(tmp_path))
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(ExportError, match="no regular file"):
        open_lora(Lora(tmp_path / "pipe.safetensors"))


def lie(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    """Rewrite a header, without touching the data."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header[DOWN].update(shape=[2, 640, 1, 1]),
        lambda header: header[DOWN].update(data_offsets=[0, 2**40]),
        lambda header: header[DOWN].update(dtype="F64"),
        lambda header: header.pop(DOWN),
    ],
)
def test_headers_that_lie(tmp_path: Path, change: Callable[..., object]) -> None:
    path = saved(tmp_path, "bad", layer())
    lie(path, change)
    with pytest.raises(ExportError, match=r"LoRA bad\.safetensors.*Download it again"):
        open_lora(Lora(path))


def test_a_truncated_file(tmp_path: Path) -> None:
    path = saved(tmp_path, "bad", layer())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ExportError, match=r"LoRA bad\.safetensors"):
        open_lora(Lora(path))


def test_tensors_of_whole_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, "bad", {key: value.to(torch.int32) for key, value in layer().items()})
    with pytest.raises(ExportError, match="int32"):
        open_lora(Lora(path))


def test_no_tensors_and_endless_names(tmp_path: Path) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ExportError, match="0 tensors"):
        open_lora(Lora(tmp_path / "empty.safetensors"))
    path = saved(tmp_path, "long", layer("a" * 400))
    with pytest.raises(ExportError, match="characters") as caught:
        open_lora(Lora(path))
    assert len(str(caught.value)) < 400
