"""DPM-Solver-v3 through the runtime: the arrays of its statistics are buffers of a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from denoisert.export.zoo.digits import quality
from denoisert.export.zoo.digits.data import split_digits
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.runtime import (
    CFG,
    DDIM,
    RES,
    DPMpp2M,
    DPMSolverV3,
    Ending,
    Form,
    Request,
    Runtime,
    Start,
    Unguided,
)
from denoisert.runtime.sampling.solvers.statistics_estimate import estimate_statistics
from tests.runtime.spies import error
from tests.runtime.statistics_given import LEVELS, clean_statistics


@pytest.fixture(scope="module")
def runtime(digits_bundle: Path) -> Iterator[Runtime]:
    with Runtime.open(digits_bundle, threads=1) as opened:
        yield opened


@pytest.fixture
def single_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("order", "same"),
    [
        (1, DDIM()),
        (2, DPMpp2M(lower_order_below=0, form=Form.HEUN)),
        (2, RES(2)),
        (3, RES(3)),
    ],
    ids=repr,
)
def test_statistics_of_the_clean_estimate_make_v3_an_exponential_solver(
    runtime: Runtime, order: int, same: object
) -> None:
    solver = DPMSolverV3(order, ending=Ending.FULL)
    grid = LEVELS.grid(runtime.card.training.schedule, 10)
    start = Start(buffers=solver.externals(grid, clean_statistics()))
    told = {"seed": 4, "images": 2, "steps": 10, "schedule": LEVELS, "guidance": CFG(2.0)}
    found, wanted = runtime.generate(
        [Request(3, solver=solver, start=start, **told), Request(3, solver=same, **told)]
    )
    assert error(found.flat, wanted.flat) < 1e-5


@pytest.mark.usefixtures("single_thread")
def test_statistics_of_the_network_are_better_than_those(runtime: Runtime) -> None:
    """At first order and on fine levels, for which few samples suffice."""
    network = DigitsDiT(DigitsConfig())
    network.load_state_dict(load_file(Path(quality.__file__).parent / "weights.safetensors"))
    network.eval()

    def noise_estimate(x, point):
        latent = torch.from_numpy(x.reshape(-1, 1, 16, 16).astype(np.float32))
        time = torch.full((len(x),), point.model_time)
        with torch.inference_mode():
            velocity = network(latent, time, torch.full((len(x),), 3))
        return x + point.alpha * velocity.numpy().reshape(x.shape)

    path, solver = runtime.card.training.schedule, DPMSolverV3(1)
    train, _ = split_digits()
    data = train.images[train.labels == 3].reshape(-1, 256)[:16].astype(np.float64)
    levels = clean_statistics(25).half_logsnr
    own = estimate_statistics(noise_estimate, path, levels, data, distance=1e-2)
    grid = LEVELS.grid(path, 6)
    told = {"seed": 4, "images": 4, "schedule": LEVELS, "guidance": Unguided()}
    truth = runtime.generate(Request(3, solver=RES(3), steps=80, **told)).flat
    mine, plain = (
        runtime.generate(
            Request(3, solver=solver, steps=6, start=Start(buffers=buffers), **told)
        ).flat
        for buffers in (solver.externals(grid, each) for each in (own, clean_statistics()))
    )
    assert np.mean((mine - truth) ** 2) < 0.8 * np.mean((plain - truth) ** 2)
