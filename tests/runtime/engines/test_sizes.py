"""Engines of graphs whose height and width have names: one set of weights, fixed sizes on top."""

import gc
import threading
import weakref

import numpy as np
import onnx
import pytest

from denoisert.runtime.engines.engine import Port, fixed
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import BuildError, EngineError, OutOfProfile
from tests.runtime.networks import perceptron
from tests.runtime.sized import SIZES, layouts, network, sized_card, sized_model

FIRST, SECOND = ({"height": height, "width": width} for height, width in SIZES)


@pytest.fixture(params=["onnxruntime", "torch"])
def load(request, tmp_path):
    """From a model to an engine of it."""

    def loaded(model):
        path = tmp_path / "graph.onnx"
        onnx.save(model, path)
        if request.param == "torch":
            return TorchEngine(path, tmp_path)
        return OrtEngine(path, tmp_path, threads=1)

    return loaded


@pytest.fixture
def engine(load):
    return load(sized_model(sized_card(*SIZES)))


def drawn(engine, lanes, seed=0):
    rng = np.random.default_rng(seed)
    buffers = {port.name: port.buffer(lanes) for port in (*engine.inputs, *engine.outputs)}
    buffers["latent"][...] = rng.standard_normal(buffers["latent"].shape)
    buffers["time"][...] = rng.random(lanes)
    buffers["label"][...] = rng.integers(0, 10, lanes)
    buffers["out_latent"].fill(np.nan)
    return buffers


def test_a_port_fixes_the_names_it_has_but_never_its_lanes():
    port = Port("x", "float32", ("lanes", 3, "height", "width"))
    assert port.open_axes == ("height", "width")
    assert port.at({"width": 5, "lanes": 2, "depth": 9}).dims == ("lanes", 3, "height", 5)
    assert port.at({"width": 5, "height": 4}).shape(2) == (2, 3, 4, 5)
    assert port.at({}) == port
    with pytest.raises(OutOfProfile, match=r"Fix height, width by `Engine\.at`"):
        port.shape(2)
    with pytest.raises(OutOfProfile, match="Fix height by"):
        port.at({"width": 5}).nbytes(1)


def test_one_engine_at_two_sizes_is_the_graph_of_each(load, engine):
    """Bound at the same time and run in turns."""
    assert engine.inputs[0].dims == ("lanes", 4, "height", "width")
    views = [engine.at(sizes) for sizes in (FIRST, SECOND)]
    assert [view.inputs[0].dims[2:] for view in views] == list(SIZES)
    assert [view.outputs[0].dims[2:] for view in views] == list(SIZES)
    given = [drawn(view, 3, seed) for seed, view in enumerate(views)]
    bounds = [view.bind(3, each) for view, each in zip(views, given, strict=True)]
    for bound in (*bounds, *reversed(bounds)):
        bound.run()
    for layout, each in zip(layouts(*SIZES), given, strict=True):
        alone = load(network(layout).model)
        again = {name: array.copy() for name, array in each.items()}
        again["out_latent"].fill(np.nan)
        alone.bind(3, again).run()
        assert np.array_equal(each["out_latent"], again["out_latent"])
        assert np.isfinite(each["out_latent"]).all()


def test_nothing_to_fix_is_the_engine_itself(load, engine):
    assert engine.at({}) is engine
    assert engine.at({"depth": 3}) is engine
    plain = load(perceptron().model)
    assert plain.at(FIRST) is plain
    view = engine.at(FIRST)
    assert view.at(SECOND) is view
    assert view.buckets == engine.buckets


def test_an_open_size_binds_nothing(engine):
    half = engine.at({"height": 6})
    for each in (engine, half):
        with pytest.raises(OutOfProfile, match="width"):
            each.bind(1, drawn(engine.at(FIRST), 1))


def test_buffers_of_another_size_are_refused(engine):
    with pytest.raises(OutOfProfile, match=r"latent takes float32 \(1, 4, 6, 4\)"):
        engine.at(FIRST).bind(1, drawn(engine.at(SECOND), 1))


def test_closing_any_of_them_closes_all(engine):
    views = engine.at(FIRST), engine.at(SECOND)
    views[0].close()
    views[1].close()
    engine.close()
    for each in views:
        with pytest.raises(EngineError, match="closed"):
            each.bind(1, drawn(each, 1))


def test_a_named_axis_that_the_card_does_not_speak_of_is_a_build_error(load, engine):
    assert fixed(engine, FIRST, "denoiser").inputs[0].open_axes == ()
    with pytest.raises(BuildError, match=r"axes width of 'denoiser'.*its card fixes height"):
        fixed(engine, {"height": 6}, "denoiser")
    with pytest.raises(BuildError, match=r"axes height, width of 'denoiser'.*fixes none"):
        fixed(engine, {}, "denoiser")


def test_torch_shares_weights_between_sizes_and_keeps_their_arenas_apart(tmp_path):
    """Pools of two sizes have a stream each on a GPU: their calls may overlap."""
    path = tmp_path / "graph.onnx"
    onnx.save(sized_model(sized_card(*SIZES)), path)
    engine = TorchEngine(path, tmp_path)
    views = [engine.at(sizes) for sizes in (FIRST, SECOND)]
    plans = [view.plan(2) for view in views]
    assert plans[0] is not plans[1]
    assert engine.at(FIRST).plan(2) is plans[0]
    for view in views:
        view.function(2)
    arenas = {engine._plans.arena(view.inputs, 64).data_ptr() for view in views}
    assert len(arenas) == 2
    assert engine._plans.arena(views[0].inputs, 32).data_ptr() in arenas
    weights = [name for name, where in engine._plans._constants if where == ()]
    assert len(weights) == len(set(weights)) > 2
    others = []
    thread = threading.Thread(
        target=lambda: others.append(engine._plans.arena(views[0].inputs, 64).data_ptr())
    )
    thread.start()
    thread.join()
    assert not arenas & set(others)


def test_a_closed_view_frees_the_session(tmp_path):
    path = tmp_path / "graph.onnx"
    onnx.save(sized_model(sized_card(*SIZES)), path)
    engine = OrtEngine(path, tmp_path, threads=1)
    view = engine.at(FIRST)
    session = weakref.ref(engine._opened.session)
    view.close()
    gc.collect()
    assert session() is None
