"""What a scheduler takes the network's raw output for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from denoisert.runtime.sampling.parametrisation import EDM_DATA, Parametrisation

Scheduler = Any  # of diffusers, or of its kind

NAMES = {
    "epsilon": Parametrisation.EPS,
    "sample": Parametrisation.X0,
    "v_prediction": Parametrisation.V,
    "flow_prediction": Parametrisation.FLOW,
}


@dataclass(frozen=True, slots=True)
class Convention:
    """F of the source = gain * F of `parametrisation`.

    Args:
        parametrisation: the one of ours that fits.
        gain: 1, or -1 where the source takes its negative.
        unit: the clean latent is counted in this many of the source's units.
    """

    parametrisation: Parametrisation
    gain: float = 1.0
    unit: float = 1.0

    @property
    def is_flow(self) -> bool:
        """Whether alpha + sigma = 1 is meant."""
        return self.parametrisation is Parametrisation.FLOW

    def solve(self, p: float, q: float) -> tuple[float, float] | None:
        """(alpha, sigma) from the clean estimate D = p x + q F of the source.

        With d = alpha b - sigma a of the parametrisation: p = b / d and q = -sigma / d.

        Returns:
            The pair in the source's units; None if p and q leave it open.
        """
        if self.gain != 1.0 or self.unit != 1.0:
            return None
        if self.parametrisation is Parametrisation.EPS and p:
            return 1.0 / p, -q / p
        if self.parametrisation is Parametrisation.FLOW and p:
            return (1.0 + q) / p, -q / p
        if self.parametrisation is Parametrisation.V and (p or q):
            return p / (p * p + q * q), -q / (p * p + q * q)
        return None


def convention(scheduler: Scheduler) -> Convention:
    """The convention of a scheduler, from its configuration.

    A scheduler without prediction_type is a flow, or takes eps if it has alphas. One with
    preconditioning (Karras et al. 2022, arXiv 2206.00364, table 1) takes

        D = c_skip x + c_out F,  c_skip = d^2 / (sigma^2 + d^2),  c_out = sigma d / sqrt(same)

    on the input c_in x. That is our EDM for d = 0.5, and F = -v for the clean latent in units of
    d = sigma_data; with prediction_type v_prediction c_out has the other sign.
    """
    config = getattr(scheduler, "config", {})
    kind = config.get("prediction_type")
    if hasattr(scheduler, "precondition_outputs"):
        sign = -1.0 if kind == "v_prediction" else 1.0
        data = float(config["sigma_data"])
        if data == EDM_DATA:
            return Convention(Parametrisation.EDM, sign)
        return Convention(Parametrisation.V, -sign, data)
    if kind is None:
        has_alphas = hasattr(scheduler, "alphas") or hasattr(scheduler, "alphas_cumprod")
        return Convention(Parametrisation.EPS if has_alphas else Parametrisation.FLOW)
    return Convention(NAMES.get(kind, Parametrisation.FLOW))
