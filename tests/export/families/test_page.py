"""docs/models.md says what the closed table, the records and the families' own messages say."""

import pytest

from bench.case import Setting, Size
from bench.export.models import sd15
from bench.export.record import CHECKED, TRACED, measured
from bench.run import BUNDLE, here
from denoisert.export.families.table import FAMILIES, PIPELINES, family_of
from tests.export.families import folders
from tests.export.families.bundles import LATENT, PIXELS
from tests.export.families.measure import ENGINES, records
from tests.export.families.page import (
    OUT,
    REFUSED,
    ROOM,
    WHOLE,
    full_lines,
    messages,
    page,
    paragraphs,
)

WRITTEN = OUT.read_text(encoding="utf-8")
RECORDS = records()


def test_the_page_is_the_one_that_make_models_writes():
    """But for whole models, which are measured elsewhere, and the wording of refusals."""
    found, truth = (text.split(WHOLE)[0] for text in (WRITTEN, page()))
    assert found == truth, "run `make models` and commit docs/models.md"


def test_every_family_and_pipeline_of_the_table_is_there():
    for name in PIPELINES:
        assert f"`{name}`" in WRITTEN
    for family in FAMILIES:
        assert paragraphs(family)[0] in WRITTEN


def test_every_family_was_compared():
    known = {family_of(each["pipeline"]) for each in RECORDS.values()}
    missing = [type(family).__name__ for family in FAMILIES if family not in known]
    assert not missing, "run `python -m tests.export.families.measure NAME` for a folder of each"


@pytest.mark.parametrize("found", RECORDS.values(), ids=list(RECORDS))
def test_what_was_recorded_keeps_the_bounds_of_the_tests(found):
    assert found["name"] in folders.FAMILIES
    assert set(found["errors"]) == set(ENGINES)
    for each in found["errors"].values():
        assert 0 < each["latents"] <= LATENT
        assert 0 <= each["pixels"] <= PIXELS


def test_whole_models_are_those_of_the_newest_records(tmp_path):
    setting = Setting(Size.FULL, here(), BUNDLE)
    figures = {"weight_bytes": 2**30, "anonymous_bytes": 3 * 2**30, "peak_bytes": 4 * 2**30}
    seconds = dict.fromkeys((*TRACED, *CHECKED), 7.0)
    figures |= {"seconds": seconds, "cpu_seconds": seconds, "graph_bytes": 2048}
    for day, nodes in (("2026-01-01", 10), ("2026-01-02", 1234)):
        told = figures | {"nodes": nodes, "parity": 3e-6}
        line = measured(sd15(), told, setting).line()
        (tmp_path / f"x-export-{day}.jsonl").write_text(f"{line}\n")
    *_, row = full_lines(tmp_path)
    assert row.startswith("| SD1.5 UNet, 512x512 | 14 | 1234 | 1.00 | 3.00 | 3.0e-06 | ")
    (nothing,) = full_lines(tmp_path / "nowhere")
    assert nothing == "Nothing is recorded yet."


def test_messages_are_read_from_the_code():
    found = list(messages(ROOM / "stable_diffusion.py"))
    assert any(each.startswith("unet has ... = ...: an input that no part") for each in found)
    assert len(WRITTEN.split(REFUSED)[1].splitlines()) > 40
