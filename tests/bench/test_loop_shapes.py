"""Shapes of published sizes: counted, written, checked, run, and no input of them is dead."""

from itertools import pairwise

import numpy as np
import onnx
import pytest

from bench.loop.shapes import files
from bench.loop.shapes.dit import DIT_S, DIT_XL, TINY_DIT, DiT
from bench.loop.shapes.files import inputs, parameters, saved
from bench.loop.shapes.graph import ALIGNMENT, Graph
from bench.loop.shapes.unet import SD15, SDXL, TINY_SD15, TINY_SDXL
from denoisert.runtime.engines.ort import OrtEngine

TINY = [TINY_SD15, TINY_SDXL, TINY_DIT]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


def draw(shape, lanes, seed=0):
    """Random inputs; labels that differ from lane to lane."""
    generator = np.random.default_rng(seed)
    found = {}
    for port in inputs(shape):
        is_label = port.dtype == "int64"
        found[port.name] = (
            np.arange(lanes) + 1
            if is_label
            else generator.standard_normal(port.shape(lanes), np.float32)
        )
    found["time"] = np.linspace(3.0, 990.0, lanes, dtype=np.float32)
    return found


def answer(engine, feed):
    lanes = len(feed["time"])
    (output,) = engine.outputs
    buffers = {**feed, output.name: output.buffer(lanes)}
    engine.bind(lanes, buffers).run()
    return buffers[output.name]


# UNet2DConditionModel of diffusers 0.42.1 has these counts exactly. Its DiTTransformer2DModel has
# 749,826,464, as it repeats the embedding in every block; the published 675,129,632 has one, and
# counts the positions.
@pytest.mark.parametrize(
    ("shape", "published"),
    [(SD15, 859_520_964), (SDXL, 2_567_463_684), (DIT_XL, 675_129_632)],
    ids=lambda value: getattr(value, "name", value),
)
def test_full_sizes_have_the_published_number_of_parameters(shape, published):
    assert parameters(shape) == published


@pytest.mark.parametrize("shape", [*TINY, DIT_S], ids=lambda shape: shape.name)
def test_other_sizes_are_small(shape):
    assert parameters(shape) < (34e6 if shape is DIT_S else 150e3)


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_graph_is_valid_and_runs_at_any_number_of_lanes(shape, shelf):
    graph, root = saved(shape, shelf)
    onnx.checker.check_model(str(graph), full_check=True)
    engine = OrtEngine(graph, root, threads=1)
    assert [port.name for port in engine.inputs] == [port.name for port in inputs(shape)]
    feed = draw(shape, 4)
    whole = answer(engine, feed)
    assert whole.shape == shape.output.shape(4)
    assert np.isfinite(whole).all()
    assert 0.1 < whole.std() < 5.0
    for lanes in (1, 2):
        part = answer(engine, {name: value[:lanes].copy() for name, value in feed.items()})
        np.testing.assert_allclose(part, whole[:lanes], atol=1e-5)


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_every_input_moves_every_lane(shape, shelf):
    graph, root = saved(shape, shelf)
    engine, feed = OrtEngine(graph, root, threads=1), draw(shape, 3)
    before = answer(engine, feed)
    for name, value in feed.items():
        after = answer(engine, {**feed, name: np.roll(value, 1, axis=0)})
        moved = np.abs(after - before).max(axis=(1, 2, 3)) / np.abs(before).max()
        assert moved.min() > 0.1, name


def test_weights_lie_aligned_and_are_the_same_again(shelf, tmp_path):
    graph = Graph()
    TINY_DIT.describe(graph)
    assert all(weight.offset % ALIGNMENT == 0 for weight in graph.weights)
    assert all(one.end <= two.offset for one, two in pairwise(graph.weights))
    first, again = saved(TINY_DIT, shelf), saved(TINY_DIT, tmp_path)
    assert saved(TINY_DIT, shelf) == first
    weights = [(each.root / "weights.bin").read_bytes() for each in (first, again)]
    assert weights[0] == weights[1]
    assert first.graph.read_bytes() == again.graph.read_bytes()


def test_the_faster_of_two_writers_wins(tmp_path):
    for name in ("slow", "done"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    files._publish(tmp_path / "slow", tmp_path / "done")
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    assert (tmp_path / "done" / "x").read_text() == "done"
    with pytest.raises(OSError, match="No such file"):
        files._publish(tmp_path / "gone", tmp_path / "nowhere")


def test_a_weight_is_drawn_as_described(shelf, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 1000)  # several chunks, which must differ
    shape = DiT("dit-chunks", (4, 8, 8), width=48, depth=1, heads=2)
    graph = Graph()
    shape.describe(graph)
    saved_files = saved(shape, shelf)
    data = np.fromfile(saved_files.root / "weights.bin", np.float32)
    large = max(graph.weights, key=lambda weight: weight.size)
    values = data[large.offset // 4 :][: large.size]
    assert values.std() == pytest.approx(large.deviation, rel=0.05)
    assert values.mean() == pytest.approx(large.mean, abs=0.05 * large.deviation)
    assert abs(np.corrcoef(values[:1000], values[1000:2000])[0, 1]) < 0.15


def test_constants_of_one_shape_are_told_apart():
    graph = Graph()
    names = {graph.constant([0, 8, 4, last], np.int64) for last in (1, 2, 1)}
    assert len(names) == 2


@pytest.mark.parametrize("shape", [SD15, SDXL, DIT_XL, DIT_S], ids=lambda shape: shape.name)
def test_full_sizes_fit_together(shape):
    """Shapes are inferred from the description alone; no weight is drawn."""
    graph = Graph()
    output = shape.describe(graph)
    model = graph.model(inputs(shape), shape.output, output)
    for node in model.graph.node:  # onnx infers no shape of a group norm, which keeps its input's
        if node.op_type == "GroupNormalization":
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    sizes = {value.name: value.type.tensor_type.shape.dim for value in inferred.value_info}
    found = [size.dim_value for size in sizes[output]]
    assert found[1:] == list(shape.output.dims[1:])
