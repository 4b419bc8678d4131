"""UNets on pixels: compiled, and equal to diffusers' pipelines on our noise."""

import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export.sources.diffusers.networks import build_network
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.export.sources.diffusers.stored import Files
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.runtime import CFG, Request, Respaced
from denoisert.runtime.errors import InvalidInput
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.folders import FAMILIES
from tests.export.families.layouts import ATTENTION
from tests.export.families.oracles import opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

DDPM, DDIM, ADM, CLASSES, CONSISTENCY = "ddpm", "ddim", "adm", "adm_classes", "consistency"
EVERY = (DDPM, DDIM, ADM, CLASSES, CONSISTENCY)
LIVE = 0.1
CHOICES = [
    (name, told, size)
    for name in EVERY
    for told in range(len(FAMILIES[name].told))
    for size in (0, 1)
]


def request(name, **choices):
    return FAMILIES[name].request(**choices)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "told", "size"), CHOICES)
def test_every_pipeline(name, told, size, engine, runtime, folder):
    asked = request(name, told=told, size=size)
    theirs = FAMILIES[name].pictures(folder(name), asked)
    assert_equal(runtime(name, engine).generate(asked), theirs)


def test_what_both_recommend(runtime, folder):
    """Nothing but a class is told; both make one step."""
    asked = Request(1, seed=5, size=(32, 32))
    found = runtime(CONSISTENCY).generate(asked)
    assert_equal(found, FAMILIES[CONSISTENCY].pictures(folder(CONSISTENCY), asked))
    assert found.nfe == 1


@pytest.mark.parametrize("steps", [1, 2, 3, 17])
def test_a_consistency_model_in_few_steps(steps, runtime, folder):
    asked = request(CONSISTENCY, told=1, size=1, steps=steps)
    theirs = FAMILIES[CONSISTENCY].pictures(folder(CONSISTENCY), asked)
    assert_equal(runtime(CONSISTENCY).generate(asked), theirs)


@pytest.mark.parametrize(("name", "told"), [(ADM, 0), (CLASSES, 1)])
def test_respacing(name, told, runtime, folder):
    """So many times of each half of the chain, and diffusers told them one by one."""
    spacing = Respaced((5, 3))
    grid = spacing.grid(runtime(name).card.training.schedule, 8)
    times = [int(time) for time in grid.model_time[:-1]]
    assert times != [875, 750, 625, 500, 375, 250, 125, 0]
    asked, pipeline = request(name, told=told), opened(folder(name))
    divide = partial(type(pipeline.scheduler).set_timesteps, pipeline.scheduler, timesteps=times)
    pipeline.scheduler.set_timesteps = lambda steps: divide()
    theirs = FAMILIES[name].pictures(folder(name), asked, pipeline=pipeline)
    respaced = runtime(name).generate(replace(asked, schedule=spacing))
    assert_equal(respaced, theirs)
    assert difference(runtime(name).generate(asked), respaced) > 0.01


def test_a_folder_of_the_first_versions(folder, tmp_path):
    """Everything beside the index, with former names of attention: diffusers reads it still."""
    flat = tmp_path / DDPM
    flat.mkdir()
    for path in (path for path in folder(DDPM).rglob("*") if path.is_file()):
        shutil.copy(path, flat / path.name)
    weights = flat / "diffusion_pytorch_model.safetensors"
    save_file({former(name): value for name, value in load_file(weights).items()}, weights)
    model = DiffusersFolder(flat)
    assert model.card == DiffusersFolder(folder(DDPM)).card
    unet = model.folder.components["unet"]
    files = find_weights(unet.folder, "diffusion_pytorch_model", flat)
    ours = build_network(unet, Files(files, "unet")).state_dict()
    theirs = opened(flat).unet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert any("query" in name for name in load_file(weights))


def former(name):
    """The name that a tensor of attention had."""
    for today, before in ATTENTION.items():
        name = name.replace(f".{today}.", f".{before}.")
    return name


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", EVERY)
def test_every_condition_counts(name, layout, once):
    found = changes(family_bundle(once, name), layout)
    assert set(found) == ({"time", "label"} if name in (CLASSES, CONSISTENCY) else {"time"})
    assert min(found.values()) > LIVE, found


@pytest.mark.parametrize("name", [CLASSES, CONSISTENCY])
def test_no_class_was_trained_to_mean_nothing(name, runtime):
    guided = replace(request(name, told=1), guidance=CFG(2.0))
    with pytest.raises(InvalidInput, match="no null condition"):
        runtime(name).generate(guided)
