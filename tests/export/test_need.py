"""What a compilation needs, and the refusal where there is less: numbers, then the command."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisert.export import compile_bundle
from denoisert.export.need import (
    LIBRARIES_BYTES,
    SESSION,
    SPARE_BYTES,
    Need,
    Part,
    check_room,
    need_of,
)
from denoisert.export.room import Room
from denoisert.runtime.errors import BundleError, OutOfMemory

GIB = 2**30
UNET = Part("unet", 4 * GIB, activation_bytes=GIB)
TEXT = Part("text_encoder", 3 * GIB, copied_bytes=3 * GIB)
COMMAND = "import sys; from denoisert.runtime.cli import main; sys.exit(main())"


def test_parts_come_one_after_the_other_and_all_are_kept() -> None:
    need = need_of([TEXT, UNET])
    peak = int(SESSION * 4 * GIB) + GIB
    assert need == Need(LIBRARIES_BYTES + peak, 7 * GIB + SPARE_BYTES, "unet")
    assert need_of([UNET]).memory_bytes == need.memory_bytes
    assert need_of([Part("a", 100, copied_bytes=500)]).memory_bytes == LIBRARIES_BYTES + 500


def test_enough_is_enough() -> None:
    check_room(Need(5 * GIB, 4 * GIB, "unet"), Room(5 * GIB, 4 * GIB))


def test_too_little_memory_is_refused_with_all_numbers() -> None:
    room = Room(5 * GIB, 60 * GIB, "left under RLIMIT_AS, ulimit -v")
    with pytest.raises(OutOfMemory) as caught:
        check_room(Need(13 * GIB // 2, 4 * GIB, "unet"), room)
    assert str(caught.value) == (
        "compiling needs about 6.5 GiB of memory, for unet, and 4.0 GiB of disk; there are 5.0 GiB "
        "of memory (left under RLIMIT_AS, ulimit -v) and 60.0 GiB of disk. Make 1.5 GiB more "
        "memory free: end other programs, raise that bound, choose a smaller --size, or compile "
        "on a larger machine."
    )


def test_too_little_disk_is_refused_with_all_numbers() -> None:
    with pytest.raises(BundleError) as caught:
        check_room(Need(GIB, 4 * GIB, "unet"), Room(5 * GIB, 40 * 2**20))
    assert str(caught.value) == (
        "compiling needs about 1.0 GiB of memory, for unet, and 4.0 GiB of disk; there are 5.0 GiB "
        "of memory (free on this machine) and 40.0 MiB of disk. Free 4.0 GiB more disk, or write "
        "the bundle elsewhere."
    )


def test_memory_comes_first_where_both_are_short() -> None:
    with pytest.raises(OutOfMemory, match=r"Make 1\.0 GiB more memory.*Free 2\.0 GiB more disk"):
        check_room(Need(2 * GIB, 3 * GIB, "unet"), Room(GIB, GIB))


def hollow(path: Path, source: Path, scale: Callable[[list[int]], list[int]]) -> None:
    """A weight file whose tensors have other shapes, and of whose data nothing was ever written."""
    length = struct.unpack("<Q", source.read_bytes()[:8])[0]
    entries = json.loads(source.read_bytes()[8 : 8 + length])
    entries.pop("__metadata__", None)
    end = 0
    for entry in entries.values():
        entry["shape"] = scale(entry["shape"])
        start, end = end, end + 4
        for size in entry["shape"]:
            end = start + (end - start) * size
        entry["data_offsets"] = [start, end]
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + end)


@pytest.fixture(scope="module")
def giant(tiny_text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose UNet has 2 TB by its header: no machine that runs this has as much."""
    folder = tmp_path_factory.mktemp("giant") / "giant"
    name = "diffusion_pytorch_model.safetensors"
    for path in tiny_text_folder.rglob("*"):
        place = folder / path.relative_to(tiny_text_folder)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif place != folder / "unet" / name:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    parameters = (tiny_text_folder / "unet" / name).stat().st_size // 4
    factor = 2**39 // parameters
    hollow(
        folder / "unet" / name, tiny_text_folder / "unet" / name, lambda s: [s[0] * factor, *s[1:]]
    )
    return folder


def test_a_model_that_no_machine_holds_is_refused_before_it_is_read(
    giant: Path, tmp_path: Path
) -> None:
    words = r"needs about \d{4}\.\d GiB of memory, for unet, and \d{4}\.\d GiB of disk; there are"
    with pytest.raises(OutOfMemory, match=words):
        compile_bundle(giant, tmp_path / "a.bundle")
    assert not list(tmp_path.iterdir())


def limited(memory_bytes: int, *words: object) -> subprocess.CompletedProcess[str]:
    """The command in a process that may not have more address space."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))

    return subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        preexec_fn=bound,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_command_refuses_a_model_under_a_limit_of_the_process(
    tiny_text_folder: Path, tmp_path: Path
) -> None:
    done = limited(GIB, "compile", tiny_text_folder, "-o", tmp_path / "a.bundle")
    assert done.returncode == 1
    assert done.stderr.startswith("denoisert: OutOfMemory: compiling needs about")
    assert "left under RLIMIT_AS, ulimit -v" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir()), "nothing was begun"
