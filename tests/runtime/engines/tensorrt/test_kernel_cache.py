"""Kernels in the device profile's folder: what is read back, and what is passed over."""

import os
import stat

import pytest

from denoisert.runtime.engines.tensorrt import kernel_cache
from denoisert.runtime.engines.tensorrt.kernel_cache import (
    kernel_file,
    read_kernels,
    write_kernels,
)

KEY = {"engine": "e" * 64, "device": "NVIDIA RTX", "library": "tensorrt_rtx 1.7.1.116"}


def test_every_part_of_the_key_makes_another_file(tmp_path):
    paths = {kernel_file(tmp_path, **KEY)}
    for name in KEY:
        paths.add(kernel_file(tmp_path, **{**KEY, name: "other"}))
    assert len(paths) == 1 + len(KEY)
    assert kernel_file(tmp_path, **KEY) in paths


def test_kernels_come_back_and_are_for_this_user_alone(tmp_path):
    path = kernel_file(tmp_path / "cache", **KEY)
    assert read_kernels(path) is None
    write_kernels(path, b"first")
    write_kernels(path, b"kernels")
    assert read_kernels(path) == b"kernels"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_passed_over(mode, tmp_path):
    path = kernel_file(tmp_path, **KEY)
    write_kernels(path, b"kernels")
    path.chmod(mode)
    assert read_kernels(path) is None


def test_a_file_of_another_user_is_passed_over(tmp_path, monkeypatch):
    path = kernel_file(tmp_path, **KEY)
    write_kernels(path, b"kernels")
    status = os.stat(path)
    if status.st_uid == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: status.st_uid + 1)
    assert read_kernels(path) is None


def test_a_file_that_is_too_large_is_passed_over(tmp_path, monkeypatch):
    path = kernel_file(tmp_path, **KEY)
    write_kernels(path, b"kernels")
    monkeypatch.setattr(kernel_cache, "MAX_BYTES", 6)
    assert read_kernels(path) is None


def test_a_folder_that_cannot_be_written_to_is_an_os_error(tmp_path):
    (tmp_path / "kernels").write_bytes(b"")
    with pytest.raises(OSError, match="kernels"):
        write_kernels(kernel_file(tmp_path, **KEY), b"kernels")
