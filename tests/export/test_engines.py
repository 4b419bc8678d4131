"""Engines of several targets in one bundle: compiled by the real libraries, kept, and protected."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisert.export import Compiled, CompileOptions, Progress, compile_bundle
from denoisert.export.options import EngineOptions
from denoisert.export.targets.process import EngineProcess
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.loading import load
from denoisert.runtime.engines.target import EngineTarget, OnnxRuntime, OpenVino
from denoisert.runtime.errors import BundleError, DenoiseRTError, OutOfMemory, Tampered
from tests.export.foreign import VECTOR_CARD, denoiser, save
from tests.export.targets.disks import largest_file

TARGETS = (OnnxRuntime(), OpenVino("float32"), OpenVino("bfloat16"))
KEYS = ["onnxruntime", "openvino", "openvino-bfloat16"]
MIB = 2**20

Build = Callable[..., Compiled]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model; nothing in it is changed by a test."""
    folder = tmp_path_factory.mktemp("engines")
    save(denoiser(), folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def build(place: Path) -> Build:
    """`build(out, *targets, memory_bytes=...)`: compile the model, with one cache for all."""

    def make(out: Path, *targets: EngineTarget, memory_bytes: int | None = None) -> Compiled:
        engines = EngineOptions(cache=place / "cache", memory_bytes=memory_bytes)
        options = CompileOptions(targets or TARGETS, engines=engines)
        return compile_bundle(place / "model.onnx", out, card=VECTOR_CARD, options=options)

    return make


@pytest.fixture(scope="module")
def made(place: Path, build: Build) -> Compiled:
    return build(place / "made.bundle")


@pytest.fixture
def copy(made: Compiled, tmp_path: Path) -> Path:
    """Of the bundle, in a folder of its own."""
    return Path(shutil.copytree(made.path, tmp_path / "copy" / "a.bundle"))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compiles an engine fails."""

    def run(process: EngineProcess, _: object) -> None:
        pytest.fail(f"{process.job.component} was compiled for {process.job.target}")

    monkeypatch.setattr(EngineProcess, "run", run)


def engines_of(bundle: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(bundle)): path.read_bytes()
        for path in sorted((bundle / "engines").rglob("*.*"))
    }


def test_every_target_has_engines_of_its_own(made: Compiled) -> None:
    bundle = Bundle.open(made.path, expect=made.id)
    bundle.verify_all()
    assert list(bundle.manifest.engines) == KEYS
    for key in KEYS[1:]:
        entry = bundle.manifest.engines[key].graphs["denoiser"]
        assert entry.path == f"engines/{key}/denoiser.xml"
        assert entry.weights == (f"engines/{key}/denoiser.bin",)
        assert entry.dtype == key.partition("-")[2] or "float32"
        assert entry.inputs == bundle.manifest.graphs["denoiser"].inputs
    assert {figure.graph for figure in made.parity} >= {"graph", *KEYS}
    assert {path.split("/")[0] for path in bundle.manifest.files} == {
        "graphs",
        "weights",
        "engines",
    }


@pytest.mark.usefixtures("no_compiler")
def test_another_bundle_takes_its_engines_from_the_cache(
    made: Compiled, build: Build, tmp_path: Path
) -> None:
    again = build(tmp_path / "again.bundle")
    assert not again.is_cached
    assert engines_of(again.path) == engines_of(made.path)
    assert again.id == made.id


@pytest.mark.usefixtures("no_compiler")
def test_the_same_again_is_no_work(made: Compiled, build: Build) -> None:
    """How much memory compilers may take changes nothing of what they make."""
    again = build(made.path, memory_bytes=2**40)
    assert (again.is_cached, again.id, again.phases_ms) == (True, made.id, {})


def test_other_targets_are_another_bundle(copy: Path, build: Build) -> None:
    fewer = build(copy, OpenVino("float32"))
    assert not fewer.is_cached
    assert list(Bundle.open(copy).manifest.engines) == ["openvino"]


@pytest.mark.parametrize("name", ["openvino/denoiser.xml", "openvino/denoiser.bin"])
def test_a_flipped_byte_in_an_engine_is_found_before_it_is_read(copy: Path, name: str) -> None:
    path = copy / "engines" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    bundle = Bundle.open(copy)
    with pytest.raises(Tampered, match=path.name):
        load(bundle, choose(bundle, OpenVino("float32")), "denoiser", 1)
    load(bundle, choose(bundle, OnnxRuntime()), "denoiser", 1).close()


@pytest.mark.usefixtures("no_compiler")
def test_a_damaged_bundle_is_mended_from_the_cache(
    made: Compiled, copy: Path, build: Build
) -> None:
    (copy / "engines" / "openvino" / "denoiser.bin").write_bytes(b"damaged")
    assert build(copy).id == made.id
    Bundle.open(copy).verify_all()


def check_old(copy: Path, made: Compiled) -> None:
    """It is whole, and nothing lies beside it."""
    Bundle.open(copy, expect=made.id).verify_all()
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize(
    ("count", "memory_bytes", "error", "words"),
    [
        (3000, None, BundleError, r"cannot write 'denoiser\.xml' for openvino: File too large"),
        (2**40, 48 * MIB, OutOfMemory, "[Mm]emory .*give it more|Give it more with --memory"),
    ],
    ids=["disk", "memory"],
)
def test_what_an_engine_lacks_is_said_and_the_old_bundle_stays(
    *,
    made: Compiled,
    copy: Path,
    place: Path,
    build: Build,
    count: int,
    memory_bytes: int | None,
    error: type[DenoiseRTError],
    words: str,
) -> None:
    """The form of the graph is larger than the limit, everything before it smaller."""
    shutil.move(place / "cache", place / "hidden")
    try:
        with largest_file(count), pytest.raises(error, match=words):
            build(copy, OpenVino("float32"), memory_bytes=memory_bytes)
        check_old(copy, made)
    finally:
        shutil.rmtree(place / "cache", ignore_errors=True)
        shutil.move(place / "hidden", place / "cache")


def test_a_report_that_fails_ends_the_compilers(place: Path, made: Compiled, copy: Path) -> None:
    """What a display raises in a thread of the crew comes out, and no engine goes on."""

    def show(progress: Progress) -> None:
        if "openvino" in progress.phase:
            raise RuntimeError("the display is gone")

    options = CompileOptions((OpenVino("float32"),))
    with pytest.raises(RuntimeError, match="the display is gone"):
        compile_bundle(place / "model.onnx", copy, card=VECTOR_CARD, options=options, progress=show)
    check_old(copy, made)
