"""A denoiser known in closed form, and how it answers as a raw network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from denoisert.runtime.sampling.oracle.execute import Network
from denoisert.runtime.sampling.parametrisation import Parametrisation

Array = NDArray[Any]
Lookup = Callable[[float], tuple[float, float]]


class Denoiser(Protocol):
    """Data whose posterior mean is known exactly."""

    def estimates(self, latent: Array, alpha: float, sigma: float) -> tuple[Array, Array]:
        """D = E[x0 | x] and E = E[eps | x] for x = alpha x0 + sigma eps.

        Args:
            latent: x, flat.
            alpha: factor of the clean latent.
            sigma: factor of the noise; alpha and sigma are not both 0.

        Returns:
            D and E, float64, with x = alpha D + sigma E.
        """
        ...


def network(
    denoisers: Sequence[Denoiser], parametrisation: Parametrisation, lookup: Lookup
) -> Network:
    """The raw network of exact denoisers, F = a D + b E in the latent's own dtype.

    Args:
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of F, see `Parametrisation.mix`.
        lookup: model_time -> (alpha, sigma) of the latent as the network takes it.

    Returns:
        network(latent, model_time, condition).
    """

    def answer(latent: Array, model_time: float, condition: int) -> Array:
        alpha, sigma = lookup(model_time)
        a, b = parametrisation.mix(alpha, sigma)
        denoised, noise = denoisers[condition].estimates(latent, alpha, sigma)
        return (a * denoised + b * noise).astype(latent.dtype)

    return answer
