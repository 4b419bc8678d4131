"""What an engine is known by in the store: all that it depends on, and no place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from denoisert.export.targets import store as module
from denoisert.export.targets.job import EngineJob
from denoisert.export.targets.store import engine_digest
from denoisert.runtime.engines.profile import Profile


def job_at(folder: Path) -> EngineJob:
    return EngineJob("text", "openvino", folder / "graph.onnx", folder, folder / "text.xml")


def test_the_key_is_what_an_engine_depends_on(tmp_path: Path) -> None:
    job = dataclasses.replace(
        job_at(tmp_path / "a"), profiles=(Profile({"lanes": (1, 2, 16), "height": (8, 8, 8)}),)
    )
    known = engine_digest(job, b"graph", "1.0", ("weights/1", "weights/2"))
    assert len(known) == 64
    profiles = (Profile({"lanes": (1, 2, 8), "height": (8, 8, 8)}),)
    others = [
        engine_digest(job, b"another", "1.0", ("weights/1", "weights/2")),
        engine_digest(job, b"graph", "1.1", ("weights/1", "weights/2")),
        engine_digest(job, b"graph", "1.0", ("weights/1",)),
        *(
            engine_digest(dataclasses.replace(job, **change), b"graph", "1.0", ("weights/1",))
            for change in (
                {"profiles": profiles},
                {"profiles": profiles * 2},
                {"profiles": ()},
                {"capabilities": ("8.9",)},
                {"capabilities": ("8.9", "12.0")},
                {"target": "tensorrt-rtx"},
            )
        ),
    ]
    assert len({known, *others}) == len(others) + 1


def test_the_key_is_no_place(tmp_path: Path) -> None:
    """Nor the order in which axes and weights are named."""
    axes = {"lanes": (1, 2, 16), "height": (8, 8, 8)}
    jobs = [
        dataclasses.replace(
            job_at(tmp_path / folder), profiles=(Profile(dict(sorted(axes.items(), reverse=turn))),)
        )
        for folder, turn in (("a", False), ("b", True))
    ]
    weights = ("weights/1", "weights/2")
    first, second = (
        engine_digest(job, b"graph", "1.0", names)
        for job, names in zip(jobs, (weights, weights[::-1]), strict=True)
    )
    assert first == second


def test_the_key_follows_our_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, names = job_at(tmp_path / "a"), [name for name, _ in module._sources()]
    assert {"export/targets/child.py", "runtime/engines/profile.py"} <= set(names)
    known = engine_digest(job, b"graph", "1.0", ())
    changed = tmp_path / "child.py"
    changed.write_text("changed", encoding="utf-8")
    monkeypatch.setattr(module, "_sources", lambda: [("export/targets/child.py", changed)])
    assert engine_digest(job, b"graph", "1.0", ()) != known
