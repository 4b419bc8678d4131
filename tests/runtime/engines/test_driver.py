"""The driver is asked by its own interface: here a library that answers as it does."""

import os
import shutil
import subprocess

import pytest

from denoisert.runtime.engines import driver

SOURCE = """
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = 2; return COUNT; }
int cuDeviceGet(int *device, int number) { *device = 40 + number; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    static const int major[] = {8, 12}, minor[] = {9, 1};
    if (attribute != 75 && attribute != 76) return 1;
    *value = (attribute == 75 ? major : minor)[device - 40];
    return 0;
}
"""
"""Devices 40 and 41; attributes 75 and 76 are the compute capability (cuda.h)."""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="wants a C compiler")


@pytest.fixture
def library(tmp_path):
    def build(init=0, count=0):
        source, out = tmp_path / "driver.c", tmp_path / f"libcuda-{init}-{count}.so"
        source.write_text(SOURCE)
        defined = [f"-DINIT={init}", f"-DCOUNT={count}"]
        subprocess.run(["cc", "-shared", "-fPIC", *defined, source, "-o", out], check=True)
        return os.fspath(out)

    return build


def test_every_gpu_has_its_capability(monkeypatch, library):
    monkeypatch.setattr(driver, "LIBRARY", library())
    assert driver.capabilities() == ("8.9", "12.1")


@pytest.mark.parametrize("broken", [{"init": 100}, {"init": 999}, {"count": 3}])
def test_a_driver_that_fails_shows_no_gpu(monkeypatch, library, broken):
    """100 is CUDA_ERROR_NO_DEVICE, 999 unknown, 3 not initialised."""
    monkeypatch.setattr(driver, "LIBRARY", library(**broken))
    assert driver.capabilities() == ()


def test_without_the_library_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(driver, "LIBRARY", os.fspath(tmp_path / "none.so"))
    assert driver.capabilities() == ()
    (tmp_path / "none.so").write_bytes(b"no library")
    assert driver.capabilities() == ()
