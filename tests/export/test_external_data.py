"""External data of foreign files: read only from plain files below the model's folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from denoisert.export.sources.external_data import external_files
from denoisert.export.sources.onnx_file import OnnxFile
from denoisert.runtime.errors import ExportError
from tests.export import foreign
from tests.export.foreign import (
    CHANNELS,
    SIZE,
    VECTOR_CARD,
    denoiser,
    point_outside,
    save,
    weight_of,
)

BYTES = 4 * SIZE * SIZE


def refuse(path: Path) -> str:
    with pytest.raises(ExportError) as caught:
        OnnxFile(path, VECTOR_CARD)
    assert "'W'" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("location", ["weights.bin", "inner/weights.bin"])
def test_data_beside_or_below_the_model_is_read(tmp_path: Path, location: str) -> None:
    model = denoiser()
    path = save(denoiser(), tmp_path / "model.onnx", location=location)
    generator = np.random.default_rng(3)
    x = generator.standard_normal((2, CHANNELS, SIZE)).astype(np.float32)
    time = generator.random(2, np.float32)
    found = OnnxFile(path, VECTOR_CARD).load().components[0].evaluate({"x": x, "time": time})["eps"]
    np.testing.assert_allclose(found, foreign.evaluate(model, x, time), rtol=2e-6, atol=2e-6)


def test_size_and_fingerprint_count_the_data(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model.onnx", location="weights.bin")
    source = OnnxFile(path, VECTOR_CARD)
    assert [part.weight_bytes for part in source.parts] == [path.stat().st_size + BYTES]
    before = source.fingerprint()
    data = path.parent / "weights.bin"
    data.write_bytes(data.read_bytes()[:-1] + b"\x7f")
    assert OnnxFile(path, VECTOR_CARD).fingerprint() != before


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "inner/../../weights.bin", "", ".", "./weights.bin", "a//b", "a\\b", "a\0b"],
)
def test_locations_that_leave_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(BYTES))
    model = denoiser()
    point_outside(weight_of(model), location)
    text = refuse(save(model, tmp_path / "model" / "model.onnx"))
    assert "only a plain path below the model's folder" in text


def test_absolute_locations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(BYTES))
    model = denoiser()
    point_outside(weight_of(model), str(tmp_path / "weights.bin"))
    assert "only a plain path" in refuse(save(model, tmp_path / "model.onnx"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model.onnx", location="weights.bin")
    (tmp_path / "weights.bin").unlink()
    assert "cannot be read" in refuse(path)


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model.onnx", location="weights.bin")
    os.truncate(tmp_path / "weights.bin", BYTES - 1)
    assert f"ends at byte {BYTES}, the file has {BYTES - 1} bytes" in refuse(path)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"offset": "1"}, "truncated or belongs to another model"),
        ({"offset": "-1"}, "must be whole"),
        ({"offset": "1e3"}, "must be whole"),
        ({"offset": "9" * 30}, "must be whole"),
        ({"length": str(BYTES - 4)}, f"needs {BYTES} bytes and claims {BYTES - 4}"),
        ({"length": str(2 * BYTES)}, f"needs {BYTES} bytes and claims {2 * BYTES}"),
    ],
)
def test_ranges_outside_the_file_are_refused(
    tmp_path: Path, entries: dict[str, str], words: str
) -> None:
    model = denoiser()
    (tmp_path / "weights.bin").write_bytes(bytes(BYTES))
    point_outside(weight_of(model), "weights.bin", **entries)
    assert words in refuse(save(model, tmp_path / "model.onnx"))


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_are_refused(tmp_path: Path, link: object) -> None:
    path = save(denoiser(), tmp_path / "model.onnx", location="weights.bin")
    (tmp_path / "weights.bin").rename(tmp_path / "secret")
    link(tmp_path / "weights.bin", tmp_path / "secret")
    assert "link or special file" in refuse(path)


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model" / "model.onnx", location="inner/weights.bin")
    (path.parent / "inner").rename(tmp_path / "elsewhere")
    (path.parent / "inner").symlink_to(tmp_path / "elsewhere")
    assert "link or special file" in refuse(path)


def test_a_folder_or_pipe_in_place_of_data_is_refused(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model.onnx", location="weights.bin")
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").mkdir()
    assert "special file" in refuse(path)
    (tmp_path / "weights.bin").rmdir()
    os.mkfifo(tmp_path / "weights.bin")
    assert "special file" in refuse(path)


def test_data_of_a_constant_inside_a_node_is_checked_too(tmp_path: Path) -> None:
    model = denoiser()
    tensor = weight_of(model)
    node = model.graph.node.add(op_type="Constant", output=["W"])
    attribute = node.attribute.add(name="value", type=4)
    attribute.t.CopyFrom(tensor)
    model.graph.initializer.remove(tensor)
    point_outside(attribute.t, "../weights.bin")
    assert "only a plain path" in refuse(save(model, tmp_path / "model.onnx"))
    point_outside(attribute.t, "weights.bin")
    assert external_files(tmp_path / "model.onnx", model) == (tmp_path / "weights.bin",)
