"""The time grid of one run: N + 1 points, decreasing, the last one at the data end.

Everything is in the network's own coordinates: the latent at a point is x = alpha x0 + sigma eps
exactly as the
network takes it, so solvers need no input scaling and zero-terminal-SNR points (alpha = 0) are
ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput

Array = NDArray[np.float64]

AT_THE_POINTS = "Use a solver that asks at the grid's points alone, such as DPMpp2M()."


class Point(NamedTuple):
    """One point of the grid.

    Args:
        alpha: factor of the clean latent.
        sigma: factor of the noise.
        model_time: what the network is told; NaN where it is never asked.
        input_scale: network input = input_scale * R_0; 1 in network coordinates.
        scalars: further numbers the network is told, as the step size of a shortcut model; at
            most 4.
    """

    alpha: float
    sigma: float
    model_time: float
    input_scale: float = 1.0
    scalars: tuple[float, ...] = ()

    @property
    def sigma_ve(self) -> float:
        """sigma / alpha, the noise level per unit of clean latent; infinite where alpha is 0."""
        return self.sigma / self.alpha if self.alpha else np.inf

    @property
    def half_logsnr(self) -> float:
        """log(alpha / sigma); infinite at the data end, minus infinity at pure noise."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.alpha) - np.log(self.sigma))


class Path(Protocol):
    """What lies between the points of a grid: a noise schedule, as the network is told of it."""

    def at(self, model_time: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of model times."""
        ...

    def coordinates(self, sigma_ve: Array) -> tuple[Array, Array]:
        """(alpha, sigma) of noise levels sigma / alpha."""
        ...

    def model_time(self, sigma_ve: Array) -> Array:
        """What the network is told at noise levels sigma / alpha."""
        ...


@dataclass(frozen=True, slots=True)
class Grid:
    """N + 1 points and the start of the run.

    Args:
        alpha: (N + 1,).
        sigma: (N + 1,), with sigma / alpha decreasing.
        model_time: (N + 1,), the last entry unused.
        noise_gain: factor of the first draw in the prologue, R_0 = noise_gain xi_0 + source_gain
            X_0.
        source_gain: factor of the source latent in the prologue; 0 starts from noise alone.
        path: what lies between the points, for solvers that ask there; None if nobody knows.
        stop: steps that are taken; those after them are only what the solver would do next. None
            takes all.
    """

    alpha: Array
    sigma: Array
    model_time: Array
    noise_gain: float
    source_gain: float = 0.0
    path: Path | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        is_finite = bool(np.isfinite([self.alpha, self.sigma]).all())
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.where(self.alpha > 0, self.sigma / np.maximum(self.alpha, 1e-300), np.inf)
            is_falling = bool(np.all(np.diff(level) < 0))
        if len(level) < 2 or not (is_finite and is_falling):
            found = " ".join(str(level).split())  # in one line
            raise InvalidInput(
                "a grid needs at least two finite points of falling noise level, found sigma / "
                f"alpha = {found}. Ask for fewer steps or another schedule."
            )

    @property
    def steps(self) -> int:
        """N, the number of intervals."""
        return len(self.alpha) - 1

    def __getitem__(self, index: int) -> Point:
        return Point(
            float(self.alpha[index]), float(self.sigma[index]), float(self.model_time[index])
        )

    def at_level(self, sigma_ve: float) -> Point:
        """The point of noise level sigma / alpha on the grid's path, on the grid or between.

        Raises:
            InvalidInput: the level is not finite and positive, or the grid knows no path.
        """
        path = self._path(f"sigma / alpha = {sigma_ve:g}")
        if not 0.0 < sigma_ve < np.inf:
            raise InvalidInput(
                f"a solver asks the network at sigma / alpha = {sigma_ve:g}, which is no noise "
                f"level between signal and noise. {AT_THE_POINTS}"
            )
        level = np.array([sigma_ve])
        (alpha,), (sigma,) = path.coordinates(level)
        return Point(float(alpha), float(sigma), float(path.model_time(level)[0]))

    def at_time(self, model_time: float) -> tuple[float, float]:
        """(alpha, sigma) of a model time on the grid's path.

        Raises:
            InvalidInput: a time outside the path, or the grid knows no path.
        """
        (alpha,), (sigma,) = self._path(f"model time {model_time:g}").at(np.array([model_time]))
        return float(alpha), float(sigma)

    def _path(self, place: str) -> Path:
        if self.path is None:
            raise InvalidInput(
                f"a solver wants the point at {place}, between those of a grid without a path. "
                f"{AT_THE_POINTS}"
            )
        return self.path

    @property
    def is_linear(self) -> bool:
        """Whether alpha + sigma = 1 all along: a flow path."""
        return bool(np.allclose(self.alpha + self.sigma, 1.0, rtol=0, atol=1e-12))

    def require_linear(self, solver: object, instead: str) -> None:
        """Refuse a path that is not linear.

        Args:
            solver: that wants one.
            instead: solvers that fit other paths.

        Raises:
            InvalidInput: alpha + sigma is not 1.
        """
        if not self.is_linear:
            raise InvalidInput(
                f"{solver} needs a linear path, alpha + sigma = 1; this grid has alpha + sigma up "
                f"to {(self.alpha + self.sigma).max():g}. Solvers that fit it: {instead}."
            )

    def tail(self, strength: float) -> Grid:
        """The last part of the grid, started from a source latent noised to its first point.

        Args:
            strength: share of the steps that run, in (0, 1].

        Returns:
            A grid of round(strength N) steps, at least 1.

        Raises:
            InvalidInput: a strength outside (0, 1].
        """
        if not 0.0 < strength <= 1.0:
            raise InvalidInput(f"strength {strength} is outside 0 to 1; take 1 for the whole grid.")
        rest = self.since(self.steps - max(1, round(strength * self.steps)))
        return replace(rest, noise_gain=float(rest.sigma[0]), source_gain=float(rest.alpha[0]))

    def since(self, first: int) -> Grid:
        """The grid from one of its points on, with the same start.

        Args:
            first: index of the point, below N.

        Raises:
            InvalidInput: none of the steps that are taken begins there or later.
        """
        if self.stop is not None and first >= self.stop:
            raise InvalidInput(
                f"the run starts at step {first} of {self.steps} and stops after {self.stop}. "
                "Start earlier, with a larger strength, or stop later."
            )
        return replace(
            self,
            alpha=self.alpha[first:],
            sigma=self.sigma[first:],
            model_time=self.model_time[first:],
            stop=None if self.stop is None else self.stop - first,
        )
