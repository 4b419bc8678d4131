"""A class-conditioned transformer trained as a flow, in a folder of DiTPipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler

from denoisert.export.families.dit import DiT
from denoisert.export.families.family import Material
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.runtime import Request, Runtime
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Even, Flow, ResolutionShifted
from denoisert.runtime.sampling.solvers import ConsistencyMultistep, FlowEuler, FlowHeun, Solver
from tests.export.families.bundles import ENGINES, assert_equal, changes, family_bundle
from tests.export.families.dit import flow_to_image
from tests.export.families.folders import FAMILIES, family_folder

FLOW = FAMILIES["flow_dit"]
LIVE = 0.1
EULER, HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
TRANSFORMER = {"in_channels": 4, "out_channels": 4, "sample_size": 32, "num_embeds_ada_norm": 1000}


def card_of(
    scheduler: dict[str, Any] | None = None,
    kind: str = EULER,
    sizes: tuple[tuple[int, int], ...] = (),
    **transformer: object,
) -> Card:
    """The card of SiT-XL/2's shape, with other values in its configurations."""
    parts = {
        "transformer": Component("transformer", "", "", Path(), TRANSFORMER | transformer),
        "vae": Component("vae", "", "", Path(), {"block_out_channels": [8, 8, 8, 8]}),
        "scheduler": Component("scheduler", "", kind, Path(), scheduler or {}),
    }
    folder = Folder(Path("sit"), "DiTPipeline", parts, {})
    material = Material(folder, options=CompileOptions(sizes=sizes))
    return DiT().card(material, DiT().sampling(material))


def test_the_network_is_told_a_thousand_times_t() -> None:
    card = card_of()
    assert card.training.parametrisation is Parametrisation.FLOW
    schedule = card.training.schedule
    assert schedule == Flow(1.0, time_scale=1000.0)
    assert (schedule.first, schedule.last) == (1000.0, 0.0)
    advice = card.sampler
    assert (advice.solver, advice.spacing) == (FlowEuler(), Even(last=0.001))
    assert advice.guidance == CFG(4.0)
    (label,) = card.conditions
    assert (label.classes, label.null) == (1000, 1000.0)


@pytest.mark.parametrize("returned", [4, 8])
def test_what_lies_behind_the_velocity_is_dropped(returned: int) -> None:
    """SiT's networks have it, and its own code splits it off."""
    ((slice_of,),) = card_of(out_channels=returned).network.ports
    assert (slice_of.first, slice_of.channels) == (0, 4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_times_are_those_of_the_scheduler(shift: float) -> None:
    card = card_of({"shift": shift})
    grid = card.sampler.spacing.grid(card.training.schedule, 5)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(5)
    np.testing.assert_allclose(grid.model_time[:-1], scheduler.timesteps.numpy(), rtol=1e-6)


def test_a_shift_by_size_counts_tokens() -> None:
    spacing = card_of({"use_dynamic_shifting": True}).sampler.spacing
    assert isinstance(spacing, ResolutionShifted)
    assert spacing.of((4, 32, 48)).tokens == 16 * 24


@pytest.mark.parametrize(
    ("kind", "scheduler", "solver"),
    [
        (HEUN, {}, FlowHeun()),
        (EULER, {"stochastic_sampling": True}, ConsistencyMultistep()),
    ],
)
def test_other_samplers_of_flows(kind: str, scheduler: dict[str, Any], solver: Solver) -> None:
    assert card_of(scheduler, kind).sampler.solver == solver


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ({"invert_sigmas": True}, "invert_sigmas"),
        ({"num_train_timesteps": 1}, "num_train_timesteps is 1"),
    ],
)
def test_what_no_table_has(scheduler: dict[str, Any], words: str) -> None:
    """Data at t = 1, as in SiT's own code, and networks that are told t itself."""
    with pytest.raises(ExportError, match=words):
        card_of(scheduler)


def test_a_size_is_whole_tokens() -> None:
    assert card_of(sizes=((256, 512),)).layout.parts[0].shape == (4, 32, 64)
    with pytest.raises(InvalidInput, match="multiples of 16 pixels"):
        card_of(sizes=((256, 264),))
    assert card_of(sizes=((256, 264),), patch_size=1).layout.parts[0].shape == (4, 32, 33)


@pytest.fixture(scope="module")
def folder(once):
    return family_folder(once, "flow_dit")


@pytest.fixture(scope="module", params=ENGINES)
def runtime(request, once):
    path, device = family_bundle(once, "flow_dit"), ENGINES[request.param]
    with Runtime.open(path, threads=1, devices=(device,)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("told", [0, 1])
def test_classes_to_pictures(told, size, guidance, *, runtime, folder) -> None:
    asked = FLOW.request(told=told, size=size, guidance=guidance)
    assert_equal(runtime.generate(asked), flow_to_image(folder, asked))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_the_card_recommends(runtime, folder) -> None:
    steps = runtime.card.sampler.steps
    asked = Request(2, seed=5, size=(32, 32))
    said = FLOW.request(told=1, seed=5, images=1, guidance=1, steps=steps)
    assert_equal(runtime.generate(asked), flow_to_image(folder, said))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", [0, 1])
def test_every_condition_counts(layout, once) -> None:
    found = changes(family_bundle(once, "flow_dit"), layout)
    assert set(found) == {"time", "label"}
    assert min(found.values()) > LIVE, found
