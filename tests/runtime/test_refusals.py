"""An impossible request is refused with one clear error before any engine runs."""

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    Condition,
    Euler,
    FlowEuler,
    Karras,
    Leading,
    Limits,
    Linspace,
    Request,
    Start,
    Trailing,
)
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import (
    DenoiseRTError,
    InvalidInput,
    InvalidTable,
    OutOfMemory,
    OutOfProfile,
)
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, ScaledLinear
from tests.runtime.bundles import NOISE_SAMPLER, NOISE_TRAINING, compiled, watched
from tests.runtime.networks import CLASSES, perceptron

LATENT = np.zeros((2, 6, 5))
LABELS = tuple(f"class {i}" for i in range(CLASSES))


@pytest.fixture(scope="module")
def open_toy(tmp_path_factory):
    """Opens a watched runtime on a compiled toy, each kind compiled once."""
    made = {}

    def opened(kind):
        if kind not in made:
            toy, card = KINDS[kind]
            made[kind] = compiled(toy, tmp_path_factory.mktemp("toy"), **card)
        return watched(made[kind])

    return opened


def label(null):
    entry = ConditionInput("label", Source.CLASS_LABEL, "int64", (), CLASSES, null, LABELS)
    return (entry,)


def flow_training(timesteps):
    return Training(Parametrisation.FLOW, Flow(), distilled=True, timesteps=timesteps)


EIGHT = StateLayout((Part("latent", (8,)),))
KINDS = {
    "flow": (perceptron(), {}),
    "no null": (perceptron(), {"conditions": label(None)}),
    "noise": (
        perceptron(time_gain=1e-3),
        {"training": NOISE_TRAINING, "sampler": NOISE_SAMPLER},
    ),
    "whole times": (
        perceptron(time_dtype="int64", time_gain=0.1),
        {"training": NOISE_TRAINING, "sampler": NOISE_SAMPLER},
    ),
    "distilled": (
        perceptron(),
        {
            "training": flow_training((1.0, 0.75, 0.5, 0.25)),
            "sampler": Recommended(Euler(), Trailing(), 4),
        },
    ),
    "vector": (perceptron(layout=EIGHT), {}),
    "clean estimate": (
        perceptron(time_gain=1e-3),
        {"training": Training(Parametrisation.X0, ScaledLinear()), "sampler": NOISE_SAMPLER},
    ),
}

IMPOSSIBLE = [
    ("flow", {"condition": 10}, InvalidInput, "knows 0 to 9"),
    ("flow", {"condition": -1}, InvalidInput, "knows 0 to 9"),
    ("flow", {"condition": "cat"}, InvalidInput, "knows 0 to 9"),
    ("flow", {"condition": None}, InvalidInput, "class None"),
    ("flow", {"condition": True}, InvalidInput, "class True"),
    ("flow", {"condition": {"lable": 3}}, InvalidInput, "'lable'.* unknown"),
    ("flow", {"condition": {}}, InvalidInput, "'label'.* missing"),
    (
        "flow",
        {"condition": Condition(3, negative=99), "guidance": CFG(2.0)},
        InvalidInput,
        "class 99",
    ),
    ("no null", {"condition": "class 11"}, InvalidInput, "one of class 0, class 1"),
    ("no null", {"condition": 3, "guidance": CFG(2.0)}, InvalidInput, "no null condition"),
    ("flow", {"condition": 3, "size": (5, 6)}, OutOfProfile, "5x6 asked for.*compiled for 6x5"),
    ("vector", {"condition": 3, "size": (1, 8)}, OutOfProfile, "state of shape"),
    ("flow", {"condition": 3, "limits": Limits(1000)}, OutOfMemory, "may use 1000 bytes"),
    ("flow", {"condition": 3, "limits": Limits(0)}, OutOfMemory, "Raise the limit"),
    ("flow", {"condition": 3, "start": Start(np.zeros(7))}, InvalidInput, r"shape \(7,\)"),
    (
        "flow",
        {"condition": 3, "start": Start(LATENT.transpose(1, 2, 0))},
        InvalidInput,
        r"the state is \[\(2, 6, 5\)\]",
    ),
    ("flow", {"condition": 3, "start": Start(LATENT * np.nan)}, InvalidInput, "NaN or infinite"),
    ("flow", {"condition": 3, "start": Start(LATENT + 1e39)}, InvalidInput, "do not fit float32"),
    ("flow", {"condition": 3, "start": Start(LATENT + 1j)}, InvalidInput, "real numbers"),
    ("flow", {"condition": 3, "start": Start("noise")}, InvalidInput, "real numbers"),
    ("flow", {"condition": 3, "start": Start([[1.0], [2.0, 3.0]])}, InvalidInput, "not an array"),
    ("flow", {"condition": 3, "schedule": Leading()}, InvalidInput, "start below pure noise"),
    ("flow", {"condition": 3, "schedule": Karras()}, InvalidInput, "Give sigma_min and sigma_max"),
    ("flow", {"condition": 3, "schedule": Linspace(), "steps": 1}, InvalidInput, "Trailing"),
    (
        "flow",
        {"condition": 3, "guidance": CFG((1.0, 2.0)), "steps": 5},
        InvalidInput,
        "2 guidance scales for 5 stages",
    ),
    ("noise", {"condition": 3, "solver": FlowEuler()}, InvalidInput, "Solvers that fit it: DDIM"),
    ("whole times", {"condition": 3, "schedule": Karras()}, InvalidInput, "takes whole numbers"),
    ("distilled", {"condition": 3, "steps": 5}, InvalidInput, "trained at .*0.75"),
    ("distilled", {"condition": 3, "schedule": Linspace()}, InvalidInput, "recommended steps"),
]


@pytest.mark.parametrize(("kind", "fields", "error", "message"), IMPOSSIBLE)
def test_impossible(open_toy, kind, fields, error, message):
    runtime, spy = open_toy(kind)
    request = Request(**fields)
    for ask in (runtime.plan, runtime.generate, lambda one: runtime.generate([Request(3), one])):
        with pytest.raises(error, match=message) as caught:
            ask(request)
        assert isinstance(caught.value, DenoiseRTError)
    assert spy.runs == []
    assert spy.binds == []
    assert not runtime.generate(Request(3)).error
    runtime.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"steps": 10**9},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": True},
        {"seed": 0.5},
        {"images": 0},
        {"solver": Euler},
        {"solver": "euler"},
        {"schedule": Karras},
        {"guidance": 4.0},
        {"size": (0, 16)},
    ],
    ids=repr,
)
def test_requests_that_cannot_even_be_made(fields):
    with pytest.raises(InvalidInput):
        Request(3, **fields)


@pytest.mark.parametrize("make", [lambda: CFG(float("nan")), lambda: Start(LATENT, -0.1)])
def test_values_that_cannot_even_be_made(make):
    with pytest.raises(InvalidInput):
        make()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("flow", {"condition": {"label": 3}, "size": (6, 5)}),
        ("flow", {"condition": np.int32(3), "limits": Limits(10**9)}),
        ("flow", {"condition": Condition(3, negative=99)}),  # not asked without guidance
        ("no null", {"condition": "class 3", "guidance": CFG(1.0)}),
        ("no null", {"condition": Condition("class 3", "class 4"), "guidance": CFG(2.0)}),
        ("whole times", {"condition": 3, "solver": DDIM(0.5), "steps": 7}),
        ("noise", {"condition": 3, "schedule": Karras(), "steps": 7}),
        ("distilled", {"condition": 3}),
        ("distilled", {"condition": 3, "steps": 2}),
        ("distilled", {"condition": 3, "start": Start(LATENT, 0.5)}),
        ("vector", {"condition": 3, "start": Start([1.0] * 8)}),
        ("clean estimate", {"condition": 3}),
    ],
)
def test_their_possible_neighbours_run(open_toy, kind, fields):
    runtime, spy = open_toy(kind)
    result = runtime.generate(Request(seed=2**64 - 1, **fields))
    assert np.isfinite(result.flat).all()
    assert len(spy.runs) == runtime.plan(Request(**fields)).stages
    runtime.close()


def test_a_point_where_the_output_says_nothing_is_refused(tmp_path):
    """A noise network at alpha = 0, where its answer does not determine the clean latent."""
    training = Training(Parametrisation.EPS, Flow())
    sampler = Recommended(DDIM(), Karras(5.0, 0.05, 8.0), 5)
    runtime, spy = watched(compiled(perceptron(), tmp_path, training=training, sampler=sampler))
    with pytest.raises(InvalidTable, match="does not determine"):
        runtime.generate(Request(3, schedule=Trailing()))
    assert spy.runs == []
    runtime.close()


def test_start_strength_is_the_share_of_steps_that_run(open_toy):
    runtime, _ = open_toy("flow")
    rng = np.random.default_rng(3)
    latent = rng.standard_normal((2, 6, 5))
    for strength, steps in ((0.1, 1), (0.5, 5), (0.94, 9), (1.0, 10)):
        plan = runtime.plan(Request(3, steps=10, start=Start(latent, strength)))
        assert (plan.stages, plan.nfe) == (steps, steps)
    near, far, noise = (
        runtime.generate(Request(3, seed=1, steps=10, **start)).latents["latent"][0]
        for start in ({"start": Start(latent, 0.1)}, {"start": Start(latent, 1.0)}, {})
    )
    assert np.array_equal(far, noise)  # alpha is 0 at the first point of a flow path
    assert np.abs(near - latent).mean() < np.abs(far - latent).mean() / 2
    flat = runtime.generate(Request(3, seed=1, steps=10, start=Start(latent.reshape(-1), 0.1)))
    assert np.array_equal(flat.latents["latent"][0], near)
    runtime.close()
