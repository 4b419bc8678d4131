"""The example of docs/probe.md prints what the page says."""

import re
import subprocess
import sys

from tests.layout.source import ROOT

PAGE = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says():
    code, output = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert not done.returncode, done.stderr
    assert done.stdout == output


def test_the_page_counts_the_tables():
    from tests.oracles import upstream

    assert f"Of the {len(upstream.files())} scheduler files" in PAGE
    assert f"{len(upstream.TABLES)} are tables" in PAGE
