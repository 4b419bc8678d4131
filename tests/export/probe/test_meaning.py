"""A wrong reading of the network's output leaves the path of the exact network."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.probe import Convention, Start, probe_function, probe_scheduler
from denoisert.export.probe.convention import convention
from denoisert.export.probe.meaning import OFF_PATH, fits, straying
from denoisert.export.probe.probe import registers
from denoisert.export.probe.scheduler import SchedulerSource
from denoisert.export.probe.source import Marks
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.grid import Point
from denoisert.runtime.sampling.parametrisation import Parametrisation, estimates
from tests.export.probe import samplers
from tests.export.probe.cases import FREE, Case, Torch

EPS, V, X0, FLOW, EDM = (Parametrisation(name) for name in ("eps", "v", "x0", "flow", "edm"))
READ = [
    ("ddim", {**FREE}, EPS),
    ("ddim", {**FREE, "prediction_type": "v_prediction"}, V),
    ("ddim", {**FREE, "prediction_type": "sample"}, X0),
    ("euler_discrete", {"prediction_type": "v_prediction"}, V),
    ("heun_discrete", {}, EPS),
    ("dpmsolver_multistep", {"prediction_type": "v_prediction"}, V),
    ("unipc_multistep", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}, FLOW),
    ("flow_match_euler_discrete", {}, FLOW),
    ("edm_euler", {}, EDM),
]


def strays(name, config, reading, steps=10):
    source = SchedulerSource(lambda: Case(name, 0, config).build(steps), convention=reading)
    _, realisation = registers(source)
    return straying(realisation, source.marks(), source.meaning, Start.NOISE)


@pytest.mark.parametrize(("name", "config", "kind"), READ, ids=lambda item: str(item)[:30])
def test_the_right_reading_stays_and_the_others_leave(name, config, kind):
    assert strays(name, config, Convention(kind)) < 1e-3
    assert strays(name, config, Convention(kind, gain=-1.0)) > OFF_PATH


@pytest.mark.parametrize("name", ["flow_match_euler_discrete", "flow_match_heun_discrete"])
def test_a_scheduler_is_refused_if_neither_sign_fits(name):
    def build():
        scheduler = Case(name, 0).build(6)
        inner = scheduler.step
        scheduler.step = lambda output, time, x: inner(6.0 * output, time, x)
        return scheduler

    with pytest.raises(ExportError, match=r"would not sample that picture. Give its `convention`"):
        probe_scheduler(build)
    given = probe_scheduler(build, convention=Convention(FLOW))
    assert given.error < 1e-12
    assert given.straying > OFF_PATH


def test_a_flow_is_straight():
    def marks(alpha):
        return [Marks(Point(alpha, 0.4, 0.0), 1)]

    assert fits(Convention(FLOW), marks(0.6))
    assert not fits(Convention(FLOW), marks(0.7))
    assert fits(Convention(V), marks(0.7))


def test_stochastic_samplers_stay_on_the_path_too():
    for config, step in (({**FREE}, {"eta": 1.0}), ({**FREE}, {"eta": 0.3})):
        probed = probe_scheduler(
            lambda config=config: Case("ddim", 0, config).build(10),
            options={**step, "generator": Torch()},
        )
        assert probed.straying < 1e-12


def test_upstreams_uneven_linspace_steps_stray_a_little():
    """DDIM steps back by 1000 // N whatever the spacing is; with linspace it misses its times."""
    source = {"timestep_spacing": "linspace", **FREE}
    found = strays("ddim", source, Convention(EPS), 12)
    assert 0.01 < found < OFF_PATH


def test_a_sampler_that_forgets_its_input_is_on_the_path():
    probed = probe_function(samplers.three_draws, [8.0, 2.0, 0.5, 0.0])
    assert probed.straying == 0.0


def test_conventions_of_configurations():
    def of(name, **config):
        return convention(Case(name, 0, config).build(4))

    assert of("ddim") == Convention(EPS)
    assert of("ddim", prediction_type="sample") == Convention(X0)
    assert of("flow_match_heun_discrete") == Convention(FLOW)
    assert of("edm_euler") == Convention(EDM)
    assert of("edm_euler", prediction_type="v_prediction") == Convention(EDM, -1.0)
    assert of("edm_euler", sigma_data=1.0) == Convention(V, -1.0, 1.0)
    assert of("edm_dpmsolver_multistep", sigma_data=0.8) == Convention(V, -1.0, 0.8)


@pytest.mark.parametrize("kind", [EPS, V, FLOW])
def test_levels_are_solved_from_the_clean_estimate(kind):
    at = Convention(kind)
    for alpha, sigma in ((0.8, 0.6), (0.3, 0.7), (0.05, 0.95)):
        (p, q), _ = estimates(kind, alpha, sigma)
        np.testing.assert_allclose(at.solve(p, q), (alpha, sigma), rtol=1e-12)


def test_levels_are_left_open_where_the_estimate_does_not_say():
    assert Convention(X0).solve(0.0, 1.0) is None
    assert Convention(EPS).solve(0.0, 1.0) is None
    assert replace(Convention(V), gain=-1.0).solve(0.6, -0.8) is None
