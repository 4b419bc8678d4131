"""Foreign torch code in float64, with our draws, and the coordinates that come out of it."""

import numpy as np
import pytest
import torch

from denoisert.export.probe.foreign import Foreign, Width, values
from denoisert.export.probe.function import FunctionSource
from denoisert.export.probe.linearity import Latent, is_zero, name_of, objection, words
from denoisert.export.probe.trace import FIRST_CAPACITY, Kind, trace
from denoisert.runtime.errors import ExportError, UnsupportedOperator

SHAPE = (1, 1, 1, 4)


class Body:
    """A source whose loop is one function of the start."""

    name = "body"
    meaning = None

    def __init__(self, function):
        self.function = function

    def run(self, network, start):
        return self.function(start)

    def marks(self):
        return ()


def inside(function, width=Width.DOUBLE, draw=None):
    start = torch.arange(4.0, dtype=torch.float64).reshape(SHAPE)
    foreign = Foreign(draw or (lambda: torch.full(SHAPE, 7.0)), SHAPE, lambda: "body", width)
    return foreign.run(Body(function), None, start)


SHORT = {
    "tensor": lambda _: torch.tensor(0.1),
    "tensor of a float32 array": lambda _: torch.tensor(np.float32(0.5) * np.ones(2, np.float32)),
    "from_numpy": lambda _: torch.from_numpy(np.ones(3, np.float32)) * 1.0,
    "from_numpy indexed": lambda _: torch.from_numpy(np.ones(3, np.float32))[1] * 0.1,
    "asked for": lambda _: torch.linspace(0, 1, 3, dtype=torch.float32),
    "positional": lambda x: x.to(torch.float16),
    "keyword": lambda x: x.to(dtype=torch.bfloat16),
    "float": lambda x: x.float(),
    "half": lambda x: x.half(),
    "default": lambda _: torch.linspace(0, 1, 5).cumsum(0),
    "mixed": lambda _: torch.linalg.solve(
        torch.eye(2, dtype=torch.float64), torch.from_numpy(np.ones(2, np.float32))
    ),
}


@pytest.mark.parametrize("name", SHORT)
def test_every_short_float_becomes_float64(name):
    assert inside(SHORT[name]).dtype == torch.float64


def test_no_digit_is_lost_on_the_way():
    def third(x):
        return (x.float() / 3).to(torch.float16).to(torch.float32)

    np.testing.assert_array_equal(values(inside(third)), np.arange(4.0) / 3)


def test_integers_and_booleans_stay():
    assert inside(lambda _: torch.arange(3)).dtype == torch.int64
    assert inside(lambda _: torch.tensor([True])).dtype == torch.bool


def test_writing_keeps_the_target():
    def fill(_):
        buffer = torch.from_numpy(np.zeros(2, np.float32))
        buffer[1] = 5.0
        buffer.add_(1.0)
        return buffer

    assert inside(fill).tolist() == [1.0, 6.0]


def test_as_written_nothing_is_widened():
    assert inside(SHORT["float"], Width.AS_WRITTEN).dtype == torch.float32
    assert inside(SHORT["tensor"], Width.AS_WRITTEN).dtype == torch.float32


DRAWS = {
    "sizes": lambda _: torch.randn(1, 1, 1, 4),
    "a shape": lambda _: torch.randn(torch.Size(SHAPE), generator=None, device="cpu"),
    "the keyword": lambda _: torch.randn(size=SHAPE),
    "like": lambda x: torch.randn_like(x),
    "diffusers": lambda x: _diffusers(x),
}


def _diffusers(x):
    from diffusers.utils.torch_utils import randn_tensor

    return randn_tensor(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float16)


@pytest.mark.parametrize("width", Width)
@pytest.mark.parametrize("name", DRAWS)
def test_every_normal_draw_is_ours(name, width):
    assert values(inside(DRAWS[name], width)).tolist() == [7.0] * 4


OTHER = {
    "rand": lambda _: torch.rand(3),
    "rand_like": lambda x: torch.rand_like(x),
    "normal": lambda _: torch.normal(0.0, 1.0, SHAPE),
    "normal_": lambda _: torch.zeros(3).normal_(),
    "bernoulli": lambda _: torch.bernoulli(torch.ones(3)),
    "poisson": lambda _: torch.poisson(torch.ones(3)),
    "multinomial": lambda _: torch.multinomial(torch.ones(3), 1),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_noise_is_refused(name):
    with pytest.raises(UnsupportedOperator, match=rf"body: torch's `{name}` draws noise"):
        inside(OTHER[name])


def test_torch_is_itself_again_afterwards():
    with pytest.raises(ExportError, match="raised ZeroDivisionError"):
        inside(lambda x: x / (1 // 0))
    assert torch.get_default_dtype() is torch.float32
    assert torch.randn(3).shape == (3,)
    inside(lambda x: x)
    assert torch.tensor(0.1).dtype == torch.float32


def test_gradients_are_off():
    assert not inside(lambda x: x.clone().requires_grad_() * 2.0).requires_grad


def test_objections_by_hand():
    latent = torch.zeros(3).as_subclass(Latent)
    assert objection("add", (latent, 0.0), {}) is None
    assert objection("add", (latent, torch.zeros(3)), {}) is None
    assert objection("add", (latent, 1.0), {}) == "adds a constant to a latent"
    assert objection("mul", (latent, latent), {}) == "multiplies two latents"
    assert objection("div", (2.0, latent), {}) == "divides by a latent"
    assert objection("cosh", (latent,), {}) == "was applied to a latent and is not linear"
    assert objection("stack", ([latent, torch.ones(3)],), {}) == "adds a constant to a latent"
    assert objection("cat", (), {"tensors": [latent, latent]}) is None
    assert objection("__setitem__", (torch.zeros(3), 0, latent), {}).startswith("writes a latent")
    assert objection("__setitem__", (latent, 1, latent), {}) is None
    assert objection("__setitem__", (latent, 0, 5.0), {}) == "adds a constant to a latent"


def test_small_words():
    assert words("a b\n c") == {"a", "b", "c"}
    assert name_of(torch.clamp) == "clamp"
    assert is_zero(0)
    assert is_zero(torch.zeros(2))
    assert not is_zero(torch.tensor([0.0, 1e-300], dtype=torch.float64))


def two_draws(model, x, sigmas):
    x = x + torch.randn_like(x)
    for i in range(len(sigmas) - 1):
        x = 0.5 * x + model(x, sigmas[i])
        x = x + torch.randn_like(x) + 3 * torch.randn_like(x)
    return x


def test_a_trace_has_its_coordinates_in_order_of_appearance():
    found = trace(FunctionSource(two_draws, [2.0, 1.0, 0.0]))
    kinds = [Kind.START, Kind.DRAW, *[Kind.OUTPUT, Kind.DRAW, Kind.DRAW] * 2]
    assert found.kinds == tuple(kinds)
    assert found.outputs == [2, 5]
    assert [found.drawn(boundary) for boundary in range(3)] == [[1], [3, 4], [6, 7]]
    np.testing.assert_array_equal(
        found.inputs, [[2, 1, 0, 0, 0, 0, 0, 0], [1, 0.5, 1, 1, 3, 0, 0, 0]]
    )
    np.testing.assert_array_equal(found.final, [0.5, 0.25, 0.5, 0.5, 1.5, 1, 1, 3])
    assert found.times == (2.0, 1.0)


def test_a_long_trace_finds_room():
    sigmas = np.linspace(1.0, 0.0, 151).tolist()
    found = trace(FunctionSource(two_draws, sigmas))
    assert found.stages == 150
    assert len(found.kinds) == 2 + 3 * 150 > FIRST_CAPACITY
    assert found.final.shape == (452,)


def test_a_plain_tensor_is_no_latent():
    def forgets(model, x, sigmas):
        model(x, sigmas[0])
        return torch.zeros(x.shape)

    with pytest.raises(ExportError, match="made a Tensor of shape"):
        trace(FunctionSource(forgets, [1.0, 0.0]))
