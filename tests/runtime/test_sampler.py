"""Requests completed by the card, and the cache of their tables."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    EDICT,
    Begin,
    Bounded,
    Clip,
    DPMpp2M,
    DropLast,
    Euler,
    Heun,
    Inverse,
    Karras,
    Latents,
    Levels,
    Noised,
    NoiseReplay,
    Request,
    ResolutionShifted,
    Respaced,
    Rounded,
    Shifted,
    Start,
    Stretched,
    Timesteps,
    Trailing,
    Truncated,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampler import CACHED_TABLES, Sampler, TableCache, compile_table
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow
from tests.runtime.bundles import NOISE_SAMPLER, NOISE_TRAINING
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table

CARD = perceptron().card(sampler=Recommended(DDIM(0.5), Trailing(), 7, CFG(3.0)))


def test_what_a_request_leaves_out_comes_from_the_card():
    assert Sampler.of(Request(3), CARD) == Sampler(DDIM(0.5), Trailing(), 7, CFG(3.0))


def test_what_a_request_says_wins():
    start = Start(np.zeros(60), 0.25)
    spacing = Karras(sigma_min=0.1, sigma_max=10.0)
    request = Request(
        3, steps=4, solver=Euler(), schedule=spacing, guidance=Unguided(), start=start
    )
    wanted = Sampler(Euler(), spacing, 4, Unguided(), 0.25, given=("source",))
    assert Sampler.of(request, CARD) == wanted
    assert wanted != replace(wanted, noised=Noised.ALREADY)


def test_the_table_is_the_fold_of_its_parts():
    table = compile_table(Sampler(DPMpp2M(), Trailing(), 6, CFG(2.0)), CARD)
    assert table.fingerprint == flow_table(DPMpp2M(), 6, CFG(2.0), shift=1.0).fingerprint
    noise = replace(CARD, training=NOISE_TRAINING, sampler=NOISE_SAMPLER)
    assert compile_table(Sampler.of(Request(3), noise), noise).fingerprint != table.fingerprint


def test_strength_cuts_the_grid():
    whole = Sampler(Euler(), Trailing(), 8, Unguided())
    part = replace(whole, strength=0.5, given=("source",))
    assert part.grid(CARD).steps == 4
    assert np.array_equal(part.grid(CARD).alpha, whole.grid(CARD).alpha[4:])
    assert compile_table(part, CARD).externals == ("source",)


@pytest.mark.parametrize(
    ("spacing", "steps"),
    [
        (Timesteps((1.0, 0.4)), 2),
        (Levels((9.0, 3.0, 1.0, 0.0)), 3),
        (Shifted(Timesteps((1.0, 0.4, 0.1)), 2.0), 3),
        (Stretched(Rounded(Timesteps((1.0, 0.4)))), 2),
        (ResolutionShifted(Timesteps((1.0, 0.4))), 2),
        (DropLast(Timesteps((1.0, 0.4, 0.1))), 2),
        (Truncated(Levels((9.0, 3.0, 0.0)), 4.0), 2),
        (Respaced((3, 5)), 8),
        (Respaced(), 7),
        (Trailing(), 7),
    ],
    ids=str,
)
def test_a_pinned_list_brings_its_number_of_steps(spacing, steps):
    assert Sampler.of(Request(3, schedule=spacing), CARD).steps == steps
    assert Sampler.of(Request(3, schedule=spacing, steps=5), CARD).steps == 5


def test_a_pinned_list_with_another_number_of_steps_is_refused():
    sampler = Sampler.of(Request(3, schedule=Timesteps((1.0, 0.4)), steps=5), CARD)
    with pytest.raises(InvalidInput, match=r"Timesteps\(times=\(1.0, 0.4\).*pins 2 steps, and 5"):
        compile_table(sampler, CARD)


def test_a_truncated_spacing_says_what_it_starts_from():
    spacing = Truncated(Karras(sigma_min=0.1, sigma_max=10.0), 2.0)
    with pytest.raises(InvalidInput, match=r"on Truncated.*Pass start=Start\(latent, 1.0\)"):
        compile_table(Sampler(Euler(), spacing, 6, Unguided()), CARD)
    with pytest.raises(InvalidInput, match=r"strength 0.5 was given. Pass Start\(latent, 1.0\)"):
        Sampler(Euler(), spacing, 6, Unguided(), 0.5, given=("source",)).grid(CARD)
    whole = Sampler(Euler(), spacing, 6, Unguided(), 1.0, given=("source",))
    grid = whole.grid(CARD)
    assert (grid.noise_gain, grid.source_gain) == (0.0, 1.0)
    assert compile_table(whole, CARD).externals == ("source",)
    noise = replace(spacing, begin=Begin.NOISE)
    assert Sampler(Euler(), noise, 6, Unguided()).grid(CARD).source_gain == 0.0


def test_previews_make_another_table_with_a_tape():
    cache = TableCache(CARD)
    plain = Sampler(Heun(), Trailing(), 6, CFG(2.0))
    table, shown = cache.table(plain), cache.table(replace(plain, previews=2))
    assert table.fingerprint == flow_table(Heun(), 6, CFG(2.0), shift=1.0).fingerprint
    assert shown.fingerprint == flow_table(Heun(), 6, CFG(2.0), shift=1.0, previews=2).fingerprint
    assert (table.form.taps, shown.form.taps) == (0, 1)
    assert cache.table(replace(plain, previews=2)) is shown
    assert cache.table(replace(plain, previews=3)) is not shown


def test_previews_are_asked_for_beside_the_request():
    assert Sampler.of(Request(3), CARD, 4) == Sampler(DDIM(0.5), Trailing(), 7, CFG(3.0), None, 4)
    for wrong in (-1, 1.5, "2"):
        with pytest.raises(InvalidInput, match=r"previews .* whole number"):
            Sampler.of(Request(3), CARD, wrong)


def test_equal_samplers_share_a_table():
    cache = TableCache(CARD)
    first = cache.table(Sampler(Euler(), Trailing(), 5, CFG(2.0)))
    assert cache.table(Sampler(Euler(), Trailing(), 5, CFG(2.0))) is first
    for other in (
        Sampler(DDIM(), Trailing(), 5, CFG(2.0)),
        Sampler(Euler(), Trailing(), 6, CFG(2.0)),
        Sampler(Euler(), Trailing(), 5, CFG(2.5)),
        Sampler(Euler(), Trailing(), 5, CFG(2.0), 0.5, given=("source",)),
    ):
        assert cache.table(other) is not first


def test_the_cache_keeps_the_most_recently_asked():
    cache = TableCache(CARD)
    tables = [cache.table(sampler(i)) for i in range(CACHED_TABLES)]
    assert cache.table(sampler(0)) is tables[0]
    cache.table(sampler(CACHED_TABLES))
    assert cache.table(sampler(0)) is tables[0]
    assert cache.table(sampler(1)) is not tables[1]


def sampler(index):
    return Sampler(Euler(), Trailing(), 1, CFG(2.0 + index))


def test_several_threads_may_ask_the_cache():
    cache, failures = TableCache(CARD), []

    def ask(seed):
        rng = np.random.default_rng(seed)
        try:
            for index in rng.integers(0, CACHED_TABLES + 20, 300):
                table = cache.table(sampler(int(index)))
                assert table.matrix.shape == cache.table(sampler(0)).matrix.shape
        except (KeyError, RuntimeError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize(
    ("steps", "fits"), [(4, True), (2, True), (1, True), (3, False), (8, False)]
)
def test_only_the_trained_times_are_asked(steps, fits):
    training = Training(Parametrisation.FLOW, Flow(), True, (1.0, 0.75, 0.5, 0.25))
    card = replace(CARD, training=training)
    asked = Sampler(Euler(), Trailing(), steps, Unguided())
    if fits:
        assert compile_table(asked, card).stages == steps
        return
    with pytest.raises(InvalidInput, match="trained at"):
        compile_table(asked, card)


def test_a_trained_time_is_known_whatever_its_rounding():
    trained = (999.0, 749.0, 499.0, 249.0)
    training = replace(NOISE_TRAINING, distilled=True, timesteps=trained)
    card = perceptron(time_dtype="int64").card(training=training, sampler=NOISE_SAMPLER)
    alpha, sigma = training.schedule.at(np.array(trained))
    levels = Levels((*(sigma / alpha).tolist(), 0.0))
    told = compile_table(Sampler(DDIM(), levels, 4, Unguided()), card).model_time[1:, 0]
    assert not np.array_equal(told, trained)  # or the test says nothing
    assert np.array_equal(told.astype(np.float32), trained)
    foreign = Levels((levels.levels[0], 1.0, 0.0))
    with pytest.raises(InvalidInput, match=r"model time 353\.89; it was trained at"):
        compile_table(Sampler(DDIM(), foreign, 2, Unguided()), card)


def test_a_network_of_whole_times_is_asked_at_whole_times():
    card = perceptron(time_dtype="int64").card(training=NOISE_TRAINING, sampler=NOISE_SAMPLER)
    table = compile_table(Sampler(DDIM(), Trailing(), 7, Unguided()), card)
    assert np.array_equal(table.model_time, np.round(table.model_time))
    with pytest.raises(InvalidInput, match=r"takes whole numbers \(int64\).*Trailing"):
        compile_table(Sampler(DDIM(), Karras(), 7, Unguided()), card)


def test_solvers_that_start_from_a_latent_want_one():
    sampler = Sampler(Inverse(Euler()), Trailing(), 4, Unguided())
    with pytest.raises(InvalidInput, match=r"the request has none\. Pass start=Start"):
        compile_table(sampler, CARD)
    table = compile_table(replace(sampler, strength=1.0, given=("source",)), CARD)
    assert table.externals == ("source",)
    assert table.draws.sum() == 0


@pytest.mark.parametrize("strength", [None, 0.5, 1.0])
def test_a_replay_needs_its_buffer_and_no_latent(strength):
    """Nor does it matter whether the grid would begin with one."""
    for spacing in (Trailing(), Truncated(Levels((9.0, 3.0, 1.0, 0.5, 0.0)), 5.0)):
        steps, share = 4, None if strength is None or spacing != Trailing() else strength
        sampler = Sampler(NoiseReplay(), spacing, steps, Unguided(), share)
        with pytest.raises(InvalidInput, match=r"reads 'recorded'.*buffers=\{'recorded': array"):
            compile_table(sampler, CARD)
        table = compile_table(replace(sampler, given=("recorded",)), CARD)
        assert table.externals == ("recorded",)
        assert table.draws.sum() == 0
        assert table.stages == round(steps * (share or 1.0))


def test_what_the_solver_does_not_read_is_refused():
    euler = Sampler(Euler(), Trailing(), 4, Unguided(), 0.5, given=("source", "recorded", "seed"))
    with pytest.raises(
        InvalidInput, match=r"gives 'recorded', 'seed', which Euler\(\).*no buffers"
    ):
        compile_table(euler, CARD)
    replay = replace(euler, solver=NoiseReplay(), given=("source", "recorded"))
    with pytest.raises(InvalidInput, match=r"gives 'source', which NoiseReplay.*reads 'recorded'"):
        compile_table(replay, CARD)
    pair = replace(euler, solver=EDICT(begin=Latents.PAIR), strength=0.7, given=("source", "scond"))
    with pytest.raises(InvalidInput, match=r"reads 'second', which the request does not give"):
        compile_table(pair, CARD)


def test_at_full_strength_a_flow_keeps_nothing_of_a_latent():
    whole = Sampler(Euler(), Trailing(), 4, Unguided(), 1.0, given=("source",))
    assert compile_table(whole, CARD).externals == ()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_latent_that_is_noised_already_is_taken_as_it_is(strength):
    clean = Sampler(Euler(), Trailing(), 4, Unguided(), strength, given=("source",))
    grid, other = clean.grid(CARD), replace(clean, noised=Noised.ALREADY).grid(CARD)
    assert (other.noise_gain, other.source_gain) == (0.0, 1.0)
    assert np.array_equal(grid.sigma, other.sigma)
    table = compile_table(replace(clean, noised=Noised.ALREADY), CARD)
    assert table.externals == ("source",)
    assert table.draws.sum() == 0


def test_a_bound_of_the_solver_is_the_tables():
    bounded = Sampler(Bounded(Euler(), Clip(-0.5, 0.5)), Trailing(), 4, Unguided())
    assert compile_table(bounded, CARD).operation[1:, 0].tolist() == [1] * 4
    plain = replace(bounded, solver=Euler())
    assert not compile_table(plain, CARD).operation.any()
