"""Solvers tried on an oracle and on a bundle: their cost, their error, their refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from denoisert.runtime import Runtime
from denoisert.runtime.errors import InvalidInput, NonFinite
from denoisert.runtime.measure.accuracy import Skipped, is_random, most_accurate, trials
from denoisert.runtime.measure.oracles import oracle
from denoisert.runtime.measure.subject import BundleSubject, OracleSubject, rms
from denoisert.runtime.request import Request
from denoisert.runtime.sampling.oracle import Gaussian, sliced_wasserstein
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.schedules import Final, Flow, Karras, Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, DPMpp2M, Euler, FlowEuler, FlowHeun, Heun
from tests.runtime.cli.test_bench import STORED


def subject(name="mixture", schedule=None, spacing=None, **changes):
    denoiser, width = oracle(name)
    told = {"points": 24, "seed": 1, "fine": 200} | changes
    return OracleSubject(denoiser, width, schedule or Linear(), spacing or Karras(), **told)


@dataclass(frozen=True)
class Broken:
    """A solver whose table cannot be made, by an error of its own."""

    error: Exception
    order: int = 9
    evaluations_per_step: int = 1

    def rows(self, grid) -> Rows:
        raise self.error


def test_a_run_costs_what_its_table_does():
    found = list(trials(subject(), "heun", Heun(), [1, 6, 7, 8, 9, 20]))
    assert [(run.steps, run.evaluations, run.nfe) for run in found] == [
        (1, 1, 1),
        (3, 5, 5),
        (4, 7, 7),
        (5, 9, 9),
        (10, 19, 19),
    ]
    assert {run.is_random for run in found} == {False}


def test_a_cost_below_one_step_is_a_refusal():
    (found,) = trials(subject(spacing=Karras(final=Final.LAST)), "heun", Heun(), [1])
    assert found == Skipped("heun", 1, "a step takes up to 2 evaluations")


def test_steps_of_unequal_cost_fill_what_may_be_spent():
    """One step of many asks 5 times; few steps are refused, as by a restart in the middle."""

    @dataclass(frozen=True)
    class Uneven:
        order: int = 1
        evaluations_per_step: int = 5

        def rows(self, grid) -> Rows:
            if grid.steps < 3:
                raise InvalidInput("too few steps")
            program = Program(grid, registers=1)
            (x,), denoised = program.basis.registers, program.basis.denoised
            for step in range(grid.steps):
                for _ in range(4 if step == 0 else 0):
                    program.stage(grid[0], [x], ends=0)
                program.stage(grid[step], [denoised])
            return program.rows()

    found = list(trials(subject(), "uneven", Uneven(), [4, 6, 12]))
    assert found[0].reason == "a step takes up to 5 evaluations"
    assert found[1].reason == "too few steps"
    assert (found[2].steps, found[2].evaluations) == (8, 12)


def test_errors_fall_and_sets_come_together():
    found = list(trials(subject(), "2m", DPMpp2M(lower_order_below=0), [16, 32, 64]))
    for one, other in pairwise(found):
        assert other.rms < one.rms
        assert other.distance < one.distance
    # Pairing by noise is one transport of many; the lines are random, so their mean is not exact.
    assert all(run.distance <= 1.2 * run.rms for run in found)
    assert found[-1].rms < 0.01


def test_on_gaussian_data_the_error_is_the_closed_form():
    """One step of Euler from pure noise is the mean; the flow keeps mean and deviation."""
    flow = subject("gaussian", Flow(), Trailing(), points=50)
    (found,) = trials(flow, "euler", Euler(), [1])
    noise = np.random.default_rng([1, 0]).standard_normal(50)
    assert found.rms == pytest.approx(np.sqrt(np.mean((0.5 * noise) ** 2)), rel=1e-6)
    assert found.distance == pytest.approx(found.rms, rel=1e-6)


def test_noise_is_told_and_leaves_the_set_right():
    random = subject(points=2000)
    (found,) = trials(random, "ddim(eta=1.0)", DDIM(1.0), [60])
    assert found.is_random
    assert found.rms > 0.5
    assert found.distance < 0.15
    assert is_random(random.table(DDIM(1.0), 4))
    assert not is_random(random.table(DDIM(), 4))


def test_samples_start_from_the_same_noise_whatever_the_solver():
    flow = subject(schedule=Flow(), spacing=Trailing())
    np.testing.assert_allclose(flow.samples(Euler(), 3), flow.samples(FlowEuler(), 3), rtol=1e-12)
    other = subject(schedule=Flow(), spacing=Trailing(), seed=2)
    assert rms(other.samples(Euler(), 3) - flow.samples(Euler(), 3)) > 0.1


def test_the_truth_is_followed_once():
    calls = []

    @dataclass(frozen=True)
    class Counted:
        inner: Gaussian

        def estimates(self, latent, alpha, sigma):
            calls.append(alpha)
            return self.inner.estimates(latent, alpha, sigma)

    spied = OracleSubject(
        Counted(Gaussian(0.0, 1.0)), 1, Linear(), Karras(), points=2, seed=0, fine=50
    )
    first = spied.truth(Euler(), 4)
    count = len(calls)
    assert count == 4 * 50 + 1
    assert spied.truth(Heun(), 9) is first
    assert len(calls) == count


def test_a_refusal_is_kept_with_its_reason():
    (found,) = trials(subject(), "flow_heun", FlowHeun(), [8])
    assert isinstance(found, Skipped)
    assert (found.solver, found.evaluations) == ("flow_heun", 8)
    assert "linear path" in found.reason


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no such grid"),
        NonFinite("no such grid"),
        ZeroDivisionError("no such grid"),
        ValueError("no such grid"),
        np.linalg.LinAlgError("no such grid"),
    ],
)
def test_errors_of_mathematics_do_not_end_the_comparison(error):
    assert list(trials(subject(), "x", Broken(error), [4, 5])) == [
        Skipped("x", 4, "no such grid"),
        Skipped("x", 5, "no such grid"),
    ]


def test_faults_of_programs_do():
    with pytest.raises(KeyError):
        list(trials(subject(), "x", Broken(KeyError("mistake")), [4]))


def test_what_is_not_finite_is_no_outcome():
    @dataclass(frozen=True)
    class Wild:
        def estimates(self, latent, alpha, sigma):
            denoised = 1e200 * latent**3
            return denoised, (latent - alpha * denoised) / sigma

    wild = OracleSubject(Wild(), 1, Linear(), Karras(), points=2, seed=0, fine=1)
    with np.errstate(all="ignore"):
        (found,) = trials(wild, "euler", Euler(), [6])
    assert "not finite" in found.reason


def test_the_reference_is_deterministic_of_highest_order_and_cheapest():
    known = {
        "broken": Broken(InvalidInput("no")),
        "heun": Heun(),
        "2m": DPMpp2M(),
        "ddim": DDIM(),
    }
    assert most_accurate(subject(), known, 20) == ("2m", known["2m"])
    with pytest.raises(InvalidInput, match="a draws noise"):
        most_accurate(subject(), {"a": DDIM(1.0)}, 20)
    with pytest.raises(InvalidInput, match="b: no"):
        most_accurate(subject(), {"b": Broken(InvalidInput("no"))}, 20)
    with pytest.raises(InvalidInput, match="no solver"):
        most_accurate(subject(), {}, 20)


@pytest.fixture(scope="module")
def runtime():
    with Runtime.open(STORED, threads=1) as opened:
        yield opened


def requests():
    return [Request(label, seed=5 + label, images=2) for label in (0, 2)]


def test_a_bundle_is_compared_with_its_own_many_steps(runtime):
    tried = BundleSubject(runtime, requests(), FlowHeun(), 40)
    found = list(trials(tried, "heun", FlowHeun(), [4, 16, 80]))
    assert [(run.evaluations, run.nfe) for run in found] == [(3, 6), (15, 30), (79, 158)]
    assert found[0].rms > found[1].rms > found[2].rms == found[2].distance == 0.0
    ours = np.concatenate(
        [result.flat for result in runtime.generate([
            Request(label, seed=5 + label, images=2, steps=2, solver=FlowHeun())
            for label in (0, 2)
        ])]
    )  # fmt: skip
    truth = tried.truth(Euler(), 1)
    assert truth.shape == (4, 16)
    assert found[0].rms == pytest.approx(np.sqrt(np.mean((ours - truth) ** 2)), rel=1e-6)
    half = tried.samples(FlowHeun(), 20)
    assert tried.uncertainty() == rms(half - truth) > 0.0
    again = [replace(each, seed=each.seed ^ 2**63) for each in requests()]
    other = BundleSubject(runtime, again, FlowHeun(), 40).samples(FlowHeun(), 20)
    assert tried.spread() == sliced_wasserstein(other, truth) > 10 * tried.uncertainty()


def test_a_request_that_fails_is_a_refusal(runtime, monkeypatch):
    tried = BundleSubject(runtime, requests(), Euler(), 4)

    @dataclass
    class Failed:
        error: Exception

    monkeypatch.setattr(Runtime, "generate", lambda *_: [Failed(NonFinite("stage 3 is NaN"))])
    assert list(trials(tried, "euler", Euler(), [3])) == [Skipped("euler", 3, "stage 3 is NaN")]


@pytest.mark.parametrize(("name", "width"), [("mixture", 2), ("gaussian", 1), ("finite", 2)])
def test_oracles_are_exact_denoisers(name, width):
    denoiser, found = oracle(name)
    assert found == width
    latent = np.random.default_rng(3).standard_normal(4 * width)
    denoised, noise = denoiser.estimates(latent, 0.8, 0.6)
    np.testing.assert_allclose(0.8 * denoised + 0.6 * noise, latent, rtol=1e-12)


def test_an_unknown_oracle_is_refused():
    with pytest.raises(InvalidInput, match="mixture, gaussian or finite"):
        oracle("delphi")
