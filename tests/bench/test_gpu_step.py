"""What the GPU run times: rows do what their formulas say, and everyone computes a whole step."""

import numpy as np
import pytest
import torch

from bench import optional
from bench.case import Setting, Size
from bench.failures import Failures
from bench.gpu import bench_kernels, eager, launch, makers, memory, scheduler, step, yardstick
from bench.gpu.memory import POISON, pitch_of, rows
from bench.gpu.pool import memory as pool_memory
from bench.gpu.rows import FIRST, SMALLEST, STEPS, of_solver, predictor_corrector
from bench.run import here
from bench.work import KERNELS, LANE, REGISTER, case_name, lanes
from denoisert.kernels.step import launch as step_launch
from denoisert.kernels.step import record as r
from denoisert.runtime.sampling.solvers import DPMpp2M, Euler, EulerAncestral
from tests.bench.fake_card import TICK_MS, fake_card

RECORD = r.Record(SMALLEST)
TABLES = {
    "step euler cfg": lambda: of_solver(Euler(), 64),
    "step dpmpp2m cfg": lambda: of_solver(DPMpp2M(), 64),
    "step unipc3 cfg": predictor_corrector,
    "step euler ancestral cfg": lambda: of_solver(EulerAncestral(), 64),
}
WORK = {kernel.name: kernel.work for kernel in KERNELS}
STEADY = range(FIRST, STEPS - 1)  # the last two rows keep less history
needs_interpreter = pytest.mark.skipif(
    torch.cuda.is_available(), reason="runs interpreted kernels on a CPU"
)


def masks_of(table, row):
    found = table.integers[row, RECORD.masks : RECORD.masks + RECORD.outputs]
    return [int(mask) for mask in found]


@pytest.mark.parametrize("name", TABLES)
def test_rows_read_and_write_what_the_formula_counts(name):
    table, form = TABLES[name](), SMALLEST
    for row in STEADY:
        stored = int(table.integers[row, r.STORED])
        written = [i for i in range(form.registers) if stored >> i & 1]
        masks = masks_of(table, row)
        used = [masks[form.register_row(i)] for i in written]
        read = np.bitwise_or.reduce(used)
        registers = sum(int(read) >> i & 1 for i in range(form.registers))
        predictions = sum(int(read) >> form.branch(b) & 1 for b in range(form.branches))
        assert predictions == table.integers[row, r.ASKS] == 2
        assert table.integers[row, r.FOLLOWED] == 1
        moved = REGISTER * (registers + len(written)) + LANE * (predictions + 2)
        assert WORK[name](1, 1).moved == moved, row
        terms = sum(mask.bit_count() for mask in used)
        draws = int(read) >> form.draw(0) & 1
        assert WORK[name](1, 1).flops == 2 * terms + 2 + 35 * draws, row


def test_launches_of_one_graph_stay_within_the_steady_rows():
    from bench.gpu import clock

    assert len(STEADY) >= clock.LAUNCHES + clock.WARM_UP


@needs_interpreter
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", TABLES)
def test_a_launch_computes_the_row(name, dtype):
    torch.manual_seed(3)
    elements, slots, form = 64, 2, SMALLEST
    table = TABLES[name]()
    made = pool_memory("cpu", elements, slots, table, dtype)
    before = made.space.registers.clone().double().numpy()[..., :elements]
    outputs, inputs, times = made.buffers
    predicted = outputs.double().numpy().reshape(slots, form.branches, elements)
    step_launch.step(made.space)
    after = made.space.registers.numpy()[..., :elements]
    matrix = table.floats[FIRST, : RECORD.operation_args].reshape(RECORD.outputs, -1)
    stored = int(table.integers[FIRST, r.STORED])
    for register in range(form.registers):
        row = matrix[form.register_row(register)].astype(np.float64)
        wanted = before[:, register]
        if stored >> register & 1:
            wanted = np.einsum("k,ske->se", row[: form.registers], before)
            branches = row[form.registers : form.guided]
            wanted = wanted + np.einsum("b,sbe->se", branches, predicted)
            noise = row[form.draw(0)]
            if noise:  # slots differ in nothing but their numbers; the kernel's tests check noise
                drawn = (after[:, register] - wanted) / noise
                assert 0.5 < drawn.std() < 1.5
                wanted = wanted + noise * drawn
        np.testing.assert_allclose(after[:, register], wanted, rtol=1e-5, atol=1e-4)
    scales = table.floats[FIRST + 1, RECORD.scales :][: form.branches]
    fed = inputs.double().numpy().reshape(slots, form.branches, elements)
    rtol = 1e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(fed, after[:, :1] * scales[:, None], rtol=rtol, atol=1e-3)
    assert not torch.isnan(times).any()
    assert made.space.states[:, r.COUNTER].tolist() == [FIRST + 1] * slots
    assert not made.space.states[:, r.STATUS].any()


@needs_interpreter
def test_reset_starts_again():
    made = step.multistep("cpu", 80, 1)
    launched, reset = made
    cells = dict(zip(launched.__code__.co_freevars, launched.__closure__, strict=True))
    space = cells["made"].cell_contents.space
    launched()
    first = space.registers.clone()
    launched()
    assert not torch.equal(first[..., :80], space.registers[..., :80])
    reset()
    launched()
    torch.testing.assert_close(space.registers, first, equal_nan=True)


@needs_interpreter
def test_rule_and_threshold_find_their_numbers():
    elements, slots = 70, 2
    made = step.vectors("cpu", elements, slots)
    cells = dict(zip(made.run.__code__.co_freevars, made.run.__closure__, strict=True))
    made.run()
    out, counts = cells["out"].cell_contents, cells["counts"].cell_contents
    assert counts.tolist() == [2] * slots
    assert torch.isfinite(out[:, :2, :elements]).all()
    assert torch.isnan(out[..., elements:]).all(), "nothing is written behind a row"
    made = step.argument("cpu", elements, slots)
    cells = dict(zip(made.run.__code__.co_freevars, made.run.__closure__, strict=True))
    made.run()
    assert cells["ratios"].cell_contents.tolist() == pytest.approx([0.995] * slots)
    assert torch.isfinite(cells["out"].cell_contents[:, :elements]).all()


def test_rows_have_poison_behind_them():
    found = rows(2, 5, "cpu", "float16")
    assert found.stride(0) == pitch_of(5) == 64
    assert torch.isfinite(found).all()
    assert np.isnan(POISON)
    assert memory.Launch(print).reset() is None


@pytest.mark.parametrize("kernel", [kernel.name for kernel in KERNELS])
def test_every_kernel_has_makers(kernel):
    found = makers.makers(kernel, "cpu")
    assert next(iter(found)) == "denoisert"
    assert {"torch", "torch.compile"} <= {*found}
    assert ("scheduler" in found) == (kernel.startswith("step") and "unipc3" not in kernel)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("noun", ["euler", "ancestral", "multistep"])
def test_a_schedulers_step_is_a_whole_step(noun, dtype):
    made = getattr(scheduler, noun)("cpu", 40, 2, dtype)
    torch.manual_seed(1)
    after, inputs = made.run()
    torch.manual_seed(1)
    again, _ = made.run()
    assert torch.equal(after, again), "every launch is the same step"
    assert after.shape == (2, 40)
    assert inputs.shape == (4, 40)
    assert after.dtype == getattr(torch, dtype)
    assert torch.isfinite(inputs).all()


@pytest.mark.parametrize(("noun", "registers"), [("euler", 1), ("multistep", 2), ("corrector", 4)])
def test_formulas_write_what_the_rows_write(noun, registers):
    function, arguments = eager.step(getattr(eager, noun), registers, "float16")("cpu", 30, 2)
    *written, inputs = function(*arguments)
    assert len(written) == {"euler": 1, "multistep": 2, "corrector": 3}[noun]
    assert all(part.dtype == torch.float32 and part.shape == (2, 30) for part in written)
    assert inputs.dtype == torch.float16
    torch.testing.assert_close(inputs[0].float(), written[0], rtol=2e-3, atol=2e-3)


def test_formulas_compute_what_the_kernels_do():
    function, arguments = eager.gram(3)("cpu", 50, 2)
    products, sums = function(*arguments)
    assert (products.shape, sums.shape) == ((2, 3, 3), (2, 3))
    function, arguments = eager.quantile("cpu", 1000, 2)
    torch.testing.assert_close(
        function(*arguments), arguments[0].abs().quantile(0.995, dim=1), rtol=0, atol=0
    )
    function, arguments = eager.lanes("cpu", 20, 3)
    assert function(*arguments).shape == (6, 20)
    function, arguments = eager.rule("cpu", 100, 2)
    weights = function(*arguments)
    wanted = 0.7 / np.hypot(4.0, 3.0) + 0.3  # cond and uncond independent and of one size
    np.testing.assert_allclose(weights.numpy(), [[4 * wanted, -3 * wanted]] * 2, rtol=1e-6)


def test_bandwidth_is_that_of_the_copy():
    copy = yardstick.Copy(0.010, 0.020)
    found = yardstick.against(1e8, 0.0125, 0.025, copy)
    assert found["percent_of_copy"] == 80.0
    assert found["cold_percent_of_copy"] == 80.0
    assert found["gb_per_s"] == 8000.0
    assert found["size"] == "memory decides"
    assert yardstick.against(1e6, 1.0, 1.0, copy)["size"] == "caches and launches decide"


def test_the_largest_size_comes_first_and_is_beyond_64_mb():
    names = [case.name for case in bench_kernels.cases(Size.FULL)]
    assert names[0] == case_name(KERNELS[0], 4838400, 1)
    assert WORK["step euler cfg"](*bench_kernels.SIZES[0]).moved > 64e6
    assert lanes(1, 1).moved == 8


@needs_interpreter
def test_a_full_case_goes_through_on_a_card(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.gpu.clock.FLUSHED", 8)
    monkeypatch.setattr("bench.gpu.clock.LAUNCHES", 2)
    monkeypatch.setattr("bench.gpu.clock.WARM_UP", 1)
    monkeypatch.setattr("bench.gpu.clock.REPEATS", (2, 3))
    monkeypatch.setattr(bench_kernels, "SIZES", [(48, 1)])
    monkeypatch.setattr(bench_kernels, "COUNTED", [(48, 1)])
    monkeypatch.setattr(
        bench_kernels, "launches", lambda run, device, n, per: {f"launches_{per}": n}
    )
    setting = Setting(Size.FULL, here(), tmp_path, "denoisert")
    with fake_card(monkeypatch):
        for case in bench_kernels.cases(Size.FULL):
            (record,) = case.records(setting)
            assert record.median == pytest.approx(TICK_MS / 2), "a graph of two launches"
            assert record.extra["cold_ms"] == pytest.approx(TICK_MS)
            assert record.extra["launched_ms"] == pytest.approx(TICK_MS / 2)
            assert record.extra["percent_of_copy"] > 0
            assert record.extra["launches_a_call"] == 1
            assert record.dtype == (
                "float16" if "step" in case.name and "float32" not in case.name else "float32"
            )


def test_other_providers_are_measured_when_one_fails(monkeypatch, tmp_path):
    def broken(device, elements, slots):
        raise TypeError("planted")

    monkeypatch.setitem(makers.OTHERS, "lanes gather", (broken, eager.lanes))
    case = next(c for c in bench_kernels.cases(Size.TINY) if "lanes gather" in c.name)
    records = case.records(Setting(Size.TINY, here(), tmp_path))
    assert [next(records).provider for _ in range(2)] == ["torch", "torch.compile"]
    with pytest.raises(RuntimeError, match="denoisert failed"):
        next(records)
    assert launch.lanes("cpu", 8, 1).reset() is None


def test_failures_are_told_with_their_place(capsys):
    failures = Failures("a case")
    failures.told()
    with failures.of("x"):
        raise KeyError("planted")
    with failures.of("y"):
        pass
    said = capsys.readouterr().out
    assert "a case: x failed: 'planted'" in said
    assert "test_gpu_step.py" in said
    with pytest.raises(RuntimeError, match="a case: x failed"):
        failures.told()


def test_a_competitor_is_offered_where_its_library_is():
    assert optional.where("json", lambda: {"a": 1}) == {"a": 1}
    assert optional.where("no_such_library", lambda: {"a": 1 / 0}) == {}
