"""The safetensors header reader believes nothing, and agrees with the reference library."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from denoisert.runtime.bundle.weights import Tensor, read_header
from denoisert.runtime.errors import Tampered

DTYPES = ("bool", "uint8", "int16", "float16", "int32", "float32", "int64", "float64")


def tensors(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    shapes = [tuple(generator.integers(0, 5, generator.integers(0, 4))) for _ in range(6)]
    return {
        f"layer.{n}": generator.integers(0, 2, shape).astype(generator.choice(DTYPES))
        for n, shape in enumerate(shapes)
    }


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype: str, shape: list[Any], first: Any, last: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize("seed", range(5))
def test_reads_what_the_reference_library_writes(tmp_path: Path, seed: int) -> None:
    path, stored = tmp_path / "a.safetensors", tensors(seed)
    save_file(stored, path, metadata={"format": "np"})
    found, data = read_header(path), path.read_bytes()
    assert found.keys() == stored.keys()
    for name, array in stored.items():
        tensor = found[name]
        assert (tensor.dtype, tensor.shape) == (array.dtype.name, array.shape)
        assert data[tensor.offset : tensor.offset + tensor.nbytes] == array.tobytes()


def test_an_empty_file_of_tensors_is_fine(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "a", {})) == {}


def test_sixteen_bit_floats_have_names_without_numpy(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a", {"x": entry("BF16", [3], 0, 6), "y": entry("F8_E4M3", [2], 6, 8)}, bytes(8)
    )
    found = read_header(path)
    assert found["x"] == Tensor("bfloat16", (3,), path.stat().st_size - 8, 6)
    assert found["y"].dtype == "float8_e4m3fn"


def test_padding_tensors_are_not_returned(tmp_path: Path) -> None:
    header = {"x": entry("U8", [3], 0, 3), "__padding__0": entry("U8", [5], 3, 8)}
    assert list(read_header(write(tmp_path / "a", header, bytes(8)))) == ["x"]


ONE = entry("F32", [2], 0, 8)
LIES = [
    ({"a": ONE}, bytes(7), "7 bytes"),
    ({"a": ONE}, bytes(9), "end at byte 8 of the data, which has 9"),
    ({"a": entry("F32", [2], 0, 4)}, bytes(4), "needs 8 bytes and claims 4"),
    ({"a": entry("F32", [1], 0, 8)}, bytes(8), "needs 4 bytes and claims 8"),
    ({"a": entry("F32", [2], 4, 12)}, bytes(12), "hole at byte 0"),
    ({"a": ONE, "b": ONE}, bytes(16), "overlap"),
    ({"a": ONE, "b": entry("F32", [2], 4, 12)}, bytes(12), "overlap"),
    ({"a": ONE, "b": entry("F32", [1], 12, 16)}, bytes(16), "hole at byte 8"),
    ({"a": entry("F32", [2], 8, 0)}, bytes(8), "claims -8"),
    ({"a": entry("F32", [-2], 0, -8)}, b"", "shape"),
    ({"a": entry("F32", [-1, -2], 0, 8)}, bytes(8), "shape"),
    ({"a": entry("F32", [2**62, 4], 0, 8)}, bytes(8), "needs"),
    ({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4), "shape"),
    ({"a": entry("F32", [2.0], 0, 8)}, bytes(8), "whole number"),
    ({"a": entry("F32", [2], 0, 8.0)}, bytes(8), "whole number"),
    ({"a": entry("F32", [True], 0, 4)}, bytes(4), "whole number"),
    ({"a": {**ONE, "data_offsets": [0, 8, 8]}}, bytes(8), "data_offsets"),
    ({"a": {**ONE, "extra": 1}}, bytes(8), "exactly"),
    ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), "exactly"),
    ({"a": [0, 8]}, bytes(8), "exactly"),
    ({"a": entry("F33", [2], 0, 8)}, bytes(8), "known: BOOL"),
    ({"a": entry(3, [2], 0, 8)}, bytes(8), "must be a text"),
    ({"__metadata__": {"a": 1}}, b"", "must be a text"),
    ({"__metadata__": []}, b"", "must be an object"),
    (
        b'{"a":' + json.dumps(ONE).encode() + b',"a":' + json.dumps(ONE).encode() + b"}",
        bytes(8),
        "twice",
    ),
    (b"[]", b"", "no JSON object"),
    (b"{", b"", "not valid JSON"),
    (b" {}", b"", "no JSON object"),
    (b"{}\xff", b"", "not valid JSON"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, b"", "deeper"),
]


@pytest.mark.parametrize(("header", "data", "says"), LIES)
def test_a_lying_header_is_refused(tmp_path: Path, header: Any, data: bytes, says: str) -> None:
    with pytest.raises(Tampered, match=says) as caught:
        read_header(write(tmp_path / "lie.safetensors", header, data))
    assert "lie.safetensors" in str(caught.value)


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 100_000_001, 11, 3])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(Tampered, match="truncated"):
        read_header(write(tmp_path / "a", b"{}", length=length))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors(7), path)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(Tampered):
            read_header(path)


def library_accepts(path: Path) -> bool:
    try:
        with safe_open(path, framework="np"):
            return True
    except SafetensorError:
        return False


def test_mutations_are_refused_or_harmless(tmp_path: Path) -> None:
    """200 random changes of the header: refused, or a file that the reference library reads too."""
    path, generator = tmp_path / "a.safetensors", random.Random(11)
    save_file(tensors(3), path)
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(generator.randint(1, 3)):
            changed[generator.randrange(end)] = generator.choice(b'0123456789"[]{},: aFI\x00\xff')
        path.write_bytes(changed)
        try:
            found = read_header(path)
        except Tampered:
            refused += 1
            continue
        assert library_accepts(path)
        assert all(0 < tensor.offset <= len(data) - tensor.nbytes for tensor in found.values())
        assert sum(tensor.nbytes for tensor in found.values()) == len(data) - end
    assert refused > 100
