"""A network on every target beside torch: who calls it, on which numbers, what is said of it."""

import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from bench.case import Setting, Size
from bench.peers.model import DIT, UNET, source_of
from bench.peers.peer_denoisert import FORMS
from bench.peers.place import Place
from bench.run import ROOT, here
from bench.targets import contender, network, pictures
from bench.targets.subject import SUBJECTS, Subject, inputs_of
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.target import OnnxRuntime
from denoisert.runtime.measure.against import read


@pytest.fixture
def place(digits_bundle, tmp_path):
    """A place with the digits bundle of this run, which has engines for ONNX Runtime alone."""
    found = Place(tmp_path, "digits")
    found.files("bundle").parent.mkdir(parents=True)
    found.files("bundle").symlink_to(digits_bundle, target_is_directory=True)
    return found


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_numbers_fit_the_graph_and_are_the_same_again(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    found = inputs_of(bundle, 64)
    assert list(found) == ["latent", "time", "label"]
    assert found["latent"].shape == (64, 1, 16, 16)
    assert 0 <= found["time"].min() < 0.2 < 0.8 < found["time"].max() <= 1
    assert set(found["label"]) == set(range(10))
    for name, values in inputs_of(bundle, 64).items():
        np.testing.assert_array_equal(values, found[name])


def test_every_contender_computes_the_same_network(place, one_thread):
    """Not torch.compile, which comes last and takes long; it has the reference's network."""
    subject, bundle = Subject(place), Bundle.open(place.files("bundle"))
    given = inputs_of(bundle, 3)
    found = {}
    for each in islice(contender.contenders(subject, bundle, 1), 3):
        call, output = each.bind(given)
        call()
        found[each.name] = (each.dtype, output())
    assert list(found) == ["denoisert", "torch eager", "torch eager bfloat16"]
    truth = found["torch eager"][1]
    assert truth.shape == (3, 1, 16, 16)
    for dtype, output in found.values():
        error = network.compared(output, truth)["max_error"]
        assert error < (2e-6 if dtype == "float32" else 3e-2)
    assert network.compared(found["torch eager bfloat16"][1], truth)["rms_error"] > 1e-4


def test_errors_are_relative_to_the_reference():
    truth = np.array([1.0, -4.0, 2.0, 2.0])
    other = truth + np.array([0.0, 0.0, 0.2, 0.0])
    assert network.compared(other, truth) == {"max_error": 0.05, "rms_error": 0.04}
    assert network.compared(truth, truth) == {"max_error": 0.0, "rms_error": 0.0}


def test_calls_take_turns_and_short_ones_are_repeated():
    seen = []
    calls = {"short": lambda: seen.append("short"), "long": lambda: (seen.append("long"), _wait())}
    times = network.interleaved(calls, 2)
    assert {name: len(values) for name, values in times.items()} == {"short": 2, "long": 2}
    assert seen.count("long") == 2 + 3  # one that may compile, one to count, three rounds
    assert seen.count("short") > 100
    assert seen[-1] == "long"
    assert min(times["long"]) > max(times["short"])


def _wait():
    time.sleep(network.SAMPLE_MS / 1e3)


def test_the_fastest_of_ours_is_found_for_each_dtype():
    mine = contender.Contender("denoisert", "float32", None, {})
    found = [mine, replace(mine, name="denoisert x"), replace(mine, name="torch eager")]
    found.append(replace(mine, name="denoisert y", dtype="int8"))
    times = {"denoisert": [5.0], "denoisert x": [4.0], "torch eager": [1.0], "denoisert y": [2.0]}
    assert network.fastest(found, times) == {"float32": 4.0, "int8": 2.0}


def test_a_record_says_who_in_what_and_how_far_off(place, one_thread, monkeypatch):
    def few(*asked):
        """Ours alone and the reference: nothing compiles for half a minute."""
        return islice(contender.contenders(*asked), 2)

    setting = Setting(Size.TINY, here(), place.files("bundle"))
    monkeypatch.setattr(network, "contenders", few)
    made = list(network.measure(Subject(place), setting, threads=1, rounds=1, lanes=(2,)))
    assert [each.case for each in made] == ["targets/digits 2 lanes, 1 threads"] * 2
    ours, theirs = made
    assert (ours.provider, ours.dtype, theirs.provider) == ("denoisert", "float32", "torch eager")
    assert ours.extra["mib"] > 1
    assert ours.extra["max_error"] < 2e-6
    assert ours.extra["against_our_best_of_its_dtype"] == 1.0
    assert theirs.extra["max_error"] == 0.0


def test_pictures_are_judged_on_every_target_of_the_bundle(place, monkeypatch):
    few = {"digits": replace(pictures.YARDSTICKS["digits"], images=1)}
    monkeypatch.setattr(pictures, "YARDSTICKS", few)
    setting = Setting(Size.TINY, here(), place.files("bundle"))
    (record,) = pictures.measure(Subject(place), setting, threads=1)
    assert (record.provider, record.dtype) == ("denoisert", "float32")
    assert record.repeats == (0, 10)
    assert record.extra["right"] >= 0.8
    assert record.extra["rms_to_float32"] == 0.0
    assert 0 < record.median < 0.4


def test_models_of_usual_size_have_what_the_readme_says():
    import diffusers

    for model, least, most in ((UNET, 17e6, 25e6), (DIT, 39e6, 41e6)):
        with torch.device("meta"):
            built = getattr(diffusers, model.network)(**model.config)
        assert least < sum(each.numel() for each in built.parameters()) < most


def test_the_models_lie_where_they_are_looked_for(tmp_path):
    assert set(SUBJECTS) == {"digits", "emoji", "unet", "dit"}
    assert (source_of(Place(tmp_path, "emoji")) / "model_index.json").exists()
    assert FORMS[0] == OnnxRuntime.name


@pytest.mark.slow
def test_the_command_measures_one_model_on_one_thread(place, tmp_path):
    out = tmp_path / "x.jsonl"
    given = [str(place.root), "--model", "digits", "--threads", "1", "--rounds", "1"]
    command = [sys.executable, "-m", "bench.targets", *given, "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    made = read(out)
    assert {each.provider for each in made} > {"denoisert", "torch eager", "torch.compile"}
    assert {each.case for each in made} == {
        f"targets/digits {lanes} lanes, 1 threads" for lanes in network.LANES
    }
    assert all(each.extra["max_error"] < 3e-2 for each in made)
