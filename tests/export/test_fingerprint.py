"""The cache key: borders count, files count by content, and nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from denoisert.export import fingerprint
from denoisert.export.fingerprint import Fingerprint, add_compiler, compiler_version


def digest(*pieces: tuple[str, bytes]) -> str:
    made = Fingerprint()
    for label, content in pieces:
        made.add(label, content)
    return made.hexdigest()


def test_it_is_64_hexadecimal_digits_and_repeats() -> None:
    assert digest(("a", b"b")) == digest(("a", b"b"))
    assert len(digest()) == 64
    int(digest(), 16)


def test_borders_labels_and_order_count() -> None:
    found = {
        digest(("a", b"bc")),
        digest(("ab", b"c")),
        digest(("a", b"b"), ("c", b"")),
        digest(("", b"abc")),
        digest(("a", b"bc"), ("", b"")),
        digest(("x", b"1"), ("y", b"2")),
        digest(("y", b"2"), ("x", b"1")),
    }
    assert len(found) == 7


def test_a_file_counts_by_content_not_by_place(tmp_path: Path) -> None:
    digests = []
    for name, content in (("one", b"same"), ("two", b"same"), ("three", b"other")):
        (tmp_path / name).write_bytes(content)
        made = Fingerprint()
        made.add_file("weights", tmp_path / name)
        digests.append(made.hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_versions_and_our_own_source_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler() -> str:
        made = Fingerprint()
        add_compiler(made)
        return made.hexdigest()

    before = compiler()
    assert compiler() == before
    real = fingerprint.metadata.version
    monkeypatch.setattr(
        fingerprint.metadata, "version", lambda name: "0.0" if name == "torch" else real(name)
    )
    assert compiler() != before


def test_a_library_that_is_absent_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "LIBRARIES", ("no-such-distribution",))
    add_compiler(Fingerprint())
    assert compiler_version().startswith("denoisert ")


@pytest.mark.parametrize(
    "statement",
    [
        "import denoisert.export",
        "from denoisert.export import CompileOptions, Compiled, Progress, compile_bundle",
        "from denoisert.export.compile import find_source as f; f('digits', None).fingerprint()",
        "from argparse import *; from denoisert.export.cli import add; "
        "add(ArgumentParser().add_subparsers())",
    ],
)
def test_nothing_heavy_is_imported_before_something_is_built(statement: str) -> None:
    heavy = "{'torch', 'onnx', 'onnx_ir', 'onnxruntime', 'onnxscript', 'safetensors', 'tqdm'}"
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_the_public_face_is_complete() -> None:
    import denoisert.export as face

    for name in face.__all__:
        assert getattr(face, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'compile_everything'"):
        _ = face.compile_everything
