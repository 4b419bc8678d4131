"""A network that answers in no time: what is left of a tick is the runtime's own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.case import Run
from denoisert.kernels.step import cpu
from denoisert.runtime.bundle.card import Network, OutputSlice, TimeShape
from denoisert.runtime.devices.instructions import instructions
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import Buffer, Port
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.table import SamplerTable

SHAPE = (4, 64, 64)
LAYOUT = StateLayout((Part("latent", SHAPE),))
NETWORK = Network("time", TimeShape.LANES, "float32", ((OutputSlice("output", 0, SHAPE[0], 0),),))
DIMS = ("lanes", *SHAPE)


class IdleEngine:
    """Its outputs are random numbers, written once when it is bound."""

    inputs = (Port("latent", "float32", DIMS), Port("time", "float32", ("lanes",)))
    outputs = (Port("output", "float32", DIMS),)
    buckets = (1, 2, 4, 8)

    def workspace_bytes(self, bucket: int) -> int:
        """Nothing."""
        return 0 * bucket

    def bind(self, bucket: int, buffers: Mapping[str, Buffer]) -> IdleCall:
        """Fill the outputs."""
        random = np.random.default_rng(bucket)
        buffers["output"][...] = random.standard_normal(
            (len(buffers["output"]), *SHAPE), np.float32
        )
        return IdleCall()

    def at(self, sizes: Mapping[str, int]) -> IdleEngine:
        """Every size is fixed."""
        return self

    def close(self) -> None:
        """Nothing to give back."""


class IdleCall:
    """One call that does nothing."""

    is_capturable = False

    def run(self, stream: object | None = None) -> None:
        """Leave the outputs as they are."""


def idle_denoiser() -> Denoiser:
    """A denoiser of 4 x 64 x 64 without conditions."""
    return Denoiser(IdleEngine(), NETWORK, (), LAYOUT)


def rows_alone(table: SamplerTable) -> Run:
    """Guidance and update of every row and nothing else: no lanes, no noise, no bookkeeping."""
    columns = np.random.default_rng(7).standard_normal(
        (table.form.columns, LAYOUT.elements), np.float32
    )
    space = cpu.workspace(table.form, LAYOUT.elements)
    rows = [each.row for each in instructions(table, LAYOUT, table.form)]

    def run() -> None:
        for row in rows:
            cpu.step(columns, row, workspace=space)

    return run
