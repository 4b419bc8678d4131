"""Which branches a stage evaluates and how they combine."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.kernels.rule import RULES
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.guidance.cfg import CFG_RESCALE
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from tests.runtime.sampling.drafts import LAYOUT, draws
from tests.runtime.sampling.programs import angles, ddim, exact

EPS, V = Parametrisation.EPS, Parametrisation.V
STEPS = 6


def run(guidance, parametrisation=EPS, operation=None, answer=None):
    table = fold(replace(ddim(angles(STEPS), 0.3), bound=operation), parametrisation, guidance)
    return execute(table, LAYOUT, answer or exact(parametrisation), draws(1))


def guided(weight, parametrisation=EPS):
    """A network that answers with the guided output itself; weight(model_time) is g."""
    raw = exact(parametrisation)

    def answer(latent, model_time, condition):
        cond, uncond = (raw(latent, model_time, which) for which in (0, 1))
        return uncond + weight(model_time) * (cond - uncond)

    return answer


@pytest.mark.parametrize("scale", [7.5, 1.5, 0.4, -1.0])
def test_cfg_is_uncond_plus_g_times_the_difference(scale):
    found = run(CFG(scale))
    truth = run(Unguided(), answer=guided(lambda t: scale))
    np.testing.assert_allclose(found.latent, truth.latent, rtol=0, atol=1e-11)
    assert found.evaluations == 2 * STEPS


@pytest.mark.parametrize("operation", [None, Clip(-0.5, 0.5, rederive=True)])
def test_scale_one_is_no_guidance_bit_for_bit(operation):
    one, none = run(CFG(1.0), V, operation), run(Unguided(), V, operation)
    np.testing.assert_array_equal(one.latent, none.latent)
    assert one.evaluations == none.evaluations == STEPS


def test_scale_zero_evaluates_uncond_alone():
    asked = set()
    raw = exact(EPS)

    def spy(latent, model_time, condition):
        asked.add(condition)
        return raw(latent, model_time, condition)

    found = run(CFG(0.0), answer=spy)
    assert asked == {1}
    assert found.evaluations == STEPS
    truth = run(Unguided(), answer=lambda latent, t, _: raw(latent, t, 1))
    np.testing.assert_array_equal(found.latent, truth.latent)


def test_an_interval_guides_inside_it_and_skips_uncond_outside():
    grid = angles(STEPS)
    level = [grid[step].sigma_ve for step in range(STEPS)]
    low, high = level[4], level[1]  # low excluded, high included
    inside = {float(grid.model_time[step]) for step in (1, 2, 3)}
    found = run(CFG(3.0, interval=(low, high)))
    truth = run(Unguided(), answer=guided(lambda t: 3.0 if t in inside else 1.0))
    np.testing.assert_allclose(found.latent, truth.latent, rtol=0, atol=1e-11)
    assert found.evaluations == STEPS + 3


def test_an_interval_without_upper_end_includes_pure_noise():
    points = [angles(4, first=np.pi / 2)[step] for step in range(4)]
    points[0] = points[0]._replace(alpha=0.0)
    weights = CFG(2.0, interval=(0.5, np.inf)).branches(points).weights
    assert weights[:, 0].tolist() == [2.0 if p.sigma_ve > 0.5 else 1.0 for p in points]
    assert weights[0, 0] == 2.0


def test_scales_may_differ_by_stage():
    scales = (5.0, 1.0, 2.0, 0.0, 3.0, 1.5)
    at = dict(zip(angles(STEPS).model_time[:-1].tolist(), scales, strict=True))
    found = run(CFG(scales))
    truth = run(Unguided(), answer=guided(lambda t: at[t]))
    np.testing.assert_allclose(found.latent, truth.latent, rtol=0, atol=1e-11)
    assert found.evaluations == 2 * STEPS - 2


@pytest.mark.parametrize("phi", [0.3, 1.0])
@pytest.mark.parametrize("parametrisation", [EPS, V])
def test_rescale_pulls_the_spread_back_to_that_of_cond(parametrisation, phi):
    raw, plain = exact(parametrisation), guided(lambda t: 4.0, parametrisation)

    def rescaled(latent, model_time, condition):
        whole = plain(latent, model_time, condition)
        ratio = raw(latent, model_time, 0).std() / whole.std()
        return phi * ratio * whole + (1 - phi) * whole

    found = run(CFG(4.0, rescale=phi), parametrisation)
    truth = run(Unguided(), parametrisation, answer=rescaled)
    np.testing.assert_allclose(found.latent, truth.latent, rtol=0, atol=1e-11)
    other = run(CFG(4.0), parametrisation)
    assert np.abs(found.latent - other.latent).max() > 1e-2


def test_rescale_and_clip_follow_one_another():
    """The rule first, then the operation on what it says about D."""
    found = run(CFG(4.0, rescale=0.5), V, Clip(-0.5, 0.5))
    assert np.isfinite(found.latent).all()
    assert max(np.abs(page).max() for page in found.tapes[0].values()) <= 0.5


def test_rescale_is_a_rule_only_where_it_acts():
    table = fold(ddim(angles(4)), EPS, CFG((3.0, 1.0, 0.0, 2.0), rescale=0.6))
    assert table.rule.tolist() == [0, CFG_RESCALE, 0, 0, CFG_RESCALE]
    assert table.rule_args[1, :2].tolist() == [3.0, 0.6]
    assert not fold(ddim(angles(4)), EPS, CFG(3.0)).rule.any()
    assert RULES[CFG_RESCALE].__name__ == "cfg_rescale"


@pytest.mark.parametrize("guidance", [Unguided(), CFG(1.0), CFG(2.0), CFG(2.0, rescale=0.1)])
def test_weights_sum_to_one(guidance):
    points = [angles(5)[step] for step in range(5)]
    branches = guidance.branches(points)
    np.testing.assert_allclose(branches.weights.sum(axis=1), 1.0, rtol=1e-15)
    assert branches.weights.shape == (5, len(branches.conditions))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": float("nan")}, "finite number"),
        ({"scale": float("inf")}, "finite number"),
        ({"scale": (2.0, float("nan"))}, "finite number"),
        ({"scale": ()}, "finite number"),
        ({"rescale": 1.2}, "outside 0 to 1"),
        ({"rescale": -0.1}, "outside 0 to 1"),
        ({"interval": (2.0, 1.0)}, "low < high"),
        ({"interval": (-1.0, 1.0)}, "low < high"),
        ({"rescale": 0.7}, "beside the scale 1.0, where one branch runs alone"),
        ({"scale": (1.0, 0.0), "rescale": 0.7}, "Leave rescale out"),
        ({"interval": (0.0, 1.0)}, "Leave interval out"),
    ],
)
def test_values_outside_their_range_are_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        CFG(**arguments)


def test_as_many_scales_as_stages():
    with pytest.raises(InvalidInput, match="2 guidance scales for 6 stages"):
        run(CFG((1.0, 2.0)))
