"""The comparison with peers: what they are asked and what becomes of their answers."""

import json
from collections import Counter

import numpy as np
import pytest

from bench import report
from bench.peers import environment, folder, prepare, quality, rounds, table
from bench.peers.__main__ import main
from bench.peers.measured import Measured
from bench.peers.process import PeerEnded
from bench.peers.provider import (
    PROVIDERS,
    REFERENCE,
)
from bench.peers.work import (
    CLASSES,
    GUIDANCE,
    REQUESTS,
    SEEDS,
    STEPS,
    TASKS,
    equal_settings,
    jobs,
    prompt,
)
from denoisert.kernels.philox import reference
from denoisert.runtime.measure.against import OURS, read
from denoisert.runtime.measure.record import Machine

MACHINE = Machine("c" * 40, False, "2026-01-01T00:00:00+00:00", "Chip 9", "6.1", "", 2, {"a": "1"})


def test_one_request_and_sixteen_equal_ones_share_their_settings():
    assert [(job.steps, job.guidance) for job in jobs("one")] == [(STEPS, GUIDANCE)]
    equal = jobs("equal", 5)
    assert equal_settings(equal)
    assert len({job.prompt for job in equal}) == len({job.seed for job in equal}) == REQUESTS
    assert [job.label for job in equal] == list(range(5, 5 + REQUESTS))
    assert jobs("one", CLASSES + 3)[0].label == 3


def test_mixed_requests_are_every_pair_of_settings():
    mixed = jobs("mixed")
    assert not equal_settings(mixed)
    assert len({(job.steps, job.guidance) for job in mixed}) == REQUESTS
    assert Counter(job.steps for job in mixed) == dict.fromkeys((10, 15, 20, 30), 4)
    assert {job.seed for job in mixed} == set(SEEDS)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="no task 'all'"):
        jobs("all")


def test_no_prompt_comes_twice():
    assert len({prompt(number) for number in range(256)}) == 256
    firsts = [
        prompt(first + job)
        for number in range(7)
        for task in TASKS
        for first in rounds.numbered(task, number)
        for job in range(len(jobs(task)))
    ]
    assert len(firsts) == len(set(firsts)) == 7 * (3 + 2 * REQUESTS)


def test_ddim_keeps_the_training_schedule_and_no_infinite_number():
    own = {
        "beta_start": 0.00085,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "lambda_min_clipped": -float("inf"),
    }
    config = folder.ddim_config(own)
    assert config["_class_name"] == "DDIMScheduler"
    assert {name: config[name] for name in own if name in config} == {
        name: value for name, value in own.items() if name != "lambda_min_clipped"
    }
    json.dumps(config, allow_nan=False)


@pytest.mark.parametrize("own", [{"trained_betas": [0.1]}, {"rescale_betas_zero_snr": True}])
def test_a_schedule_that_ddim_here_would_not_describe_is_refused(own):
    with pytest.raises(ValueError, match="terminal SNR"):
        folder.ddim_config(own)


def safetensors(names):
    header = json.dumps({name: {"data_offsets": [0, 4]} for name in names}).encode()
    return len(header).to_bytes(8, "little") + header + b"data"


def test_text_encoder_weights_get_the_published_names():
    found = folder.prefixed(safetensors(["encoder.a", "__metadata__"]))
    length = int.from_bytes(found[:8], "little")
    assert set(json.loads(found[8 : 8 + length])) == {"text_model.encoder.a", "__metadata__"}
    assert length % 8 == 0
    assert found[8 + length :] == b"data"
    assert folder.prefixed(found) == found


def test_model_is_copied_with_its_scheduler_replaced(tmp_path):
    source = tmp_path / "source"
    for part in ("scheduler", "text_encoder", "unet"):
        (source / part).mkdir(parents=True)
    (source / "model_index.json").write_text('{"scheduler": ["diffusers", "Other"]}')
    (source / "scheduler" / "scheduler_config.json").write_text('{"beta_start": 0.1}')
    (source / "text_encoder" / "model.safetensors").write_bytes(safetensors(["a"]))
    (source / "unet" / "config.json").write_text('{"in_channels": 4, "sample_size": 2}')
    out = tmp_path / "out"
    folder.write_model(source, out)
    assert json.loads((out / "model_index.json").read_text())["scheduler"][1] == "DDIMScheduler"
    assert json.loads((source / "model_index.json").read_text())["scheduler"][1] == "Other"
    assert b"text_model.a" in (out / "text_encoder" / "model.safetensors").read_bytes()
    prepare.write_noise(out, tmp_path / "noise.npz")
    with np.load(tmp_path / "noise.npz") as stored:
        assert set(stored) == {str(seed) for seed in SEEDS}
        truth = reference.normals(SEEDS[3], draw=0, count=16)
        np.testing.assert_allclose(stored[str(SEEDS[3])].ravel(), truth, rtol=1e-6)
        assert stored["7"].shape == (4, 2, 2)


def test_rounds_visit_all_and_turn_round():
    providers = PROVIDERS[:3]
    order = [provider.name[:4] + str(number) for number, provider in rounds.turns(providers, 3)]
    names = [provider.name[:4] for provider in providers]
    want = [name + "0" for name in names] + [name + "1" for name in names[::-1]]
    assert order == want + [name + "2" for name in names]


def test_quality_is_that_of_the_worst_picture():
    truth = np.full((2, 4, 4, 3), 100, np.uint8)
    other = truth.copy()
    assert quality.psnr_db(other, truth) == quality.EQUAL_DB
    other[1] += 5
    assert quality.psnr_db(other, truth) == pytest.approx(20 * np.log10(255 / 5))
    other[0, 0, 0, 0] = 0
    assert quality.max_error(other, truth) == 100
    assert quality.quality({"one": other}, {}, "one") == {}


def test_size_counts_what_was_installed_but_not_the_installer(tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    sizes = {"torch": 3, "torch-2.13.0.dist-info": 1, "pip": 9, "pip-23.dist-info": 9}
    for name, mib in {**sizes, "setuptools": 9, "pipeline": 2}.items():
        (site / name).mkdir(parents=True)
        (site / name / "file").write_bytes(b"x" * mib * environment.MIB)
    (site / "six.py").write_bytes(b"x" * environment.MIB)
    assert environment.size_mib(tmp_path) == pytest.approx(7, abs=0.1)
    assert environment.largest(tmp_path, 2) == "torch 3, pipeline 2"
    assert environment.packages(tmp_path) == 1


def drawn(shift):
    return {task: np.full((len(jobs(task)), 2, 2, 3), 9 + shift, np.uint8) for task in TASKS}


def test_records_make_the_table_of_the_document(tmp_path):
    providers = [each for each in PROVIDERS if each.name in (OURS, REFERENCE)]
    times = {task: [4.0, 2.0, 3.0] for task in TASKS}
    found = {
        each.name: Measured(times, [900.0], 5000.0, [120.0], 200.0, "", [0.5]) for each in providers
    }
    pictures = {OURS: drawn(1), REFERENCE: drawn(0)}
    made = list(table.records(providers, found, pictures, "unet", MACHINE))
    assert [record.case for record in made[:5]] == [
        table.CASES[name].format("unet") for name in (*TASKS, "cold", "peak")
    ]
    assert made[0].median == 3.0
    assert made[0].extra["max_error_of_255"] == 1.0
    assert made[1].extra["run_as"] == "lanes of one pool"
    assert made[3].extra["first_process_ms"] == 5000
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(record.line() for record in made))
    assert read(path) == made
    report.main([str(path), "--out", str(tmp_path / "x.md")])
    text = (tmp_path / "x.md").read_text()
    assert "| one unet, 20 steps | denoisert | 3 ms |" in text
    assert "| peak unet, memory of one picture | diffusers | 120 MiB |" in text


def test_times_are_compared_with_our_fastest_of_the_same_precision():
    medians = {"denoisert": 8.0, "denoisert openvino float32": 4.0, "diffusers": 6.0}
    providers = [each for each in PROVIDERS if each.name in (*medians, "diffusers bfloat16")]
    found = {
        each.name: Measured(
            {"one": [medians.get(each.name, 1.0)], "mixed": [], "equal": []}, loads=[0.5]
        )
        for each in providers
    }
    assert table.fastest(providers, found) == {("one", "float32"): 4.0}
    made = table.records(providers, found, {}, "emoji", MACHINE)
    ratios = {each.provider: each.extra.get("against_our_best_of_its_dtype") for each in made}
    assert ratios == {
        "denoisert": 2.0,
        "denoisert openvino float32": 1.0,
        "diffusers": 1.5,
        "diffusers bfloat16": None,
    }


def test_the_first_round_is_not_counted():
    mine = Measured()
    for number in range(3):
        mine.keep("one", [{"ms": 1.0 + number, "peak_mib": 5.0 + number}] * 2, number)
        mine.keep_cold(100.0 + number, {"peak_mib": 3.0}, number)
    assert mine.ms == {"one": [2.0, 2.0, 3.0, 3.0], "mixed": [], "equal": []}
    assert (mine.cold_first_ms, mine.cold_ms, mine.peak_mib) == (100.0, [101.0, 102.0], [3.0, 3.0])
    assert mine.warm_peak_mib == 7.0
    assert len(mine.loads) == 6


def test_a_provider_that_ends_leaves_the_others_alone(capsys):
    mine = Measured()
    with mine.failing():
        raise PeerEnded("it ended")
    assert mine.failure == "it ended"
    assert "it ended" in capsys.readouterr().out
    with pytest.raises(KeyError), mine.failing():
        raise KeyError


def test_what_was_not_measured_makes_no_record():
    found = {each.name: Measured() for each in PROVIDERS}
    assert not list(table.records(PROVIDERS, found, {}, "emoji", MACHINE))


def test_the_command_says_what_it_wants(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "prepare" in capsys.readouterr().err
