"""`verify --parity` on engines that are right, wrong, broken, sociable, or not for here."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.export import verification
from denoisert.export.parity import BOUNDS
from denoisert.export.verification import check
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.errors import InvalidInput
from tests.export.engine_sets import scaled, sociable, toy_bundle
from tests.runtime.networks import perceptron

TOY = perceptron()
RIGHT = TOY.model.SerializeToString()
FIXED = perceptron(batch=4)


def checked(path) -> tuple[bool, list[str]]:
    lines: list[str] = []
    return check(Bundle.open(path), lines.append), lines


def test_right_engines_pass_with_a_line_on_parity_and_one_on_batches(tmp_path):
    sets = {"onnxruntime": RIGHT, "tensorrt-rtx-float16": b"none", "onnxruntime-float4": b"none"}
    is_within, lines = checked(toy_bundle(tmp_path, TOY, sets))
    assert is_within
    assert lines[0] == (
        "not run  denoiser onnxruntime-float4: this version of DenoiseRT does not know the target"
    ) or lines[0].startswith("parity   denoiser onnxruntime: relative error ")
    assert sorted(line.split()[0] for line in lines) == ["batches", "not", "not", "parity"]
    (parity,) = (line for line in lines if line.startswith("parity"))
    assert parity.endswith("at most 1e-04 in float32")
    assert (
        "batches  denoiser onnxruntime: a lane is bit for bit the same in calls of 1, 2, 4, 8"
    ) in lines
    assert any(
        line.startswith("not run  denoiser tensorrt-rtx-float16: it needs") for line in lines
    )


def test_the_bound_is_that_of_the_dtype(tmp_path):
    """Two percent are too much in float32 and less than int8 may have."""
    wrong = scaled(TOY, 1.02)
    sets = {"onnxruntime": wrong, "onnxruntime-int8": wrong}
    path = toy_bundle(tmp_path, TOY, sets, {"onnxruntime-int8": "int8"})
    is_within, lines = checked(path)
    assert not is_within
    found = [line for line in lines if not line.startswith("batches")]
    assert found == [
        "DIFFERS  denoiser onnxruntime: relative error 2.0e-02, at most 1e-04 in float32",
        "parity   denoiser onnxruntime-int8: relative error 2.0e-02, at most "
        f"{BOUNDS['int8']:.0e} in int8",
    ]


def test_an_answer_that_is_not_finite_is_infinitely_far(tmp_path):
    is_within, lines = checked(toy_bundle(tmp_path, TOY, {"onnxruntime": scaled(TOY, np.inf)}))
    assert not is_within
    assert lines[0].startswith("DIFFERS  denoiser onnxruntime: relative error inf")


def test_an_engine_that_cannot_be_loaded_fails(tmp_path):
    is_within, lines = checked(toy_bundle(tmp_path, TOY, {"onnxruntime": b"no graph"}))
    assert not is_within
    (line,) = lines
    assert line.startswith("FAILED   denoiser onnxruntime: engines/onnxruntime/denoiser.onnx does")
    assert "BuildError: ONNX Runtime refuses" in line


def test_lanes_that_feel_their_company_are_measured(tmp_path):
    path = toy_bundle(
        tmp_path, TOY, {"onnxruntime": sociable(TOY, 0.02)}, {"onnxruntime": "bfloat16"}
    )
    is_within, lines = checked(path)
    assert is_within
    (line,) = (line for line in lines if line.startswith("batches"))
    assert "a lane moves by up to " in line
    assert line.endswith("relative, between calls of 1, 2, 4, 8")


@pytest.mark.parametrize(("most", "counts"), [(3, "1, 2, 3"), (16, "1, 2, 4, 8")])
def test_batches_are_those_that_an_engine_was_compiled_for(tmp_path, most, counts):
    profiles = (Profile({"lanes": (1, 2, most)}),)
    is_within, lines = checked(toy_bundle(tmp_path, TOY, {"onnxruntime": RIGHT}, None, profiles))
    assert is_within
    assert lines[-1].endswith(f"bit for bit the same in calls of {counts}")


def test_a_fixed_batch_has_nothing_to_compare(tmp_path):
    sets = {"onnxruntime": FIXED.model.SerializeToString()}
    is_within, lines = checked(toy_bundle(tmp_path, FIXED, sets))
    assert is_within
    assert lines[-1].endswith("one number of lanes for every call, so there is nothing to compare")


def test_one_time_for_all_lanes_is_no_row_of_theirs(tmp_path):
    toy = perceptron(time=TimeShape.SCALAR)
    sets = {"onnxruntime": toy.model.SerializeToString()}
    is_within, lines = checked(toy_bundle(tmp_path, toy, sets))
    assert is_within
    assert lines[-1].endswith("bit for bit the same in calls of 1, 2, 4, 8")


def test_a_graph_without_finite_answers_is_refused(tmp_path):
    broken = perceptron(gain=np.inf)
    with pytest.raises(InvalidInput, match="not finite on random inputs"):
        checked(toy_bundle(tmp_path, broken, {"onnxruntime": RIGHT}))


@pytest.mark.slow
def test_every_size_and_component_of_a_model_is_compared(text_bundle):
    """Text encoder, denoiser, decoder and encoder; whole pictures in batches of two."""
    is_within, lines = checked(text_bundle)
    assert is_within
    names = [line.split()[1] for line in lines if line.startswith("parity")]
    assert set(names) == {"text_encoder", "denoiser", "decoder", "encoder"}
    (decoder,) = (line for line in lines if line.startswith("batches  decoder"))
    assert decoder.endswith("calls of 1, 2")


def test_the_command_verifies_first_and_exits_by_what_it_finds(tmp_path, capsys):
    for name, engine in (("right", RIGHT), ("wrong", scaled(TOY, 2.0))):
        (tmp_path / name).mkdir()
        path = toy_bundle(tmp_path / name, TOY, {"onnxruntime": engine})
        assert main(["verify", str(path), "--parity"]) == (name == "wrong")
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [
            *("OK", "OK", "2"),
            *(("parity",) if name == "right" else ("DIFFERS",)),
            "batches",
        ]


def test_damage_is_found_before_anything_runs(tmp_path, capsys, monkeypatch):
    path = toy_bundle(tmp_path, TOY, {"onnxruntime": RIGHT})
    engine = path / "engines" / "onnxruntime" / "denoiser.onnx"
    engine.write_bytes(engine.read_bytes().replace(b"latent", b"latenT", 1))
    monkeypatch.setattr(verification, "open_graph", None)  # nobody may come so far
    assert main(["verify", str(path), "--parity"]) == 1
    shown = capsys.readouterr()
    assert "Tampered" in shown.err
    assert "parity" not in shown.out
