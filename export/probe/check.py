"""Verifies a probed sampler against its source on networks that nobody's probe has seen.

A probe believes that the source is linear in its latents. Whatever it may have missed shows on a
nonlinear random network: the source and the rows run on the same start, draws and network, and
every input of the network is compared, so that the first stage that deviates has a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from denoisert.export.probe.canonical import Start
from denoisert.export.probe.foreign import Foreign, Width, values
from denoisert.export.probe.realisation import Realisation
from denoisert.export.probe.source import Source
from denoisert.runtime.errors import ExportError, ParityError
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.oracle import execute
from denoisert.runtime.sampling.rows import Rows

Array = NDArray[np.float64]

SHAPE = (1, 3, 2, 3)
ELEMENTS = 18
WIDTH = 24
TOLERANCE = 1e-10
SCALES = tuple(8.0**power for power in range(9))
AT_WORK = 1e-3  # relative difference that a bound makes when it is at work


class RandomNetwork:
    """A fixed random network of one hidden layer; it is nobody's exact denoiser.

    Args:
        generator: of its weights.
        scale: factor of its output.
    """

    def __init__(self, generator: np.random.Generator, scale: float = 1.0) -> None:
        self._first = generator.standard_normal((WIDTH, ELEMENTS)) / 4
        self._last = scale * generator.standard_normal((ELEMENTS, WIDTH)) / 4
        self._bias, self._speed = generator.standard_normal((2, WIDTH))

    def __call__(self, latent: Array, time: float) -> Array:
        """The raw output for one flat latent."""
        hidden = self._first @ latent + self._bias + self._speed * np.cos(time / 300)
        answer: Array = self._last @ np.tanh(hidden)
        return answer


@dataclass(slots=True)
class Trial:
    """One start, one network and as many draws as asked for.

    Args:
        seed: of all of them.
        scale: of the network's output.
    """

    seed: int
    scale: float = 1.0
    network: RandomNetwork = field(init=False)
    noise: list[Array] = field(init=False)
    inputs: list[Array] = field(default_factory=list, init=False)
    _generator: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)
        self.network = RandomNetwork(self._generator, self.scale)
        self.noise = [self._generator.standard_normal(ELEMENTS)]

    def draw(self, index: int) -> Array:
        """Draw `index`; 0 is the start."""
        while len(self.noise) <= index:
            self.noise.append(self._generator.standard_normal(ELEMENTS))
        return self.noise[index]

    def sample(self, source: Source, width: Width = Width.DOUBLE) -> Array:
        """The source's sample; `inputs` then holds what the network was asked."""
        dtype = torch.float64 if width is Width.DOUBLE else torch.float32
        drawn = iter(range(1, 1 << 20))
        self.inputs.clear()

        def latent(array: Array) -> torch.Tensor:
            return torch.from_numpy(array).reshape(SHAPE).to(dtype)

        def network(x: torch.Tensor, time: float) -> torch.Tensor:
            with foreign.ours():
                self.inputs.append(values(x))
                answer = source.meaning.gain * self.network(self.inputs[-1], time)
                return latent(answer).to(x.dtype)

        foreign = Foreign(lambda: latent(self.draw(next(drawn))), SHAPE, lambda: source.name, width)
        return values(foreign.run(source, network, latent(self.noise[0])))


def replay(
    realisation: Realisation, trial: Trial, times: Sequence[float], gain: float
) -> tuple[list[Array], Array]:
    """Inputs of the network and sample of the registers, on a trial's start and draws."""
    first, *rows = realisation.boundaries
    taken = 1 + first.noise.shape[1]
    block = np.stack([trial.draw(index) for index in range(taken)])
    registers = np.hstack([first.registers, first.noise]) @ block
    inputs: list[Array] = []
    for row, time in zip(rows, times, strict=True):
        inputs.append(registers[0])
        output = gain * trial.network(registers[0], time)
        registers = row.registers @ registers + np.outer(row.output, output)
        for column in row.noise.T:
            registers = registers + np.outer(column, trial.draw(taken))
            taken += 1
    return inputs, registers[0]


def verify_registers(
    source: Source, realisation: Realisation, times: Sequence[float], seed: int
) -> float:
    """Compare every input and the sample of the registers with the source's.

    Returns:
        The relative error of the sample.

    Raises:
        ParityError: it, or that of an input, is above 1e-10; the message has the first such stage.
    """
    trial = Trial(seed)
    expected = trial.sample(source)
    inputs, final = replay(realisation, trial, times, source.meaning.gain)
    if len(inputs) != len(trial.inputs):
        raise ParityError(
            f"{source.name} asked its network {len(trial.inputs)} times, and {len(inputs)} times "
            "when it was probed: it looks at its latents. No table does."
        )
    for stage, (found, asked) in enumerate(zip(inputs, trial.inputs, strict=True)):
        _compare(source, f"the input of stage {stage}", found, asked)
    return _compare(source, f"the sample after stage {len(inputs) - 1}", final, expected)


def verify_rows(source: Source, rows: Rows, start: Start, seed: int, scale: float = 1.0) -> float:
    """Compare the folded table's sample with the source's; returns and raises as above."""
    trial = Trial(seed, scale)
    expected = trial.sample(source)
    found = run_rows(source, rows, start, trial)
    return _compare(source, "the sample of the table", found, expected)


def active_scale(source: Source, bare: Rows, start: Start, seed: int) -> float:
    """A scale of the network at which what bounds the source's clean estimate is at work.

    Args:
        source: with its bound.
        bare: its rows without.
        start: of the runs.
        seed: of the trials.

    Raises:
        ParityError: no scale makes a difference.
    """
    for scale in SCALES:
        trial = Trial(seed, scale)
        expected = trial.sample(source)
        if relative(run_rows(source, bare, start, trial), expected) > AT_WORK:
            return scale
    raise ParityError(
        f"{source.name} says that it bounds its clean estimate, and even a network of size "
        f"{SCALES[-1]:g} shows nothing of it. Switch its clipping off."
    )


def run_rows(source: Source, rows: Rows, start: Start, trial: Trial) -> Array:
    """The sample of folded rows on a trial's start, draws and network."""
    table = fold(rows, source.meaning.parametrisation, Unguided())
    layout = StateLayout((Part("latent", SHAPE[1:]),))
    first = 0 if start is Start.NOISE else 1
    noise = [trial.draw(first + index) for index in range(1 + int(rows.draws.sum()))]
    externals = {} if start is Start.NOISE else {"source": trial.noise[0]}
    result = execute(
        table, layout, lambda latent, time, _: trial.network(latent, time), noise, externals
    )
    return np.asarray(result.latent, np.float64)


def rounding(source: Source, rows: Rows, start: Start, seed: int) -> float:
    """How far the source as it is, in float32, lands from its own table.

    Returns:
        The relative difference of the samples; what a user of the source loses today.
    """
    trial = Trial(seed)
    native = trial.sample(source, Width.AS_WRITTEN)
    return relative(run_rows(source, rows, start, trial), native)


def relative(found: Array, expected: Array) -> float:
    """max |difference| / max |expected|, infinite where anything is not finite."""
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    return error if np.isfinite(error) else np.inf


def _compare(source: Source, what: str, found: Array, expected: Array) -> float:
    if not np.isfinite(expected).all():
        raise ExportError(
            f"{source.name}: {what} is not finite in the source itself. Change its settings."
        )
    error = relative(found, expected)
    if error > TOLERANCE:
        raise ParityError(
            f"{source.name}: {what} deviates by {error:.1e} on a random network, more than "
            f"{TOLERANCE:g}. The sampler depends on its latents in a way that is not linear, or on "
            "noise that the probe does not see."
        )
    return error
