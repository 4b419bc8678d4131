"""Every solver at several numbers of evaluations, from the same noise, beside many steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.case import Extra, Setting, summary
from bench.quality.yardstick import Drawn, Yardstick, standard_error
from denoisert.runtime import Request, Runtime, Solver
from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.measure.accuracy import REFUSALS, affordable, is_random
from denoisert.runtime.measure.record import Record
from denoisert.runtime.measure.subject import BundleSubject, rms
from denoisert.runtime.sampling.table import SamplerTable

EVALUATIONS = (8, 16, 32, 4, 12, 6, 24, 48)  # a run that is cut short has whole columns
FINE = 500


@dataclass(frozen=True, slots=True)
class Sweep:
    """One model and what its solvers are measured against.

    Args:
        runtime: of the bundle.
        yardstick: what is asked and how it is judged.
        setting: of the records.
        truth: what many steps made of the same noise.
    """

    runtime: Runtime
    yardstick: Yardstick
    setting: Setting
    truth: Drawn

    def records(
        self, spacing: str, solvers: Mapping[str, Solver], asked: int
    ) -> Iterator[Record | str]:
        """Measure solvers on a spacing; a line instead of a record where one is refused.

        Args:
            spacing: its name, OWN for the card's.
            solvers: by name.
            asked: most evaluations of one branch; a solver takes as many steps as fit.
        """
        requests = self.yardstick.requests(self.yardstick.spacings.get(spacing))
        case = f"quality/{self.yardstick.name} {spacing} {asked}"
        for name, solver in solvers.items():
            tables = BundleSubject(self.runtime, requests, solver, 1)
            try:
                steps = affordable(tables, solver, asked)
                if steps:
                    table = tables.table(solver, steps)
                    found = draw(self.runtime, self.yardstick, requests, solver, steps)
                    yield self._record(case, name, found, _costs(table, steps))
            except (*REFUSALS, DenoiseRTError) as error:
                yield f"refused {case} {name}: {error}"

    def _record(self, case: str, name: str, found: Drawn, told: Extra) -> Record:
        """RMS error of every picture's latent; quality as means with their standard errors."""
        errors = np.sqrt(((found.latents - self.truth.latents) ** 2).mean(1))
        scores, excess = found.scores, found.scores.distance - self.truth.scores.distance
        measured = {
            "rms": rms(found.latents - self.truth.latents),
            "distance": float(scores.distance.mean()),
            "distance_se": standard_error(scores.distance),
            "excess": float(excess.mean()),
            "excess_se": standard_error(excess),
            "agreement": float(scores.hits.mean()),
            "agreement_se": standard_error(scores.hits),
        }
        rounded = {key: float(f"{value:.4g}") for key, value in measured.items()}
        extra = {**told, **rounded}
        return summary(case, name, [*errors], self.setting, unit="rms", warm_up=0, extra=extra)


def _costs(table: SamplerTable, steps: int) -> Extra:
    is_drawn = "yes" if is_random(table) else "no"
    return {"steps": float(steps), "evaluations": float(table.stages), "draws_noise": is_drawn}


def draw(
    runtime: Runtime, yardstick: Yardstick, requests: Sequence[Request], solver: Solver, steps: int
) -> Drawn:
    """Run the requests and judge what comes out."""
    results = runtime.generate([replace(each, solver=solver, steps=steps) for each in requests])
    for result in results:
        if result.error is not None:
            raise result.error
    latents = np.concatenate([result.flat for result in results]).astype(np.float64)
    return Drawn(latents, yardstick.score(results))
