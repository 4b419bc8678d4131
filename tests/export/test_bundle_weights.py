"""The weight writer: deterministic, aligned, and readable by everybody who reads safetensors."""

import hashlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from denoisert.export.bundle import write_weights
from denoisert.runtime.bundle.weights import DTYPES, read_header
from denoisert.runtime.errors import BundleError, ExportError

TYPES = [np.dtype(getattr(ml_dtypes, numpy, numpy)) for numpy, _ in DTYPES.values()]


def tensors(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    stored = {}
    for number, dtype in enumerate(TYPES):
        shape = tuple(generator.integers(0, 7, generator.integers(0, 4)))
        stored[f"tensor.{number}"] = generator.integers(0, 2, shape).astype(dtype)
    return stored


@pytest.mark.parametrize("seed", range(4))
def test_spans_header_and_bytes_agree(tmp_path: Path, seed: int) -> None:
    stored = tensors(seed)
    name, spans = write_weights(tmp_path / "weights", stored)
    data = (tmp_path / "weights" / name).read_bytes()
    header = read_header(tmp_path / "weights" / name)
    assert spans.keys() == header.keys() == stored.keys()
    for key, array in stored.items():
        offset, nbytes = spans[key]
        assert (header[key].offset, header[key].nbytes) == (offset, nbytes)
        assert (header[key].dtype, header[key].shape) == (array.dtype.name, array.shape)
        assert offset % 64 == 0
        assert data[offset : offset + nbytes] == array.tobytes()


def test_the_reference_library_reads_it(tmp_path: Path) -> None:
    stored = {key: value for key, value in tensors(9).items() if value.dtype.isbuiltin == 1}
    name, _ = write_weights(tmp_path, stored)
    found = load_file(tmp_path / name)
    assert {key for key in found if not key.startswith("__padding__")} == set(stored)
    for key, array in stored.items():
        np.testing.assert_array_equal(found[key], array)


def test_name_is_the_content_and_the_order_does_not_matter(tmp_path: Path) -> None:
    stored = tensors(1)
    name, spans = write_weights(tmp_path / "a", stored)
    again, _ = write_weights(tmp_path / "b", dict(reversed(stored.items())))
    data = (tmp_path / "a" / name).read_bytes()
    assert again == name == hashlib.sha256(data).hexdigest()[:32] + ".safetensors"
    assert (tmp_path / "b" / name).read_bytes() == data
    assert list(spans) == list(stored)


def test_equal_tensors_are_stored_once(tmp_path: Path) -> None:
    stored = tensors(2)
    first, spans = write_weights(tmp_path, stored)
    written = (tmp_path / first).stat().st_mtime_ns
    assert write_weights(tmp_path, stored) == (first, spans)
    assert [path.name for path in tmp_path.iterdir()] == [first]
    assert (tmp_path / first).stat().st_mtime_ns == written


@pytest.mark.parametrize("change", ["value", "name", "shape", "dtype"])
def test_any_difference_is_another_name(tmp_path: Path, change: str) -> None:
    base = np.arange(6, dtype=np.int32)
    other = {
        "value": {"a": base + 1},
        "name": {"b": base},
        "shape": {"a": base.reshape(2, 3)},
        "dtype": {"a": base.astype(np.uint32)},
    }
    assert write_weights(tmp_path, {"a": base})[0] != write_weights(tmp_path, other[change])[0]


def test_memory_order_and_byte_order_do_not_matter(tmp_path: Path) -> None:
    base = np.arange(24, dtype="<f4").reshape(4, 6)
    forms = (base, np.asfortranarray(base), base.astype(">f4"), np.repeat(base, 2, axis=1)[:, ::2])
    assert len({write_weights(tmp_path, {"a": form})[0] for form in forms}) == 1
    path = tmp_path / write_weights(tmp_path, {"a": base})[0]
    np.testing.assert_array_equal(load_file(path)["a"], base)


def test_nothing_to_store_is_a_file_without_tensors(tmp_path: Path) -> None:
    name, spans = write_weights(tmp_path, {})
    assert spans == {}
    assert read_header(tmp_path / name) == {}


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype("U3"), object, "datetime64[s]"])
def test_a_dtype_that_the_format_lacks_is_refused(tmp_path: Path, dtype: object) -> None:
    with pytest.raises(ExportError, match=r"'odd' has dtype .* safetensors holds bool, uint8"):
        write_weights(tmp_path, {"odd": np.zeros(2, dtype)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["__metadata__", "__padding__7"])
def test_a_reserved_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="is reserved"):
        write_weights(tmp_path, {name: np.zeros(2)})


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"")
    with pytest.raises(BundleError, match="weights"):
        write_weights(tmp_path / "weights", tensors(0))
