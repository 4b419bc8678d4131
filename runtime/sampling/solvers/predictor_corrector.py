"""Predictor-corrector sampling of score SDEs: Langevin steps at a noise level, then a step down.

The corrector moves x by e score + sqrt(2 e) xi, whose law it leaves as it is; its size e follows
from the norms of the score and of the noise, for every latent its own, or from the noise level
alone. The predictor is the reverse diffusion

    x_s = (2 - r) x_t + g^2 score + g xi,  r = alpha_t / alpha_s,  g^2 = sigma_t^2 - r^2 sigma_s^2

or Euler ancestral. score = -E / sigma_t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.kernels.rule.cpu import LANGEVIN
from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Applied, Basis, Vector, Weighing
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows


class Predictor(Enum):
    """The step down: the reverse diffusion, or Euler ancestral with all of its noise."""

    REVERSE_DIFFUSION = "reverse_diffusion"
    ANCESTRAL = "ancestral"

    def __repr__(self) -> str:
        return f"Predictor.{self.name}"


class Correction(Enum):
    """The size e of a Langevin step: NORMS 2 a (snr |xi| / |score|)^2, LEVEL 2 a (snr sigma_t)^2.

    a is the share of the signal that the step keeps, (alpha_t / alpha_s)^2, 1 where alpha is
    constant. LEVEL with snr = sqrt(d) / 2 and a = 1 is the corrector d of video diffusion.
    """

    NORMS = "norms"
    LEVEL = "level"

    def __repr__(self) -> str:
        return f"Correction.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class PredictorCorrector:
    """At every point `corrections` Langevin steps, then the predictor; the last step is its mean.

    Weak order 1, corrections + 1 evaluations per step, no history. In a box every move is folded
    back into it, as often as it takes, and the run starts uniform: the sampler of reflected
    diffusion, for scores that know the walls.

    Args:
        corrections: Langevin steps at every point, 0 or more.
        snr: their signal-to-noise ratio, above 0.
        correction: how their size is found.
        predictor: the step down.
        box: (low, high) that latents are reflected into, or None. The reverse diffusion only.

    Raises:
        InvalidInput: a value outside its range, or a box with the ancestral predictor.

    Source: Song et al. 2021, arXiv 2011.13456, algorithms 1, 4 and 5 and appendix E; corrector by
    norms of one latent, where its code takes means over the batch. Box: Lou and Ermon 2023, arXiv
    2304.04740, algorithm 1.
    """

    order: ClassVar[int] = 1

    corrections: int = 1
    snr: float = 0.16
    correction: Correction = Correction.NORMS
    predictor: Predictor = Predictor.REVERSE_DIFFUSION
    box: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.corrections, int) or self.corrections < 0:
            raise InvalidInput(f"corrections {self.corrections!r} must be a whole number, 0 up.")
        if not 0.0 < self.snr < math.inf:
            raise InvalidInput(f"snr {self.snr} must be finite and above 0.")
        if self.box is None:
            return
        if not self.box[0] < self.box[1]:
            raise InvalidInput(f"box {self.box} is empty; give (low, high).")
        if self.predictor is Predictor.ANCESTRAL:
            raise InvalidInput(
                "the ancestral predictor mixes D in, which is no latent in the box. Use "
                "Predictor.REVERSE_DIFFUSION."
            )

    @property
    def evaluations_per_step(self) -> int:
        """One for every correction, one for the predictor."""
        return self.corrections + 1

    def rows(self, grid: Grid) -> Rows:
        """corrections + 1 stages per step.

        Raises:
            InvalidInput: a box on a path that shrinks the signal.
        """
        program = Program(grid, registers=1)
        if self.box is not None:
            self._start(program, grid, self.box)
        for step in range(grid.steps):
            for _ in range(self.corrections):
                self._correct(program, grid, step)
            self._predict(program, grid, step)
        return program.rows()

    def _start(self, program: Program, grid: Grid, box: tuple[float, float]) -> None:
        if not (grid.alpha == 1.0).all():
            raise InvalidInput(
                f"{self} keeps latents in a box, which a path that shrinks them does not. Use a "
                "schedule with alpha = 1, such as VE()."
            )
        middle = 0.5 * (box[0] + box[1])
        wide = middle * program.basis.one + grid.noise_gain * program.basis.draws[0]
        program.begin(
            [program.basis.results[0]], operations=[Applied(Operation.REFLECT, *box, wide)]
        )

    def _correct(self, program: Program, grid: Grid, step: int) -> None:
        basis, now, after = program.basis, grid[step], grid[step + 1]
        score, xi = -1.0 / now.sigma * basis.noise, basis.draws[0]
        factor = (now.alpha / after.alpha) ** 2
        if self.correction is Correction.NORMS:
            rule = Weighing(LANGEVIN, (self.snr, factor), (score, xi))
            x, operations = self._folded(basis, basis.registers[0] + basis.guided)
            program.stage(now, [x], rule=rule, operations=operations, ends=0)
            return
        size = 2.0 * factor * (self.snr * now.sigma) ** 2
        moved = basis.registers[0] + size * score + math.sqrt(2.0 * size) * xi
        x, operations = self._folded(basis, moved)
        program.stage(now, [x], operations=operations, ends=0)

    def _predict(self, program: Program, grid: Grid, step: int) -> None:
        basis, now, after = program.basis, grid[step], grid[step + 1]
        r = now.alpha / after.alpha
        spread = math.sqrt(now.sigma**2 - (r * after.sigma) ** 2)
        if self.predictor is Predictor.REVERSE_DIFFUSION:
            mean = (2.0 - r) * basis.registers[0] - spread**2 / now.sigma * basis.noise
        else:
            q = r * after.sigma / now.sigma
            spread = after.sigma * math.sqrt((1.0 - q) * (1.0 + q))
            mean = after.alpha * basis.denoised + after.sigma * q * basis.noise
        is_last = step == grid.steps - 1
        x, operations = self._folded(basis, mean if is_last else mean + spread * basis.draws[0])
        program.stage(now, [x], operations=operations)

    def _folded(self, basis: Basis, x: Vector) -> tuple[Vector, list[Applied]]:
        """The move, reflected where there is a box, and the operation that does it."""
        if self.box is None:
            return x, []
        return basis.results[0], [Applied(Operation.REFLECT, *self.box, x)]
