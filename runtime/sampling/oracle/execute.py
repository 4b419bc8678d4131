"""Runs a table with the float64 reference kernels: the truth that every device is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.gram import reference as gram
from denoisert.kernels.quantile import reference as quantile
from denoisert.kernels.rule import PER_CHANNEL, RULES
from denoisert.kernels.step import reference as kernel
from denoisert.kernels.step.form import DRAWS
from denoisert.kernels.step.row import Row
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.packing import pack_rows
from denoisert.runtime.sampling.table import COUNTER_NOISE, SamplerTable

Array = NDArray[np.floating]


Answer = Array | tuple[Array, ...]
"""The raw output, or that of every port."""


class Network(Protocol):
    """A raw network of one port: what a lane answers, in the table's parametrisation."""

    def __call__(self, latent: Array, model_time: float, condition: int) -> Array:
        """The raw output for one flat latent."""
        ...


@dataclass(slots=True)
class Run:
    """What one execution produced.

    Args:
        latent: final R_0, (elements,).
        tapes: page -> values, per tape.
        evaluations: number of network calls.
    """

    latent: Array
    tapes: list[dict[int, Array]] = field(default_factory=list)
    evaluations: int = 0


def execute(
    table: SamplerTable,
    layout: StateLayout,
    network: Network | Callable[..., Answer],
    noise: Sequence[Array],
    externals: Mapping[str, Array] | None = None,
) -> Run:
    """Run every row set of a table on one slot.

    Whatever a row set must not read is NaN at that moment: dead registers, skipped branches,
    absent noise.

    Args:
        table: the sampler.
        layout: shape of the state.
        network: called once per lane and stage as network(latent, model_time, condition), with the
            lane's four scalars as a fourth argument if the table tells any that is not 0. One of
            several ports returns the outputs of all as a tuple.
        noise: one (elements,) array per draw, in draw order; their dtype is the dtype of the run.
        externals: name -> (pages, elements).

    Returns:
        The final latent, the tapes and the number of evaluations.

    Raises:
        InvalidInput: a branch reads a port that the network does not answer.
    """
    form = table.form
    tapes = {name: np.atleast_2d(value) for name, value in (externals or {}).items()}
    columns = np.full((form.columns, layout.elements), np.nan, noise[0].dtype)
    columns[form.one] = 1
    run = Run(columns[0], [{} for _ in range(form.taps)])
    place = np.arange(form.registers)
    carried = np.zeros((1 + layout.channels, 4))
    for index, row in enumerate(pack_rows(table, layout)):
        columns[form.registers : form.one] = np.nan
        _read_externals(table, index, columns, tapes)
        _read_noise(table, index, columns, noise)
        _evaluate(table, index, columns, place, network, run)
        weights = _weights(table, index, row, columns, carried)
        thresholds = kernel.thresholds(columns, row, quantile.quantile, weights=weights)
        registers, taps = kernel.step(columns, row, weights=weights, thresholds=thresholds)
        for target, value in zip(row.targets, registers, strict=True):
            columns[target] = value
        for tape, value in zip(np.flatnonzero(table.tap_index[index] >= 0), taps, strict=True):
            run.tapes[tape][int(table.tap_index[index, tape])] = value
        place = table.rename[index]
        columns[[p for i, p in enumerate(place) if not table.live[index] >> i & 1]] = np.nan
    run.latent = columns[place[0]].copy()
    return run


def _read_externals(
    table: SamplerTable, index: int, columns: Array, tapes: Mapping[str, Array]
) -> None:
    for external, name in enumerate(table.externals):
        page = int(table.external_index[index, external])
        if page >= 0:
            columns[table.form.external(external)] = tapes[name][page]


def _read_noise(table: SamplerTable, index: int, columns: Array, noise: Sequence[Array]) -> None:
    for draw in range(DRAWS):
        source = table.noise_source[draw]
        if source != COUNTER_NOISE:
            columns[table.form.draw(draw)] = columns[table.form.external(source)]
        elif draw < table.draws[index]:
            columns[table.form.draw(draw)] = noise[table.draw_base[index] + draw]


def _evaluate(
    table: SamplerTable,
    index: int,
    columns: Array,
    place: NDArray[np.int64],
    network: Callable[..., Answer],
    run: Run,
) -> None:
    has_scalars = bool(table.scalars.any())
    for branches in table.lanes[index]:
        lane = index, branches[0]
        latent = columns[place[table.input_register[lane]]]
        scaled = latent * columns.dtype.type(table.input_scale[lane])
        told = (tuple(table.scalars[lane].tolist()),) if has_scalars else ()
        answer = network(scaled, float(table.model_time[lane]), int(table.condition[lane]), *told)
        run.evaluations += 1
        for branch in branches:
            port = int(table.port[index, branch])
            columns[table.form.branch(branch)] = _read(answer, port)


def _read(answer: Answer, port: int) -> Array:
    ports = answer if isinstance(answer, tuple) else (answer,)
    if not port < len(ports):
        raise InvalidInput(
            f"the table reads port {port} of a network that answers {len(ports)}; return a tuple "
            "with the output of every port."
        )
    return ports[port]


def _weights(
    table: SamplerTable, index: int, row: Row, columns: Array, carried: Array
) -> Array | None:
    number = int(table.rule[index])
    rule = RULES[number]
    if rule is None or row.vectors is None:
        return None
    own = carried[1:] if PER_CHANNEL[number] else carried[:1]
    products, sums = gram.gram(kernel.combine(columns, row.vectors), len(own))
    size = columns.shape[1] // len(own)
    weights: Array = rule(products, sums, size, table.rule_args[index], own)
    return weights
