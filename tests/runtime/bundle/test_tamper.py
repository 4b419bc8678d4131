"""Damage to a bundle: wrong files, kinds, sizes, owners and permissions are refused and named."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import BundleError, Tampered

GRAPH = "graphs/denoiser.onnx"
ENGINE = "engines/onnxruntime/denoiser.onnx"
WEIGHTS = "weights/312ae455cac463c9ba5d8f74529b5099.safetensors"
FILES = (GRAPH, ENGINE, WEIGHTS)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def extend(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def link(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    shutil.move(path.parent.parent / "moved", path.parents[2] / "outside")
    path.symlink_to(path.parents[2] / "outside")


def hard_link(path: Path) -> None:
    os.link(path, path.parents[2] / "second name")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def replace_by_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        place = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{place}/{path.name}")
        os.close(place)
    path.chmod(0o600)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o755)


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (truncate, r"has \d+ bytes, its manifest says"),
    (extend, r"has \d+ bytes, its manifest says"),
    (Path.unlink, "is missing"),
    (link, "is a symbolic link"),
    (hard_link, "has 2 hard links"),
    (replace_by_pipe, "is a device, pipe or socket"),
    (replace_by_socket, "is a device, pipe or socket"),
    (replace_by_folder, "is a folder that holds no listed file"),
    (lambda path: path.chmod(0o646), "writable by everybody"),
    (lambda path: path.chmod(0o666), "writable by everybody"),
]


@pytest.mark.parametrize("path", [GRAPH, WEIGHTS])
@pytest.mark.parametrize(("damage", "says"), DAMAGES)
def test_damage_is_refused_at_open_and_later(
    folder: Path, path: str, damage: Callable[[Path], object], says: str
) -> None:
    bundle = Bundle.open(folder)
    damage(folder / path)
    with pytest.raises(Tampered, match=says) as caught:
        Bundle.open(folder)
    assert path in str(caught.value)
    with pytest.raises(BundleError):
        bundle.verified(path)


@pytest.mark.parametrize(
    ("path", "content"),
    [("notes.txt", b"x"), ("weights/more.safetensors", b""), ("engines/onnxruntime/.so", b"x")],
)
def test_an_extra_file_is_refused(folder: Path, path: str, content: bytes) -> None:
    (folder / path).write_bytes(content)
    (folder / path).chmod(0o644)
    with pytest.raises(Tampered, match=f"'{path}' is in the bundle and not in its manifest"):
        Bundle.open(folder)


def test_an_extra_folder_or_link_is_refused(folder: Path) -> None:
    (folder / "cache").mkdir(mode=0o755)
    with pytest.raises(Tampered, match="'cache' is a folder that holds no listed file"):
        Bundle.open(folder)
    (folder / "cache").rmdir()
    (folder / "cache").symlink_to("/")
    with pytest.raises(Tampered, match="'cache' is a symbolic link"):
        Bundle.open(folder)


@pytest.mark.parametrize("path", ["weights", "engines/onnxruntime"])
def test_a_folder_behind_a_link_is_refused(folder: Path, tmp_path: Path, path: str) -> None:
    (folder / path).rename(tmp_path / "elsewhere")
    (folder / path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Tampered, match=f"'{path}' is a symbolic link"):
        Bundle.open(folder)


@pytest.mark.parametrize("path", ["", "weights", "engines", "manifest.json", *FILES])
def test_what_everybody_may_write_is_refused(folder: Path, path: str) -> None:
    (folder / path).chmod((folder / path).stat().st_mode | 0o002)
    with pytest.raises(Tampered, match="writable by everybody"):
        Bundle.open(folder)


@pytest.mark.parametrize("path", ["", "engines", "engines/onnxruntime", ENGINE, "manifest.json"])
def test_engines_and_the_way_to_them_are_not_group_writable(folder: Path, path: str) -> None:
    (folder / path).chmod((folder / path).stat().st_mode | 0o020)
    with pytest.raises(Tampered, match="writable by its group"):
        Bundle.open(folder)


@pytest.mark.parametrize("path", ["weights", GRAPH, WEIGHTS])
def test_weights_and_graphs_may_be_group_writable(folder: Path, path: str) -> None:
    (folder / path).chmod((folder / path).stat().st_mode | 0o020)
    Bundle.open(folder).verify_all()


@pytest.mark.parametrize("path", ["", "engines", "manifest.json", *FILES])
def test_what_another_user_owns_is_refused(
    folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(folder / path, 12345, -1)
        with pytest.raises(Tampered, match="belongs to user 12345"):
            Bundle.open(folder)
        return
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Tampered, match="belongs to user"):
        Bundle.open(folder)


@pytest.mark.parametrize("replace", [link, replace_by_pipe, replace_by_folder])
def test_the_manifest_itself_is_a_regular_file(
    folder: Path, replace: Callable[[Path], object]
) -> None:
    path = folder / "manifest.json"
    if replace is link:
        path.rename(folder.parent / "outside")
        path.symlink_to(folder.parent / "outside")
    else:
        replace(path)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(folder)


@pytest.mark.parametrize("path", ["", "engines", "manifest.json", *FILES])
def test_verify_all_looks_at_the_permissions_again(folder: Path, path: str) -> None:
    bundle = Bundle.open(folder)
    (folder / path).chmod((folder / path).stat().st_mode | 0o002)
    with pytest.raises(Tampered, match="writable by everybody"):
        bundle.verify_all()
