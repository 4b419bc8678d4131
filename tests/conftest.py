"""What every room shares: bundles that are compiled once per run, whichever worker asks first."""

from __future__ import annotations

import gc
import os
from functools import partial
from pathlib import Path

import pytest

from tests.once import Once, folder_of_the_run, made_once

# NumPy's and torch's pools are as large as the environment says when they are imported: workers
# divide the cores, for threads without a core keep others waiting. Ours are told their number.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(pool, str(max(1, len(os.sched_getaffinity(0)) // WORKERS)))

# Triton decides when a kernel's module is imported whether it compiles or interprets: without a GPU
# this process interprets. Compile-only tests run in processes of their own.
HAS_GPU = Path("/dev/nvidiactl").exists()
if not HAS_GPU:
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever runs everything hears which tests want a GPU."""
    for item in items:
        if not HAS_GPU and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    if not HAS_GPU and any("kernel_device" in getattr(item, "fixturenames", ()) for item in items):
        from tests.interpreter import quicken  # Triton, before anything is launched

        quicken()


@pytest.fixture(
    params=[
        pytest.param(
            "cpu",
            marks=pytest.mark.skipif(
                os.environ.get("TRITON_INTERPRET") != "1",
                reason="kernels are compiled where there is a GPU; interpreting wants none",
            ),
        ),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ]
)
def kernel_device(request: pytest.FixtureRequest) -> str:
    """Where Triton kernels run: "cpu" in the interpreter, "cuda" compiled."""
    return str(request.param)


@pytest.fixture(autouse=True, scope="module")
def old_objects_rest() -> None:
    """Whoever collects garbage in a test looks at what its module made, not at all of torch."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def once(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)`, a folder that `make(folder)` fills in one worker for all."""
    return partial(made_once, folder_of_the_run(pytestconfig, tmp_path_factory))


def compiled(once: Once, name: str, model: str | Path) -> Path:
    """The bundle `name` of a model."""
    from denoisert.export import compile_bundle  # imports NumPy, which reads the environment

    path = f"{name}.bundle"
    return once(name, lambda folder: compile_bundle(model, folder / path)) / path


@pytest.fixture(scope="session")
def digits_bundle(once: Once) -> Path:
    """A bundle of the shipped digits weights. Copy it to change it."""
    return compiled(once, "digits", "digits")


@pytest.fixture(scope="session")
def tiny_text_folder(once: Once) -> Path:
    """A diffusers folder with random weights: text in, 32x32 pictures out. Copy it to change it."""
    from tests.export.diffusers_tiny import write_folder  # torch, diffusers and transformers

    return once("tiny", lambda folder: write_folder(folder / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def text_bundle(tiny_text_folder: Path, once: Once) -> Path:
    """The bundle of `tiny_text_folder`: denoiser, text encoder, decoder and encoder."""
    return compiled(once, "text", tiny_text_folder)


@pytest.fixture(scope="session")
def emoji_bundle(once: Once) -> Path:
    """A bundle of the shipped emoji folder; too large for the fast suite."""
    return compiled(once, "emoji", "emoji")
