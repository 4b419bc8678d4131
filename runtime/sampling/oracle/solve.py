"""Runs a table on exact denoisers, each asked at the very point that the table says it is at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.oracle.denoiser import Array, Denoiser, network
from denoisert.runtime.sampling.oracle.execute import Network, Run, execute
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.table import SamplerTable


def exact(
    table: SamplerTable, denoisers: Sequence[Denoiser], parametrisation: Parametrisation
) -> tuple[SamplerTable, Network]:
    """A table and a network for it that need no schedule: its times are its own branches.

    Args:
        table: the sampler.
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of the raw outputs, the one the table was folded with.

    Returns:
        The table with every model time replaced, and the network that knows alpha and sigma there.

    Raises:
        InvalidInput: a table that reads a second output or tells further scalars, of which an exact
            denoiser knows nothing.
    """
    if table.port.any() or table.scalars.any():
        raise InvalidInput(
            "the table reads a learned variance or tells the network more than a time; an exact "
            "denoiser knows neither. Use another solver."
        )
    asked = np.arange(table.model_time.size).reshape(table.model_time.shape)
    alpha = (table.alpha[:, None] * table.input_scale).ravel()
    sigma = (table.sigma[:, None] * table.input_scale).ravel()

    def lookup(time: float) -> tuple[float, float]:
        return float(alpha[int(time)]), float(sigma[int(time)])

    told = replace(table, model_time=asked.astype(np.float64))
    return told, network(denoisers, parametrisation, lookup)


def solve(
    table: SamplerTable,
    denoisers: Sequence[Denoiser],
    parametrisation: Parametrisation,
    noise: Sequence[Array],
    externals: Mapping[str, Array] | None = None,
) -> Run:
    """Run a table on exact denoisers.

    Args:
        table: the sampler.
        denoisers: condition c is answered by denoisers[c].
        parametrisation: meaning of the raw outputs, the one the table was folded with.
        noise: one (elements,) array per draw.
        externals: name -> (pages, elements).

    Returns:
        What `execute` returns.

    Raises:
        InvalidInput: noise or an external is missing, or see `exact`.
    """
    draws = int(table.draws.sum())
    if len(noise) < max(draws, 1):
        raise InvalidInput(f"{len(noise)} arrays of noise for a table of {draws} draws.")
    missing = [name for name in table.externals if name not in (externals or {})]
    if missing:
        raise InvalidInput(f"the table reads {', '.join(missing)}; give their values.")
    told, answer = exact(table, denoisers, parametrisation)
    layout = StateLayout((Part("points", np.shape(noise[0])),))
    return execute(told, layout, answer, noise, externals)
