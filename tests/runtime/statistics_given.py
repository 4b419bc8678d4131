"""Levels above no noise, and the statistics on them that leave a solver as it is."""

import numpy as np

from denoisert.runtime import Final, Karras
from denoisert.runtime.sampling.solvers.model_statistics import Statistics

LEVELS = Karras(sigma_min=0.05, sigma_max=10.0, final=Final.SPACED)


def clean_statistics(count: int = 4001) -> Statistics:
    """Those of the clean estimate, about digits."""
    levels = np.linspace(-np.log(LEVELS.sigma_max) - 1e-9, -np.log(LEVELS.sigma_min) + 1e-9, count)
    return Statistics.of_clean_estimate(levels, 256)
