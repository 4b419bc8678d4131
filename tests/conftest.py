"""What every room shares: bundles that are compiled once per run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from denoisert.export import compile_bundle

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


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the shipped digits weights."""
    out = tmp_path_factory.mktemp("digits") / "digits.bundle"
    compile_bundle("digits", out)
    return out


@pytest.fixture(scope="session")
def tiny_text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with random weights: text in, 32x32 pictures out. Copy it to change it."""
    from tests.export.diffusers_tiny import write_folder  # torch, diffusers and transformers

    return write_folder(tmp_path_factory.mktemp("diffusers") / "tiny")


@pytest.fixture(scope="session")
def text_bundle(tiny_text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `tiny_text_folder`: denoiser, text encoder, decoder and encoder."""
    out = tmp_path_factory.mktemp("diffusers") / "text.bundle"
    compile_bundle(tiny_text_folder, out)
    return out


@pytest.fixture(scope="session")
def emoji_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the shipped emoji folder; too large for the fast suite."""
    out = tmp_path_factory.mktemp("emoji") / "emoji.bundle"
    compile_bundle("emoji", out)
    return out
