"""What lies in a draft only for a while: compilers' graphs, and weights that no graph reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from denoisert.export.bundle import Draft, write_weights


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    return Draft(tmp_path / "a.bundle")


def weights_of(draft: Draft) -> list[str]:
    names = [
        write_weights(draft.path("weights"), {"values": np.full(9, value, np.float32)})[0]
        for value in range(3)
    ]
    return [f"weights/{name}" for name in names]


def below(draft: Draft) -> set[str]:
    places = draft.folder.rglob("*")
    return {path.relative_to(draft.folder).as_posix() for path in places if path.is_file()}


def test_weights_that_nobody_reads_go(draft: Draft) -> None:
    first, second, third = weights_of(draft)
    draft.write("graphs/denoiser.onnx", b"graph")
    draft.drop_unused({first, third, "engines/openvino/denoiser.bin"})
    assert below(draft) == {first, third, "graphs/denoiser.onnx"}
    draft.drop_unused({third})
    assert below(draft) == {third, "graphs/denoiser.onnx"}
    assert second not in below(draft)


def test_weights_that_are_read_stay(draft: Draft) -> None:
    used = set(weights_of(draft))
    draft.drop_unused(used)
    assert below(draft) == used


def test_a_draft_without_weights_has_none_to_drop(draft: Draft) -> None:
    draft.write("graphs/denoiser.onnx", b"graph")
    draft.drop_unused(())
    assert below(draft) == {"graphs/denoiser.onnx"}


def interrupted(draft: Draft) -> None:
    with draft.scratch() as place:
        (place / "deep").mkdir()
        (place / "deep" / "graph.onnx").write_bytes(b"graph")
        raise KeyboardInterrupt


def test_scratch_goes_however_its_block_ends(draft: Draft) -> None:
    with draft.scratch() as place:
        (place / "graph.onnx").write_bytes(b"graph")
        assert place.is_relative_to(draft.folder)
        assert place.stat().st_mode & 0o777 == 0o700
    assert not below(draft)
    with pytest.raises(KeyboardInterrupt):
        interrupted(draft)
    assert not list(draft.folder.iterdir())
