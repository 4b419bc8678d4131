"""Tables of runs that start from a picture: none of its steps, all of them, or a part kept."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    Begin,
    Bounded,
    Clip,
    DPMpp2M,
    Euler,
    FlowEuler,
    Inpainted,
    KnownNoise,
    Request,
    Start,
    Trailing,
    Truncated,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.loop.asks import row_asks
from denoisert.runtime.sampler import Sampler, compile_table
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, ZeroTerminalSNR
from tests.runtime.networks import NULL, perceptron
from tests.runtime.spies import alone, work

TOY = perceptron()
CARD = TOY.card(sampler=Recommended(DDIM(), Trailing(), 6, CFG(3.0)))
ELEMENTS = TOY.shape.layout.elements
LATENT = np.random.default_rng(3).standard_normal((1, ELEMENTS)).astype(np.float32)
MASK = np.ones((6, 5), bool)
SHOWN = tuple(
    ConditionInput(source.value, source, "float32", (channels, 6, 5))
    for source, channels in ((Source.MASK, 1), (Source.EXTERNAL_PICTURE, 2))
)
REPAINTS = replace(CARD, conditions=(*CARD.conditions, *SHOWN))


def table_of(start, card=CARD, previews=0, **fields):
    return compile_table(Sampler.of(Request(3, start=start, **fields), card, previews), card)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    return TOY.denoiser(tmp_path_factory.mktemp("start"))


@pytest.mark.parametrize("previews", [0, 2])
def test_strength_0_gives_the_latent_back_and_asks_nobody(denoiser, previews):
    table = table_of(Start(LATENT, 0.0), previews=previews)
    assert (table.stages, table.nfe, row_asks(table)) == (0, 0, ((),))
    each = work(table, externals={"source": LATENT}, previews=previews)
    found = alone(denoiser, each).latent
    assert np.array_equal(found.view(np.uint32), LATENT[0].view(np.uint32))


def test_at_strength_0_solver_and_mask_have_nothing_to_do():
    plain = table_of(Start(LATENT, 0.0)).fingerprint
    assert table_of(Start(LATENT, 0.0, mask=MASK), solver=DPMpp2M()).fingerprint == plain
    assert table_of(Start(LATENT, 0.1)).fingerprint != plain  # one step at least


@pytest.mark.parametrize(
    "training",
    [
        CARD.training,
        Training(Parametrisation.V, ZeroTerminalSNR(ScaledLinear())),
    ],
    ids=["flow", "zero terminal snr"],
)
def test_strength_1_is_noise_alone_where_the_first_alpha_is_0(training, denoiser):
    """The source is not even read, and every bit is that of a run without a start."""
    card = replace(CARD, training=training)
    table, plain = table_of(Start(LATENT, 1.0), card), table_of(None, card)
    assert table.externals == ()
    assert table.fingerprint == plain.fingerprint
    found = [alone(denoiser, work(each, (3, NULL), seed=8)).latent for each in (table, plain)]
    assert np.array_equal(found[0].view(np.uint32), found[1].view(np.uint32))


def test_strength_1_keeps_what_alpha_lets_through_elsewhere():
    card = replace(CARD, training=Training(Parametrisation.EPS, ScaledLinear()))
    table = table_of(Start(LATENT, 1.0), card)
    assert table.externals == ("source",)
    assert 0 < table.matrix[0, table.form.register_row(0), table.form.external(0)] < 0.1


def test_a_mask_inpaints_with_the_solver_that_is_asked_for():
    start = Start(LATENT, mask=MASK)
    assert Sampler.of(Request(3, start=start), CARD).solver == Inpainted(DDIM())
    for solver in (Inpainted(Euler(), KnownNoise.FRESH), Bounded(Inpainted(DDIM()), Clip())):
        assert Sampler.of(Request(3, start=start, solver=solver), CARD).solver == solver
    table = table_of(start)
    assert set(table.externals) == {"source", "mask", "kept"}
    assert table.fingerprint == table_of(start, solver=Inpainted(DDIM())).fingerprint


def test_a_mask_starts_with_noise_alone_or_half_way():
    def gains(table):
        source = table.form.external(table.externals.index("source"))
        return table.matrix[0, table.form.register_row(0), [source, table.form.draw(0)]].tolist()

    assert gains(table_of(Start(LATENT, mask=MASK))) == [0.0, 1.0]
    assert gains(table_of(Start(LATENT, 0.5, mask=MASK))) == [0.5, 0.5]


def test_a_network_that_is_shown_the_mask_repaints_by_itself():
    start = Start(LATENT, mask=MASK)
    sampler = Sampler.of(Request(3, start=start), REPAINTS)
    assert (sampler.solver, sampler.given) == (DDIM(), ())
    assert table_of(start, REPAINTS).fingerprint == table_of(None, CARD).fingerprint
    half = table_of(Start(LATENT, 0.5, mask=MASK), REPAINTS)
    assert half.fingerprint == table_of(Start(LATENT, 0.5), CARD).fingerprint
    both = table_of(start, REPAINTS, solver=Inpainted(DDIM()))
    assert "kept" in both.externals


def test_an_inpainted_solver_without_a_mask():
    with pytest.raises(InvalidInput, match="repaints part of a picture and the request has no"):
        table_of(Start(LATENT), solver=Inpainted(FlowEuler()))
    with pytest.raises(InvalidInput, match="starts from a given latent"):
        table_of(None, solver=Inpainted(FlowEuler()))


def test_a_path_with_a_source_of_its_own_has_no_strength_0():
    spacing = Truncated(Trailing(), 1.0, Begin.SOURCE)
    with pytest.raises(InvalidInput, match=r"strength 0\.0 was given"):
        table_of(Start(LATENT, 0.0), schedule=spacing)
