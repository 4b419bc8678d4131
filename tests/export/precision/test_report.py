"""The report: worst layers first, what they cost, and what putting them back brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from denoisert.export.precision.budget import Attempt, Fit, fit
from denoisert.export.precision.comparison import Comparison, Measured
from denoisert.export.precision.layers import Layer
from denoisert.export.precision.report import PrecisionReport, report
from tests.export.precision.narrowed import block, trials_of


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("report")
    model = block()
    return Comparison(model, folder, "bfloat16", trials_of(model), folder)


@pytest.fixture(scope="module")
def whole(comparison: Comparison) -> PrecisionReport:
    return report(fit("denoiser", comparison), comparison, examined=2)


def test_the_worst_layers_are_put_back_one_by_one(
    whole: PrecisionReport, comparison: Comparison
) -> None:
    worst = [layer.name for layer in whole.fit.measured.layers]
    assert list(whole.restored) == worst[:2]
    for name, error in whole.restored.items():
        assert error == pytest.approx(comparison.measure({name}).error)


def test_the_document_has_a_row_for_each_layer(whole: PrecisionReport) -> None:
    document = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    rows = document["layers"]
    assert {row["name"] for row in rows} == {"shift", "q", "k", "c", "f", "h"}
    ratios = [row["snr_db"] for row in rows]
    assert ratios == sorted(ratios)
    assert sum(row["flops_share"] for row in rows) == pytest.approx(1.0)
    assert [row["error_if_float32"] is not None for row in rows] == [True] * 2 + [False] * 4
    assert document["component"] == "denoiser"
    assert document["error"] <= document["bound"] == 0.04
    assert document["attempts"] == [
        {"first": 0, "weight_bytes": 0, "error": document["error"]},
    ]


def test_the_table_says_the_same(whole: PrecisionReport) -> None:
    head, columns, *lines = whole.text().splitlines()
    assert head.startswith("denoiser in bfloat16: error ")
    assert "of at most 4e-02; 0 of 6 layers stay float32, 0 nodes because" in head
    assert columns.split() == ["SNR", "weights", "FLOP", "if", "float32", "layer"]
    names = [line.split()[-1] for line in lines]
    assert names == [layer.name for layer in whole.fit.measured.layers]
    assert [line.count("e-0") for line in lines] == [1, 1, 0, 0, 0, 0]


def made(snr_db: float) -> PrecisionReport:
    """A report by hand: two attempts, and a layer with that ratio."""
    layers = (Layer("a", "Conv", snr_db, 2_500_000, 30), Layer("b", "Gemm", 40.0, 1_000_000, 10))
    found = Fit(
        component="decoder",
        dtype="float16",
        bound=5e-3,
        keep=frozenset({"b", "c"}),
        out_of_range=frozenset({"c"}),
        attempts=(Attempt(0, 0, float("inf")), Attempt(1, 1_000_000, 1e-3)),
        measured=Measured({"picture": 1e-3}, layers),
    )
    return PrecisionReport(found, {"a": 5e-4})


def test_what_was_tried_is_shown_where_it_was_more_than_once() -> None:
    head, *attempts = made(30.0).text().splitlines()[:3]
    assert "error 1.0e-03 of at most 5e-03; 1 of 2 layers stay float32, 1 nodes because" in head
    assert attempts == [
        "  first 0 layers in float32: 0.0 MB of weights, error inf",
        "  first 1 layers in float32: 1.0 MB of weights, error 1.0e-03",
    ]


def test_a_line_has_cost_and_gain() -> None:
    lines = made(30.0).text().splitlines()
    assert lines[-2].split() == ["30.0", "dB", "2.50", "MB", "75.0", "%", "5.0e-04", "Conv", "a"]
    assert lines[-1].split() == ["40.0", "dB", "1.00", "MB", "25.0", "%", "Gemm", "b"]


@pytest.mark.parametrize("snr_db", [float("inf"), -float("inf")])
def test_what_is_no_number_is_none_in_the_document(snr_db: float) -> None:
    document = made(snr_db).to_dict()
    assert document["layers"][0]["snr_db"] is None
    assert document["attempts"][0]["error"] is None
    assert document["layers"][1]["is_float32"] is True
    json.dumps(document, allow_nan=False)


def test_layers_that_are_float32_already_are_not_put_back(
    comparison: Comparison, tmp_path: Path
) -> None:
    found = fit("denoiser", comparison)
    worst = found.measured.layers[0].name
    kept = Fit(
        component="denoiser",
        dtype="bfloat16",
        bound=found.bound,
        keep=frozenset({worst}),
        out_of_range=frozenset(),
        attempts=found.attempts,
        measured=found.measured,
    )
    assert worst not in report(kept, comparison, examined=1).restored
