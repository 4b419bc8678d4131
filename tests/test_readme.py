"""What the README shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from denoisert.runtime.measure.against import latest, read

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_runs(
    text_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert EXAMPLE is not None
    code = EXAMPLE.group(1)
    assert "demo/emoji.bundle" in code
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code.replace("demo/emoji.bundle", str(text_bundle)), "README.md", "exec"), names)
    assert (tmp_path / "apple.png").stat().st_size > 0
    assert "20 steps" in capsys.readouterr().out
    pictures = names["pictures"]
    assert isinstance(pictures, list)
    assert len(pictures) == 4


def test_the_example_starts_before_line_30() -> None:
    assert EXAMPLE is not None
    assert README[: EXAMPLE.start()].count("\n") < 30


def test_it_is_short_and_its_links_exist() -> None:
    assert README.count("\n") <= 120
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in README
        assert f"\n{command}:" in makefile


def test_its_figures_of_a_tick_are_those_of_the_newest_records() -> None:
    files = (ROOT / "bench" / "results").glob("*.jsonl")
    records = latest(record for path in files for record in read(path)).values()
    ticks = [each for each in records if each.case.startswith("runtime/tick digits")]
    newest = max(each.machine.date[:10] for each in ticks)
    ticks = [each for each in ticks if each.machine.date[:10] == newest]
    quiet = [each.median for each in ticks if not each.extra.get("noise_us")]
    noisy = [each.median for each in ticks if each.extra.get("noise_us")]
    machine = ticks[0].machine
    words = " ".join(README.split())
    assert f"a tick costs {min(quiet):.1f} to {max(quiet):.1f} % outside the engine" in words
    assert f"and {min(noisy):.1f} to {max(noisy):.1f} % with a solver that draws noise" in words
    assert f"({machine.device}, {machine.cores} cores, {newest})" in words
