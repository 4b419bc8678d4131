"""What a network's raw output F means, as a linear mix of the clean latent and the noise.

Every parametrisation is F = a x0 + b eps with (a, b) depending on (alpha, sigma). Together with the
latent
x = alpha x0 + sigma eps that is a 2x2 system, so one formula turns any of them into D and E:

    D = (b x - sigma F) / d,  E = (alpha F - a x) / d,  d = alpha b - sigma a
"""

from __future__ import annotations

from enum import Enum

from denoisert.runtime.errors import InvalidTable

EDM_DATA = 0.5  # standard deviation of the data that EDM's preconditioning assumes


class Parametrisation(Enum):
    """F is eps, x0, v = alpha eps - sigma x0, flow = eps - x0, or score = -eps / sigma.

    EDM is the network inside Karras et al.'s preconditioning for data of deviation 0.5, where
    x = (x0 + s eps) / sqrt(s^2 + 0.25): their D = c_skip x_ve + c_out F is F = 2 sigma x0 -
    alpha eps / 2. For data of deviation 1 it would be -v.

    Source: v: Salimans and Ho 2022, arXiv 2202.00512, section 4; EDM: Karras et al. 2022, arXiv
    2206.00364, table 1.
    """

    EPS = "eps"
    X0 = "x0"
    V = "v"
    FLOW = "flow"
    SCORE = "score"
    EDM = "edm"

    def mix(self, alpha: float, sigma: float) -> tuple[float, float]:
        """(a, b) of F = a x0 + b eps at one point.

        Raises:
            InvalidTable: the score where sigma is 0.
        """
        if self is Parametrisation.X0:
            return 1.0, 0.0
        if self is Parametrisation.V:
            return -sigma, alpha
        if self is Parametrisation.FLOW:
            return -1.0, 1.0
        if self is Parametrisation.EDM:
            return sigma / EDM_DATA, -EDM_DATA * alpha
        if self is Parametrisation.SCORE:
            if sigma == 0:
                raise InvalidTable(
                    "the score does not exist at sigma = 0. Ask the network earlier."
                )
            return 0.0, -1.0 / sigma
        return 0.0, 1.0


Pair = tuple[float, float]


def estimates(
    parametrisation: Parametrisation, alpha: float, sigma: float
) -> tuple[Pair | None, Pair | None]:
    """D and E as combinations of x and F.

    Args:
        parametrisation: meaning of F.
        alpha: factor of the clean latent in x.
        sigma: factor of the noise in x.

    Returns:
        ((x in D, F in D), (x in E, F in E)). Where x and F do not determine both, as eps at
        alpha = 0 or x0 at sigma = 0, what F does not say itself is None.
    """
    a, b = parametrisation.mix(alpha, sigma)
    determinant = alpha * b - sigma * a
    if determinant == 0:
        return (0.0, 1.0 / a) if a else None, (0.0, 1.0 / b) if b else None
    return (
        (b / determinant, -sigma / determinant),
        (-a / determinant, alpha / determinant),
    )
