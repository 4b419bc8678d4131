"""The roofline's formulas, and that its document is what they and the committed records give."""

from dataclasses import replace

import pytest

from bench import roofline
from bench.roofline import GPUS, OUT, measured, render
from bench.work import KERNELS, LATENTS, Work, case_name
from denoisert.runtime.measure.record import Machine, Record

N = 16384
BY_NAME = {kernel.name: kernel.work for kernel in KERNELS}
H100 = Machine("c", False, "2026-01-01", "NVIDIA H100 80GB HBM3", "550", "", 16, {})


def test_document_is_generated(tmp_path):
    again = tmp_path / "roofline.md"
    roofline.main(["--out", str(again)])
    assert again.read_text() == OUT.read_text(), "run `python -m bench.roofline`"
    head = OUT.read_text().splitlines()
    assert "`python -m bench.roofline`" in head[2]


def test_every_kernel_has_a_row_for_every_latent():
    text = render([], "x")
    for kernel in KERNELS:
        rows = [line for line in text.splitlines() if line.startswith(f"| {kernel.name} |")]
        assert len(rows) == 1 + 2 * len(LATENTS)
        assert all(line.endswith("not measured |") for line in rows[1:])


@pytest.mark.parametrize(
    ("name", "moved", "operations"),
    [
        ("philox normals", 4, 35),
        ("step euler cfg", 16, 8),
        ("step euler ancestral cfg", 16, 45),
        ("step dpmpp2m cfg", 24, 16),
        ("step unipc3 cfg", 36, 32),
        ("step euler cfg float32", 24, 8),
        ("step euler ancestral cfg float32", 24, 45),
        ("step dpmpp2m cfg float32", 32, 16),
        ("step unipc3 cfg float32", 44, 32),
        ("quantile 0.995", 4, 1),
        ("lanes gather", 8, 2),
    ],
)
def test_formulas_of_an_element(name, moved, operations):
    for slots in (1, 8):
        assert BY_NAME[name](N, slots) == (moved * N * slots, operations * N * slots, 0.0)


@pytest.mark.parametrize(("name", "vectors"), [("gram 2 vectors", 2), ("gram 4 vectors", 4)])
def test_gram_counts_products_and_sums_in_float64(name, vectors):
    work = BY_NAME[name](N, 3)
    pairs = vectors * (vectors + 1) // 2
    assert work.wide == (2 * pairs + 2 * vectors) * N * 3
    assert work.moved == pytest.approx(4 * vectors * N * 3, rel=0.01)


def test_rule_does_not_depend_on_the_latent():
    assert BY_NAME["rule cfg rescale"](N, 2) == BY_NAME["rule cfg rescale"](4 * N, 2)
    assert BY_NAME["rule cfg rescale"](N, 2).moved == 2 * 320


def test_floor_is_what_takes_longest():
    a100 = GPUS[0]
    assert a100.floor_us(Work(2039e9, 0.0)) == pytest.approx(1e6)
    assert a100.floor_us(Work(1.0, 19.5e12)) == pytest.approx(1e6)
    assert a100.floor_us(Work(1.0, 1.0, 9.7e12)) == pytest.approx(1e6)


def test_records_of_the_same_device_and_case_are_shown():
    name = case_name(KERNELS[0], N, 1)
    record = Record(name, "denoisert", "float32", "ms", 0.0042, 0.004, 0.005, (1, 9), H100)
    assert measured(name, [record]) == "H100 SXM 4.2 us"
    assert f"| {KERNELS[0].name} | 1 |" in render([record], "x")
    assert "H100 SXM 4.2 us" in render([record], "x")
    cpu = replace(record, machine=replace(H100, device="AMD EPYC"))
    others = [cpu, replace(record, case="x"), replace(record, unit="%")]
    assert measured(name, others) == "not measured"
    assert "4.2 us" not in render([replace(record, provider="torch")], "x")
