"""Small torch networks, each told something beside latent and time, and their loop in torch."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from denoisert.export import compile_bundle
from denoisert.kernels.philox import reference as philox
from denoisert.runtime.bundle.card import (
    Card,
    Network,
    OutputSlice,
    Recommended,
    TimeShape,
    Training,
)
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Linear, Trailing
from denoisert.runtime.sampling.solvers import DDIM, Shortcut

CHANNELS, SIDE, WIDTH, STEPS = 2, 4, 16, 4
SHAPE = (CHANNELS, SIDE, SIDE)
GRID = Trailing().grid(Linear(), STEPS)


def clock(time: Tensor) -> Tensor:
    """Sines and cosines of a time in 0 .. 999, (lanes, WIDTH)."""
    angles = time[:, None] * 10.0 ** -torch.linspace(0, 3, WIDTH // 2)
    return torch.cat([angles.sin(), angles.cos()], 1)


def attend(query: Tensor, keys: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Attention with keys as values; `hidden` (lanes, keys) is 0 for those that are not there."""
    scores = query @ keys.transpose(1, 2) / WIDTH**0.5
    if hidden is not None:
        scores = scores + (hidden[:, None] - 1) * 1e4
    return scores.softmax(-1) @ keys


class Told(nn.Module):
    """One transformer block on the tokens of a latent, scaled and shifted by a vector.

    beside: channels that are joined to the latent's.
    """

    def __init__(self, beside: int = 0) -> None:
        super().__init__()
        self.enter = nn.Linear(CHANNELS + beside, WIDTH)
        self.scale = nn.Linear(WIDTH, 2 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.leave = nn.Linear(WIDTH, CHANNELS)

    def answer(self, picture: Tensor, vector: Tensor, further: Tensor | None = None) -> Tensor:
        """The prediction; `further` (lanes, tokens, WIDTH) are attended to, too."""
        x = self.enter(picture.flatten(2).transpose(1, 2))
        scale, shift = self.scale(vector)[:, None].chunk(2, -1)
        x = functional.layer_norm(x, (WIDTH,)) * (1 + scale) + shift
        keys = self.mix(x if further is None else torch.cat([x, further], 1))
        return self.leave(x + attend(x, keys)).transpose(1, 2).unflatten(2, (SIDE, SIDE))


class PictureTold(Told):
    """Row 15: the vector of a picture in the scale and shift, its latent beside the own."""

    def __init__(self) -> None:
        super().__init__(beside=CHANNELS)
        self.picture = nn.Linear(WIDTH, WIDTH)

    def forward(self, latent: Tensor, time: Tensor, vector: Tensor, source: Tensor) -> Tensor:
        told = clock(time) + self.picture(vector)
        return self.answer(torch.cat([latent, source], 1), told)


class Prompted(Told):
    """Row 22: a mixture of learned prompts, gated by time and class, is added to the tokens.

    top: how many of the prompts are mixed.
    """

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top, prompts = top, SIDE * SIDE
        self.label = nn.Embedding(4, WIDTH)
        self.gate = nn.Linear(WIDTH, prompts)
        self.prompts = nn.Parameter(torch.randn(prompts, CHANNELS))

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        told = clock(time) + self.label(label)
        weights = self.gate(told)
        if self.top < weights.shape[1]:
            least = weights.topk(self.top).values[:, -1:]
            weights = torch.where(weights >= least, weights, torch.full_like(weights, -1e4))
        added = self.prompts * weights.softmax(1)[:, :, None]
        return self.answer(latent + added.transpose(1, 2).unflatten(2, (SIDE, SIDE)), told)


class Styled(Told):
    """Row 36: the vectors of four style pictures are weighed together; a layout lies beside."""

    def __init__(self) -> None:
        super().__init__(beside=1)
        self.weigh = nn.Linear(WIDTH, 1)

    def forward(self, latent: Tensor, time: Tensor, styles: Tensor, layout: Tensor) -> Tensor:
        style = (self.weigh(styles).softmax(1) * styles).sum(1)
        return self.answer(torch.cat([latent, layout], 1), clock(time) + style)


class SceneTold(Told):
    """Row 54: nodes of a graph, mixed along its edges, become tokens that are attended to."""

    def __init__(self) -> None:
        super().__init__()
        self.node = nn.Linear(WIDTH, WIDTH)

    def forward(
        self, latent: Tensor, time: Tensor, nodes: Tensor, edges: Tensor, present: Tensor
    ) -> Tensor:
        known = self.node(nodes + edges @ nodes) * present[:, :, None]
        tokens = attend(known, known, present) * present[:, :, None]
        return self.answer(latent, clock(time) + tokens.sum(1), None)


class Represented(Told):
    """Row 55: a vector that an encoder or a prior has made."""

    def forward(self, latent: Tensor, time: Tensor, representation: Tensor) -> Tensor:
        return self.answer(latent, clock(time) + representation)


class StepTold(Told):
    """Row 24: a velocity that depends on how long the step is that it is for."""

    def __init__(self) -> None:
        super().__init__()
        self.size = nn.Linear(1, WIDTH)

    def forward(self, latent: Tensor, time: Tensor, size: Tensor) -> Tensor:
        return self.answer(latent, clock(1000 * time) + self.size(size[:, None]))


class TwoNetworks(nn.Module):
    """Row 104: a network of classes, and another one that is asked without."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.prior = Prompted(4), Represented()

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        own = self.own(latent, time, label)
        prior = self.prior(latent, time, torch.zeros(1, WIDTH))
        return torch.where((label == 3)[:, None, None, None], prior, own)


def drawn(make, seed=0):
    """A network with the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval().requires_grad_(False)


NOISE = Training(Parametrisation.EPS, Linear()), Recommended(DDIM(), Trailing(), STEPS)
FLOW = Training(Parametrisation.FLOW, Flow()), Recommended(Shortcut(), Trailing(), STEPS)


def compile_told(module, folder, conditions, shape=SHAPE, *, trained=NOISE, scalars=()):
    """The bundle of a network that predicts eps on linear betas, or as `trained` says."""
    training, sampler = trained
    card = Card(
        name="told",
        licence="CC0-1.0",
        training=training,
        layout=StateLayout((Part("latent", shape),)),
        conditions=tuple(conditions),
        network=Network(
            "time", TimeShape.LANES, "float32", ((OutputSlice("eps", 0, shape[0], 0),),), scalars
        ),
        sampler=sampler,
    )
    compile_bundle(module, folder / "told.bundle", card=card)
    return folder / "told.bundle"


def sampled(answer, seed, shape=SHAPE):
    """DDIM in float64 around `answer(latent, time)` of one lane in torch."""
    x = philox.normals(seed, draw=0, image=0, count=int(np.prod(shape)))
    for step in range(STEPS):
        now, after = GRID[step], GRID[step + 1]
        latent = torch.from_numpy(x.reshape(1, *shape).astype(np.float32))
        eps = answer(latent, torch.tensor([now.model_time], dtype=torch.float32))
        eps = eps.double().numpy().reshape(-1)
        x = after.alpha * (x - now.sigma * eps) / now.alpha + after.sigma * eps
    return x
