"""A CUDA driver without a GPU: Triton's own launchers run, and what they launch is kept.

The library below has every symbol of libcuda that Triton links to. It loads any module and notes
the grid, threads and parameters of each launch, so that all of Triton before the driver is real:
binding, specialising, compiling, and its C code that turns arguments into parameters.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver as nvidia
from triton.runtime.driver import driver as drivers

MOST = 64
SIZES = {"i32": 4, "i64": 8, "fp32": 4}

SOURCE = """
#include <string.h>
#include "cuda.h"

enum { MOST = 64 };

typedef struct {
  char name[MOST];
  unsigned int grid[3], threads;
  int count;
  unsigned long long values[MOST];
} Launch;

static Launch launches[MOST];
static int launched, taken, count, sizes[MOST];

void expect_parameters(int number, const int *bytes) {
  count = number;
  memcpy(sizes, bytes, number * sizeof(int));
}

int take_launch(Launch *out) {
  if (taken == launched) return 0;
  *out = launches[taken++ % MOST];
  return 1;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **params, void **extra) {
  Launch *one = &launches[launched++ % MOST];
  memset(one, 0, sizeof(Launch));
  strncpy(one->name, (const char *)f, MOST - 1);
  one->grid[0] = config->gridDimX;
  one->grid[1] = config->gridDimY;
  one->grid[2] = config->gridDimZ;
  one->threads = config->blockDimX * config->blockDimY * config->blockDimZ;
  one->count = count;
  for (int i = 0; i < count; ++i) memcpy(&one->values[i], params[i], sizes[i]);
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  *module = (CUmodule)image;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  *function = (CUfunction)strdup(name);
  return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  *(CUdeviceptr *)data = pointer;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN ? 232448 : 32;
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
  *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  *context = (CUcontext)1;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = "a call that no launch here should make";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) { return CUDA_ERROR_UNKNOWN; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice device) { return CUDA_ERROR_UNKNOWN; }
CUresult cuCtxSetCurrent(CUcontext context) { return CUDA_ERROR_UNKNOWN; }
CUresult cuCtxGetLimit(size_t *value, CUlimit limit) { return CUDA_ERROR_UNKNOWN; }
CUresult cuCtxSetLimit(CUlimit limit, size_t value) { return CUDA_ERROR_UNKNOWN; }
CUresult cuDriverGetVersion(int *version) { return CUDA_ERROR_UNKNOWN; }
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) {
  return CUDA_ERROR_UNKNOWN;
}
CUresult cuFuncSetCacheConfig(CUfunction f, CUfunc_cache c) { return CUDA_ERROR_UNKNOWN; }
"""


class Launched(NamedTuple):
    """One call of `cuLaunchKernelEx`."""

    kernel: str
    grid: tuple[int, ...]
    threads: int
    values: tuple[int, ...]


class Record(ctypes.Structure):
    """A launch as the library keeps it."""

    _fields_ = (
        ("name", ctypes.c_char * MOST),
        ("grid", ctypes.c_uint * 3),
        ("threads", ctypes.c_uint),
        ("count", ctypes.c_int),
        ("values", ctypes.c_ulonglong * MOST),
    )


def parameters(signature: dict[str, str]) -> list[str]:
    """Types of what a kernel takes: its arguments without constants, then two scratch buffers."""
    return [kind for kind in signature.values() if kind != "constexpr"] + ["*i8", "*i8"]


class Library:
    """The library, built and loaded in place of libcuda."""

    def __init__(self, folder: Path) -> None:
        """Build it; the loader then finds it by its name, as it is in the process already."""
        source, path = folder / "libcuda.c", folder / "libcuda.so.1"
        source.write_text(SOURCE, encoding="utf-8")
        headers = Path(nvidia.__file__).with_name("include")
        flags = ["-shared", "-fPIC", f"-I{headers}", "-Wl,-soname,libcuda.so.1"]
        subprocess.run(["gcc", *flags, "-o", str(path), str(source)], check=True)
        self.loaded = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        nvidia.knobs.nvidia.libcuda_path = str(folder)

    def expect(self, kinds: list[str]) -> None:
        """Say what the next launch passes: only the kernel knows."""
        sizes = [8 if kind[0] == "*" else SIZES[kind] for kind in kinds]
        self.loaded.expect_parameters(len(sizes), (ctypes.c_int * len(sizes))(*sizes))

    def take(self) -> list[Launched]:
        """The launches since the last call."""
        found, one = [], Record()
        while self.loaded.take_launch(ctypes.byref(one)):
            values = tuple(one.values[: one.count])
            found.append(Launched(one.name.decode(), tuple(one.grid), one.threads, values))
        return found


class Target(nvidia.CudaDriver):
    """A driver that says what the GPU would be and launches nothing."""

    def __init__(self, arch: int) -> None:
        """Say it without a launcher."""
        self.arch = arch

    def get_current_target(self) -> GPUTarget:
        """The architecture."""
        return GPUTarget("cuda", self.arch, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """The default one."""
        return device


class Driver(Target):
    """Triton's driver for NVIDIA on the library instead of libcuda."""

    def __init__(self, arch: int, folder: Path) -> None:
        """Build the library and Triton's code that calls it."""
        super().__init__(arch)
        self.library = Library(folder)
        self.utils = nvidia.CudaUtils()

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        """A launcher of Triton; the library hears before what it will pass."""
        launch = nvidia.CudaLauncher(source, metadata)
        kinds = parameters(source.signature)

        def announced(*arguments: Any) -> None:
            self.library.expect(kinds)
            launch(*arguments)

        return announced


def install(driver: Target) -> None:
    """Make it Triton's only driver."""
    drivers.set_active(driver)
