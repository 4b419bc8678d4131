"""Weight files are found, single or sharded; an index that lies is caught from headers alone."""

import json
import struct

import numpy as np
import pytest

from denoisert.export.sources.diffusers.weights import MOST_SHARDS, find_weights, read_headers
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.folders import STEM, save, save_shards, tensors, write


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "model" / "unet"
    found.mkdir(parents=True)
    return found.resolve()


def refused(folder, *reasons, stem=STEM):
    with pytest.raises(ExportError) as caught:
        find_weights(folder, stem)
    message = str(caught.value)
    assert all(reason in message for reason in reasons), message
    assert len(message) < 700


def test_a_single_file(folder):
    path = save(folder / f"{STEM}.safetensors", tensors("a", "b"))
    assert find_weights(folder, STEM) == (path,)
    save(folder / "model.safetensors", tensors("c"))
    assert find_weights(folder, "model") == (folder / "model.safetensors",)


def test_a_relative_path_and_a_path_through_a_link(folder, monkeypatch):
    path = save(folder / f"{STEM}.safetensors", tensors("a"))
    monkeypatch.chdir(folder.parent.parent)
    (folder.parent.parent / "link").symlink_to("model")
    for root in ("model", "link"):
        (found,) = find_weights(type(folder)(root, "unet"), STEM)
        assert found.samefile(path)


def test_float16_is_taken_where_there_is_nothing_else(folder):
    half = save(folder / f"{STEM}.fp16.safetensors", {"a": np.ones(3, np.float16)})
    assert find_weights(folder, STEM) == (half,)
    full = save(folder / f"{STEM}.safetensors", tensors("a"))
    assert find_weights(folder, STEM) == (full,)


def test_shards(folder):
    paths = save_shards(folder, tensors("a", "b"), tensors("c"))
    assert find_weights(folder, STEM) == tuple(paths)
    headers = read_headers(paths, "unet")
    assert {name: path.name for name, (_, path) in headers.items()} == {
        "a": paths[0].name,
        "b": paths[0].name,
        "c": paths[1].name,
    }


def test_shards_of_float16(folder):
    paths = save_shards(folder, tensors("a"), tensors("b"), infix=".fp16")
    assert find_weights(folder, STEM) == tuple(paths)


def test_a_single_file_beside_an_index_is_ambiguous(folder):
    save_shards(folder, tensors("a"))
    save(folder / f"{STEM}.safetensors", tensors("a"))
    refused(folder, "has both", f"{STEM}.safetensors.index.json", "Delete one")


def test_nothing_there(folder):
    refused(folder, "unet has no weights", f"looked for {STEM}.safetensors", "found nothing")
    write(folder / "config.json", "{}")
    write(folder / f"{STEM}.msgpack", "x")
    refused(folder, "found config.json", f"{STEM}.msgpack")


@pytest.mark.parametrize(
    "name", [f"{STEM}.bin", "model.ckpt", "model.PT", "x.pth", "x.pkl", f"{STEM}.fp16.bin"]
)
def test_pickled_weights_are_refused_unopened(folder, name, tmp_path):
    canary = tmp_path / "canary"
    payload = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    (folder / name).write_bytes(payload)
    (folder / name).chmod(0)
    refused(folder, name, "any code", "safe_serialization=True")
    assert not canary.exists()


def test_a_missing_shard(folder):
    paths = save_shards(folder, tensors("a"), tensors("b"), tensors("c"))
    paths[1].unlink()
    refused(folder, "lists 3 shards", "1 are missing", paths[1].name, "Complete the download")


def test_a_shard_that_is_a_link_out(folder, tmp_path):
    paths = save_shards(folder, tensors("a"), tensors("b"))
    paths[1].rename(tmp_path / "outside.safetensors")
    paths[1].symlink_to(tmp_path / "outside.safetensors")
    refused(folder, f"unet/{paths[1].name} is a link out of the folder")


def test_a_single_file_that_is_a_link_out(folder, tmp_path):
    save(tmp_path / "outside.safetensors", tensors("a"))
    (folder / f"{STEM}.safetensors").symlink_to(tmp_path / "outside.safetensors")
    refused(folder, "is a link out of the folder")


def test_a_single_file_that_is_a_broken_link(folder):
    (folder / f"{STEM}.safetensors").symlink_to("nowhere")
    refused(folder, f"unet/{STEM}.safetensors cannot be read")


@pytest.mark.parametrize(
    "name",
    [
        "../other/x.safetensors",
        "/etc/passwd",
        "sub/x.safetensors",
        "..",
        "x.bin",
        "",
        ".hidden.safetensors",
        "a\\b.safetensors",
        "x.safetensors\n",
        "x" * 300 + ".safetensors",
        "é.safetensors",
    ],
)
def test_a_shard_with_another_name(folder, name):
    save_shards(folder, tensors("a"), weight_map={"a": name})
    refused(folder, "lists the shard", "plain name")


@pytest.mark.parametrize(
    "value", [None, {}, [], "a", {"a": 3}, {"a": None}, {"a": ["x.safetensors"]}]
)
def test_an_index_without_places(folder, value):
    write(folder / f"{STEM}.safetensors.index.json", {"metadata": {}, "weight_map": value})
    with pytest.raises(ExportError, match=r"no weight_map|lists the shard"):
        find_weights(folder, STEM)


def test_too_many_shards(folder):
    places = {str(n): f"{n}.safetensors" for n in range(MOST_SHARDS + 1)}
    write(folder / f"{STEM}.safetensors.index.json", {"weight_map": places})
    refused(folder, f"more than {MOST_SHARDS} shards")


def first_shard(count=2):
    return f"{STEM}-00001-of-{count:05}.safetensors"


def test_a_tensor_that_is_listed_and_absent(folder):
    name = first_shard(1)
    save_shards(folder, tensors("a"), weight_map={"a": name, "b": name, "c": name})
    refused(folder, "2 tensors are absent", "'b'", name, "none")


def test_a_tensor_that_is_there_and_not_listed(folder):
    save_shards(folder, tensors("a", "b"), weight_map={"a": first_shard(1)})
    refused(folder, "1 tensors are not listed", "'b'", "no shard")


def test_a_tensor_in_another_shard(folder):
    one, two = first_shard(), f"{STEM}-00002-of-00002.safetensors"
    save_shards(folder, tensors("a"), tensors("b"), weight_map={"a": two, "b": one})
    refused(folder, "2 tensors are elsewhere", two, one)


def test_a_tensor_in_two_shards(folder):
    save_shards(folder, tensors("a", "b"), tensors("b"))
    refused(folder, "unet: tensor 'b' is in", first_shard(), "-00002-of-00002")


def test_a_key_twice_in_the_index(folder):
    save_shards(folder, tensors("a"))
    text = f'{{"weight_map": {{"a": "{first_shard(1)}", "a": "{first_shard(1)}"}}}}'
    write(folder / f"{STEM}.safetensors.index.json", text)
    refused(folder, "twice")


def test_a_long_index(folder):
    write(folder / f"{STEM}.safetensors.index.json", '{"a": "' + "x" * 17 * 2**20 + '"}')
    refused(folder, "at most 16777216 are read")


def raw(header, data=b"", length=None):
    """A safetensors file made by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(first, last, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"\x01\x02", "truncated"),
        (
            raw({"a": entry(0, 4, [1])}, b"1234", length=2**63),
            "claims a header of 9223372036854775808",
        ),
        (raw({"a": entry(0, 4, [1])}, b"1234", length=10**9), "claims a header of 1000000000"),
        (raw({"a": entry(0, 8, [2])}, b"1234"), "ends at byte 8|end at byte 8"),
        (raw({"a": entry(0, 4, [1])}, b"12345678"), "end at byte 4"),
        (raw({"a": entry(0, 4, [1]), "b": entry(2, 6, [1])}, b"123456"), "overlap"),
        (raw({"a": entry(0, 4, [2**40, 2**40])}, b"1234"), "needs"),
        (raw({"a": entry(0, 4, [-1])}, b"1234"), "shape"),
        (raw({"a": entry(0, 4, [1], "Q4")}, b"1234"), "dtype"),
        (raw(b'{"a":{},"a":{}}'), "twice"),
        (raw(b"[]"), "no JSON object"),
        (b"\x80\x04\x95pickle of some kind", "truncated or no safetensors"),
        (b"PK\x03\x04" + bytes(60), "truncated or no safetensors"),
    ],
)
def test_a_damaged_file_is_refused_by_its_header(folder, content, reason):
    (folder / f"{STEM}.safetensors").write_bytes(content)
    with pytest.raises(ExportError, match=reason) as caught:
        find_weights(folder, STEM)
    assert str(caught.value).startswith("unet: weights 'diffusion_pytorch_model.safetensors'")


def test_every_cut_of_a_file_is_refused(folder):
    path = save(folder / f"{STEM}.safetensors", tensors("a", "b"))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ExportError):
            find_weights(folder, STEM)
