"""What the tests of the build service share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from denoisert.export.targets.job import EngineJob
from denoisert.runtime.engines.profile import Profile

ROOT = Path(__file__).parents[3]
PROFILES = (Profile({"lanes": (1, 2, 16)}), Profile({"lanes": (2, 2, 2), "height": (8, 16, 32)}))

JobOf = Callable[..., EngineJob]


@pytest.fixture
def job_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobOf:
    """`job_of("write")`: a job of the compiler for tests, which its process can import."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def make(action: str, component: str = "denoiser", target: str = "openvino") -> EngineJob:
        graph = tmp_path / f"{component}.onnx"
        graph.write_text(action, encoding="utf-8")
        out = tmp_path / "openvino-int8" / f"{component}.xml"
        out.parent.mkdir(exist_ok=True)
        return EngineJob(component, target, graph, tmp_path, out, PROFILES, ("8.9", "12.0"))

    return make
