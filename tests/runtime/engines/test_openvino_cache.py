"""Compiled graphs of OpenVINO in the device profile: the same bits, or made again."""

import numpy as np
import openvino
import pytest

from denoisert.runtime.engines.blobs import FOLDER
from denoisert.runtime.engines.openvino.forms import Forms
from denoisert.runtime.engines.openvino.pieces import EVERY, OPEN, POWERS
from denoisert.runtime.errors import Tampered
from tests.runtime.engines.openvino_graphs import Converted, answer, convert, drawn
from tests.runtime.networks import perceptron


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp("toy")
    return convert(perceptron().save(folder), folder, folder)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def digits(request, digits_bundle, tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp(request.param)
    graph = digits_bundle / "graphs" / "denoiser.onnx"
    return convert(graph, digits_bundle, folder, request.param)


@pytest.fixture
def compiling(monkeypatch):
    """How many graphs were compiled since."""
    counted = []
    compile_form = Forms._compile

    def count(forms, shapes):
        counted.append(shapes)
        return compile_form(forms, shapes)

    monkeypatch.setattr(Forms, "_compile", count)
    return counted


def stored(cache):
    return sorted((cache / FOLDER).iterdir())


@pytest.mark.parametrize("lanes_of_a_call", [OPEN, POWERS])
def test_what_is_imported_computes_the_same_bits(lanes_of_a_call, digits, tmp_path, compiling):
    """Lanes 5 are calls of 4 and 1."""
    buffers = drawn(digits.engine(), 5, seed=3)
    forms = 1 if lanes_of_a_call == OPEN else 2
    answers = []
    for cache in (tmp_path, tmp_path):
        engine = digits.engine(cache=cache, lanes=lanes_of_a_call)
        answers.append(answer(engine, 5, buffers))
        assert len(compiling) == len(stored(tmp_path)) == forms
    assert all(np.array_equal(answers[0][name], answers[1][name]) for name in answers[0])


def test_each_form_is_made_once(toy, tmp_path, compiling):
    engine = toy.engine(cache=tmp_path, lanes=EVERY)
    assert compiling == []
    for lanes in (2, 3, 2, 3):
        engine.bind(lanes, drawn(engine, lanes)).run()
    assert [shapes["latent"][0] for shapes in compiling] == [2, 3]
    engine = toy.engine(lanes=OPEN)
    for lanes in (2, 3):
        engine.bind(lanes, drawn(engine, lanes)).run()
    assert compiling[2:] == [{}]


def test_whatever_changes_a_blob_is_in_its_name(toy, tmp_path):
    """Threads, hint, group, shapes and graph."""
    other = convert(perceptron(seed=1).save(tmp_path), tmp_path, tmp_path / "other")
    cache = tmp_path / "cache"
    toy.engine(cache=cache, lanes=OPEN)
    ways = (
        {"threads": 2},
        {"hint": "bfloat16"},
        {"group": 32},
    )
    for count, options in enumerate(ways, 2):
        toy.engine(cache=cache, lanes=OPEN, **options)
        assert len(stored(cache)) == count
    other.engine(cache=cache, lanes=OPEN)
    assert len(stored(cache)) == 5
    engine = toy.engine(cache=cache, lanes=EVERY)
    engine.bind(1, drawn(engine, 1))
    assert len(stored(cache)) == 6
    toy.engine(cache=cache, lanes=OPEN)
    assert len(stored(cache)) == 6


def test_another_version_of_openvino_makes_its_own(toy, tmp_path, monkeypatch, compiling):
    toy.engine(cache=tmp_path, lanes=OPEN)
    monkeypatch.setattr(openvino, "__version__", "1.0")
    toy.engine(cache=tmp_path, lanes=OPEN)
    assert len(compiling) == len(stored(tmp_path)) == 2


def test_a_damaged_blob_is_made_again(toy, tmp_path, compiling):
    toy.engine(cache=tmp_path, lanes=OPEN)
    (path,) = stored(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    engine = toy.engine(cache=tmp_path, lanes=OPEN)
    buffers = drawn(engine, 2)
    engine.bind(2, buffers).run()
    assert np.isfinite(buffers["out_latent"]).all()
    assert len(compiling) == 2
    assert stored(tmp_path) == [path]
    toy.engine(cache=tmp_path, lanes=OPEN)
    assert len(compiling) == 2


def test_a_blob_that_openvino_refuses_is_made_again(toy, tmp_path, compiling):
    """Whole by its digest, and nothing that it can read."""
    engine = toy.engine(cache=tmp_path, lanes=OPEN)
    forms = engine._forms
    forms._blobs.write(forms._key({}), b"something else " * 1000)
    toy.engine(cache=tmp_path, lanes=OPEN)
    assert len(compiling) == 2


@pytest.mark.parametrize("lanes_of_a_call", [OPEN, EVERY])
def test_a_blob_that_others_may_write_is_refused(lanes_of_a_call, toy, tmp_path):
    def use():
        engine = toy.engine(cache=tmp_path, lanes=lanes_of_a_call)
        engine.bind(1, drawn(engine, 1)).run()

    use()
    (path,) = stored(tmp_path)
    path.chmod(0o620)
    with pytest.raises(Tampered, match="writable by its group"):
        use()
    path.unlink()
    use()


def test_a_cache_that_cannot_be_written_is_noted(toy, tmp_path):
    (tmp_path / "file").write_text("")
    engine = toy.engine(cache=tmp_path / "file", lanes=OPEN)
    assert "could not be cached" in engine.note
    engine.bind(1, drawn(engine, 1)).run()
