"""Data for comparing solvers, small enough to be known exactly."""

from __future__ import annotations

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.oracle import Denoiser, Gaussian, Mixture, Reflected

CORNERS = 7


def boxed() -> Reflected:
    """Three points in the unit square, whose walls reflect the diffusion."""
    return Reflected(np.array([1.0, 2.0, 1.0]), np.array([[0.1, 0.9], [0.4, 0.2], [1.0, 0.6]]))


def oracle(name: str) -> tuple[Denoiser, int]:
    """Data by name.

    mixture: three Gaussians in the plane. gaussian: N(0.7, 0.25), where every linear table is
    exact to compute. finite: seven points of a spiral in the plane.

    Returns:
        The denoiser and the elements of a point.

    Raises:
        InvalidInput: an unknown name.
    """
    if name == "mixture":
        means = np.array([[1.0, 0.4], [-0.8, 0.9], [0.1, -1.1]])
        return Mixture(np.array([0.5, 0.3, 0.2]), means, np.array([0.15, 0.25, 0.2])), 2
    if name == "gaussian":
        return Gaussian(0.7, 0.25), 1
    if name == "finite":
        angle = 2.0 * np.pi * np.arange(CORNERS) / CORNERS
        radius = 0.6 + 0.1 * np.arange(CORNERS)
        return Mixture.of_points(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)), 2
    raise InvalidInput(f"no oracle is called {name!r}; take mixture, gaussian or finite.")
