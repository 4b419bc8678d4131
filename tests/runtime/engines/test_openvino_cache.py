"""Compiled graphs of OpenVINO in the device profile: the same bits, or made again."""

import numpy as np
import openvino
import pytest

from denoisert.runtime.engines.blobs import FOLDER
from denoisert.runtime.engines.openvino.forms import Forms
from denoisert.runtime.errors import Tampered
from tests.runtime.engines.openvino_graphs import Converted, answer, convert, drawn
from tests.runtime.networks import perceptron

OPEN, FIXED = 0, 2**40


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


@pytest.mark.parametrize("static_bytes", [OPEN, FIXED])
def test_what_is_imported_computes_the_same_bits(static_bytes, digits, tmp_path, compiling):
    buffers = drawn(digits.engine(), 4, seed=3)
    answers = []
    for cache in (None, tmp_path, tmp_path):
        engine = digits.engine(cache=cache, static_bytes=static_bytes)
        answers.append([answer(engine, lanes, buffers) for lanes in (1, 4)])
    assert len(compiling) == 2 * (1 if static_bytes == OPEN else 2)
    assert len(stored(tmp_path)) == len(compiling) / 2
    for other in answers[1:]:
        for wanted, found in zip(answers[0], other, strict=True):
            assert all(np.array_equal(wanted[name], found[name]) for name in wanted)


def test_each_form_is_made_once(toy, tmp_path, compiling):
    engine = toy.engine(cache=tmp_path, static_bytes=FIXED)
    assert compiling == []
    for lanes in (2, 3, 2, 3):
        engine.bind(lanes, drawn(engine, lanes)).run()
    assert [shapes["latent"][0] for shapes in compiling] == [2, 3]
    engine = toy.engine(static_bytes=OPEN)
    for lanes in (2, 3):
        engine.bind(lanes, drawn(engine, lanes)).run()
    assert compiling[2:] == [{}]


def test_whatever_changes_a_blob_is_in_its_name(toy, tmp_path):
    """Threads, hint, group, shapes and graph."""
    other = convert(perceptron(seed=1).save(tmp_path), tmp_path, tmp_path / "other")
    cache = tmp_path / "cache"
    toy.engine(cache=cache, static_bytes=OPEN)
    ways = (
        {"threads": 2},
        {"hint": "bfloat16"},
        {"group": 32},
    )
    for count, options in enumerate(ways, 2):
        toy.engine(cache=cache, static_bytes=OPEN, **options)
        assert len(stored(cache)) == count
    other.engine(cache=cache, static_bytes=OPEN)
    assert len(stored(cache)) == 5
    engine = toy.engine(cache=cache, static_bytes=FIXED)
    engine.bind(1, drawn(engine, 1))
    assert len(stored(cache)) == 6
    toy.engine(cache=cache, static_bytes=OPEN)
    assert len(stored(cache)) == 6


def test_another_version_of_openvino_makes_its_own(toy, tmp_path, monkeypatch, compiling):
    toy.engine(cache=tmp_path, static_bytes=OPEN)
    monkeypatch.setattr(openvino, "__version__", "1.0")
    toy.engine(cache=tmp_path, static_bytes=OPEN)
    assert len(compiling) == len(stored(tmp_path)) == 2


def test_a_damaged_blob_is_made_again(toy, tmp_path, compiling):
    toy.engine(cache=tmp_path, static_bytes=OPEN)
    (path,) = stored(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    engine = toy.engine(cache=tmp_path, static_bytes=OPEN)
    buffers = drawn(engine, 2)
    engine.bind(2, buffers).run()
    assert np.isfinite(buffers["out_latent"]).all()
    assert len(compiling) == 2
    assert stored(tmp_path) == [path]
    toy.engine(cache=tmp_path, static_bytes=OPEN)
    assert len(compiling) == 2


def test_a_blob_that_openvino_refuses_is_made_again(toy, tmp_path, compiling):
    """Whole by its digest, and nothing that it can read."""
    engine = toy.engine(cache=tmp_path, static_bytes=OPEN)
    forms = engine._forms
    forms._blobs.write(forms._key({}), b"something else " * 1000)
    toy.engine(cache=tmp_path, static_bytes=OPEN)
    assert len(compiling) == 2


@pytest.mark.parametrize("static_bytes", [OPEN, FIXED])
def test_a_blob_that_others_may_write_is_refused(static_bytes, toy, tmp_path):
    def use():
        engine = toy.engine(cache=tmp_path, static_bytes=static_bytes)
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
    engine = toy.engine(cache=tmp_path / "file", static_bytes=OPEN)
    assert "could not be cached" in engine.note
    engine.bind(1, drawn(engine, 1)).run()
