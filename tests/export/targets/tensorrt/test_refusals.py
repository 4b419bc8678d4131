"""Graphs, profiles and capabilities that TensorRT for RTX cannot compile: what is named."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from onnx import numpy_helper

from denoisert.export.targets.tensorrt.compiler import build
from denoisert.runtime.engines import driver
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.errors import (
    BuildError,
    OutOfProfile,
    UnsupportedOperator,
)
from tests.export.targets.tensorrt.graphs import (
    DYNAMIC,
    IMAGE,
    NODE,
    STATIC,
    built,
    convolution,
    external,
    job,
    relu,
    reshape,
    saved,
    silent,
)


@pytest.mark.parametrize(("size", "says"), [(None, "Failed to open file"), (5, "out of range")])
def test_missing_and_short_weights_are_named(size, says, tmp_path):
    graph = external(convolution(tmp_path), tmp_path, size)
    if size is None:
        (tmp_path / "weights" / "w.bin").unlink()
    wanted = replace(job(graph), root=tmp_path)
    with pytest.raises(BuildError, match=rf"denoiser.*Fetch or export.*initializer: w.*{says}"):
        build(wanted, silent)


def test_every_missing_operator_is_named_with_its_node(tmp_path):
    nodes = [
        NODE("Whirl", ["x"], ["a"], name="first_whirl"),
        NODE("Attention", ["a", "a", "a"], ["b"], name="capped", softcap=5.0),
        NODE("Twist", ["b"], ["y"], name="last_twist", domain="com.acme"),
    ]
    graph = saved(tmp_path, nodes, {"x": IMAGE}, {"y": IMAGE})
    with pytest.raises(UnsupportedOperator) as caught:
        build(job(graph), silent)
    text = str(caught.value)
    assert "node 0 'first_whirl', Whirl: no such operator" in text
    assert "node 2 'last_twist', Twist: no such operator" in text
    assert "'capped', Attention" in text
    assert "softcap is not supported" in text
    assert not job(graph).out.exists()


def test_a_long_list_of_missing_operators_is_cut(tmp_path):
    names = ["x", *(f"v{i}" for i in range(19)), "y"]
    nodes = [NODE("Whirl", [a], [b], name=b) for a, b in pairwise(names)]
    with pytest.raises(UnsupportedOperator, match="and 8 more"):
        build(job(saved(tmp_path, nodes, {"x": IMAGE}, {"y": IMAGE})), silent)


def test_types_that_contradict_are_named_with_their_node(tmp_path):
    weight = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float16), "w")
    node = NODE("Conv", ["x", "w"], ["y"], name="mixed", pads=[1] * 4)
    graph = saved(tmp_path, [node], {"x": IMAGE}, {"y": IMAGE}, [weight])
    with pytest.raises(BuildError, match=r"node 0 'mixed', Conv: .*must be of same type") as caught:
        build(job(graph), silent)
    assert "cudaError" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no graph at all"], ids=["empty", "text"])
def test_damaged_graphs_are_build_errors(content, tmp_path):
    graph = relu(tmp_path)
    graph.write_bytes(content)
    with pytest.raises(BuildError, match=r"cannot read the graph of denoiser.*again"):
        build(job(graph), silent)


def test_a_missing_graph_is_a_build_error(tmp_path):
    with pytest.raises(BuildError, match="cannot be read"):
        build(job(tmp_path / "graph.onnx"), silent)


def test_a_shape_that_contradicts_a_profile_is_named_with_its_layer(tmp_path):
    """The library warns and writes an engine that would fail at one lane."""
    with pytest.raises(OutOfProfile) as caught:
        build(job(reshape(tmp_path)), silent)
    text = str(caught.value)
    assert "(lanes 1 to 4)" in text
    assert "at the layer fixed_reshape" in text
    assert "kMIN" in text
    assert not job(reshape(tmp_path)).out.exists()
    assert built(job(reshape(tmp_path), (STATIC,)))


def test_a_constant_that_contradicts_a_profile_is_named_with_its_layer(tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 4, 8, 8), np.float32), "w")
    node = NODE("Add", ["x", "w"], ["y"], name="adder")
    graph = saved(tmp_path, [node], {"x": IMAGE}, {"y": (3, *IMAGE[1:])}, [weight])
    with pytest.raises(OutOfProfile, match=r"at the layer adder.*incompatible dimensions: 3 != 2"):
        build(job(graph), silent)


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        ((), "lanes, and no profile"),
        ((Profile({"height": (1, 1, 1)}),), "x of denoiser has an axis 'lanes' of any length"),
        ((DYNAMIC, Profile({"height": (1, 1, 1)})), "says nothing about it"),
    ],
)
def test_profiles_that_leave_a_length_open_are_refused(profiles, says, tmp_path):
    with pytest.raises(OutOfProfile, match=says):
        build(job(relu(tmp_path), profiles), silent)


def test_axes_have_lengths_by_name(tmp_path):
    dims = ("lanes", 4, "height", "width")
    graph = saved(tmp_path, [NODE("Relu", ["x"], ["y"])], {"x": dims}, {"y": dims})
    with pytest.raises(OutOfProfile, match="'width' of any length"):
        build(job(graph, (Profile({"lanes": (1, 1, 2), "height": (8, 8, 16)}),)), silent)
    axes = {"lanes": (1, 1, 2), "height": (8, 8, 16), "width": (8, 8, 16), "tokens": (1, 1, 1)}
    assert built(job(graph, (Profile(axes),)))


def test_a_first_axis_without_a_name_has_the_lanes(tmp_path):
    dims = (None, 4)
    graph = saved(tmp_path, [NODE("Relu", ["x"], ["y"])], {"x": dims}, {"y": dims})
    assert built(job(graph))


def test_an_unknown_capability_is_refused_with_the_list(tmp_path):
    with pytest.raises(BuildError, match=r"9\.0 asked for.*7\.5, 8\.0, 8\.6, 8\.9, 12\.0, 12\.1"):
        build(job(relu(tmp_path), capabilities=("8.9", "9.0")), silent)


def test_bfloat16_is_refused_for_gpus_without_it(tmp_path):
    graph = convolution(tmp_path, "bfloat16")
    with pytest.raises(BuildError, match=r"bfloat16, first at 'narrow'.*Leave 7\.5 out"):
        build(job(graph, capabilities=("7.5", "12.0")), silent)
    assert built(job(graph, capabilities=("12.0",)))


def test_tensorrt_says_that_it_needs_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "capabilities", tuple)
    with pytest.raises(BuildError, match="the driver shows none here"):
        build(job(relu(tmp_path), target="tensorrt"), silent)


def test_tensorrt_compiles_for_the_gpu_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "capabilities", lambda: ("9.0",))
    with pytest.raises(BuildError, match=r"8\.9 asked for.*which has 9\.0"):
        build(job(relu(tmp_path), capabilities=("8.9",), target="tensorrt"), silent)
