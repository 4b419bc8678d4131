"""An opened bundle is exactly what its manifest says; every difference is refused and named."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime.bundle.codecs import CODECS
from denoisert.runtime.bundle.manifest import Manifest
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.bundle.verify import check_content
from denoisert.runtime.bundle.weights import read_header
from denoisert.runtime.errors import BundleError, InvalidInput, ManifestMismatch, Tampered

GRAPH = "graphs/denoiser.onnx"
ENGINE = "engines/onnxruntime/denoiser.onnx"
WEIGHTS = "weights/312ae455cac463c9ba5d8f74529b5099.safetensors"
FILES = (GRAPH, ENGINE, WEIGHTS)
STORED_ID = "e9a1f37b0fa77b09c1294066c255db833f4e24c1f009f28e33b6824355bc8a97"


def test_the_stored_format_1_bundle_stays_readable(folder: Path) -> None:
    bundle = Bundle.open(folder, expect=STORED_ID)
    bundle.verify_all()
    assert bundle.id == STORED_ID
    assert bundle.card.name == "tiny"
    assert bundle.root == folder.resolve()
    assert bundle.manifest.graphs["denoiser"].opset == 23
    assert set(bundle.manifest.files) == set(FILES)


def test_weights_of_the_stored_bundle_are_what_was_written(folder: Path) -> None:
    path = Bundle.open(folder).verified(WEIGHTS)
    table = read_header(path)["table"]
    found = np.fromfile(path, "<f4", offset=table.offset).reshape(table.shape)
    np.testing.assert_array_equal(found.ravel(), (np.arange(64) - 32) / 32)


def test_repr_is_the_call(folder: Path) -> None:
    bundle = Bundle.open(folder)
    again = eval(repr(bundle), {"Bundle": Bundle})
    assert again.id == bundle.id


def test_progress_counts_every_byte_once(folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    Bundle.open(folder).verify_all(lambda *call: seen.append(call))
    total = sum((folder / path).stat().st_size for path in FILES)
    assert [path for path, _, _ in seen] == sorted(FILES)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert seen[-1][1:] == (total, total)


def test_expect_pins_the_bundle(folder: Path) -> None:
    with pytest.raises(ManifestMismatch, match=f"asked for bundle {'0' * 64}, found {STORED_ID}"):
        Bundle.open(folder, expect="0" * 64)


def test_a_link_to_a_bundle_may_name_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert Bundle.open(tmp_path / "current").root == folder.resolve()


@pytest.mark.parametrize("path", FILES)
def test_a_flipped_byte_is_found_at_the_first_use(folder: Path, path: str) -> None:
    data = bytearray((folder / path).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / path).write_bytes(data)
    bundle = Bundle.open(folder)
    with pytest.raises(Tampered, match=f"'{path}' has other bytes"):
        bundle.verified(path)
    with pytest.raises(Tampered, match=f"'{path}' has other bytes"):
        bundle.verify_all()
    for other in set(FILES) - {path}:
        assert bundle.verified(other) == folder.resolve() / other


@pytest.mark.parametrize("target", ["manifest.json", "", "none"])
def test_no_bundle_there_is_an_error_of_ours(folder: Path, target: str) -> None:
    (folder / "manifest.json").unlink()
    said = r"cannot be read: (No such|Not a)" if target else r"has no manifest\.json, so .* compile"
    with pytest.raises(BundleError, match=said):
        Bundle.open(folder / target if target else folder)


def test_a_manifest_of_many_megabytes_is_not_read(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 2**34)
    with pytest.raises(Tampered, match="at most 16777216 are read"):
        Bundle.open(folder)


def test_another_version_is_refused_before_the_rest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format":3}')
    with pytest.raises(ManifestMismatch, match="format 3"):
        Bundle.open(folder)


def test_an_unknown_file_is_no_file_of_the_bundle(folder: Path) -> None:
    bundle = Bundle.open(folder)
    for path in ("manifest.json", "../x", "weights", ""):
        with pytest.raises(InvalidInput, match="has no file"):
            bundle.verified(path)


def test_bytes_are_read_once_and_again_after_a_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def counted(root: Path, path: str, entry: object) -> os.stat_result:
        reads.append(path)
        return check_content(root, path, entry)

    monkeypatch.setattr("denoisert.runtime.bundle.open.check_content", counted)
    bundle = Bundle.open(folder)
    assert reads == []
    for _ in range(3):
        bundle.verified(GRAPH)
    assert reads == [GRAPH]
    data = (folder / GRAPH).read_bytes()
    (folder / GRAPH).write_bytes(data[::-1])
    with pytest.raises(Tampered, match="other bytes"):
        bundle.verified(GRAPH)
    (folder / GRAPH).write_bytes(data)
    bundle.verified(GRAPH)
    assert reads == [GRAPH] * 3


def test_weights_with_a_fitting_digest_still_need_a_true_header(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes().replace(b"[0,256]", b"[0,255]")
    (folder / WEIGHTS).write_bytes(data)
    plain = json.loads((folder / "manifest.json").read_bytes())
    plain["files"][WEIGHTS]["sha256"] = hashlib.sha256(data).hexdigest()
    plain["id"] = ""
    manifest = decode(Manifest, plain, "it", CODECS).with_id()
    (folder / "manifest.json").write_bytes(manifest.to_json())
    bundle = Bundle.open(folder)
    with pytest.raises(Tampered, match="needs 256 bytes and claims 255"):
        bundle.verified(WEIGHTS)


def test_a_bundle_that_vanished_is_an_error_of_ours(folder: Path) -> None:
    bundle = Bundle.open(folder)
    shutil.rmtree(folder)
    with pytest.raises(BundleError, match="open it again"):
        bundle.verified(GRAPH)
    with pytest.raises(BundleError, match="open it again"):
        bundle.verify_all()


def test_a_disk_that_cannot_be_read_is_an_error_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(folder)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("hashlib.file_digest", fail)
    with pytest.raises(BundleError, match="Input/output error"):
        bundle.verify_all()


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_bundle_exchanged_while_it_opens_is_opened_as_the_new_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    """Also where the new files have the sizes that the old manifest lists."""
    new = tmp_path / "new"
    shutil.copytree(folder, new)
    plain = json.loads((folder / "manifest.json").read_bytes())
    manifest = decode(Manifest, {**plain, "created_by": "denoisert 0.2.0"}, "it", CODECS).with_id()
    (new / "manifest.json").write_bytes(manifest.to_json())
    from_json = Manifest.from_json

    def exchanged(text: bytes) -> Manifest:
        if new.exists():
            folder.rename(tmp_path / "old")
            new.rename(folder)
        return from_json(b"{}" if is_cut and text != manifest.to_json() else text)

    monkeypatch.setattr(Manifest, "from_json", staticmethod(exchanged))
    bundle = Bundle.open(folder)
    bundle.verify_all()
    assert (tmp_path / "old").exists()
    assert bundle.id == manifest.id


def test_a_bundle_that_never_rests_is_given_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    from_json = Manifest.from_json

    def exchanged(text: bytes) -> Manifest:
        folder.rename(tmp_path / "third")
        (tmp_path / "other").rename(folder)
        (tmp_path / "third").rename(tmp_path / "other")
        return from_json(text)

    monkeypatch.setattr(Manifest, "from_json", staticmethod(exchanged))
    with pytest.raises(BundleError, match="keeps being replaced"):
        Bundle.open(folder)
