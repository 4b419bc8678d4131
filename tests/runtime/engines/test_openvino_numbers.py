"""What OpenVINO computes: types that stay, bits that do not depend on company, nothing beside."""

import os
import resource
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.precision.products import LEAST_DEPTH
from denoisert.runtime.engines.openvino.engine import INT8_GROUP
from denoisert.runtime.engines.openvino.pieces import EVERY, OPEN
from tests.runtime.engines.openvino_graphs import Converted, answer, convert, difference, drawn
from tests.runtime.networks import perceptron

FORMS = pytest.mark.parametrize("lanes_of_a_call", [OPEN, EVERY])
HALF_ERROR = 2.0**-8 * 4  # a rounding of bfloat16, and room for those of a few layers


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp("toy")
    return convert(perceptron().save(folder), folder, folder)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def digits(request, digits_bundle, tmp_path_factory) -> Converted:
    folder = tmp_path_factory.mktemp(request.param)
    graph = digits_bundle / "graphs" / "denoiser.onnx"
    return convert(graph, digits_bundle, folder, request.param)


@FORMS
def test_digits_equal_the_oracle_within_their_types(lanes_of_a_call, digits):
    engine, oracle = digits.engine(lanes=lanes_of_a_call), digits.oracle()
    buffers = drawn(engine, 3, seed=5)
    error = difference(answer(engine, 3, buffers), answer(oracle, 3, buffers))
    if digits.entry.dtype == "float32":
        assert error < 2e-6
    else:
        assert 1e-4 < error < HALF_ERROR  # it does compute in bfloat16


@FORMS
def test_lanes_do_not_depend_on_their_neighbours(lanes_of_a_call, digits):
    """A lane's bits are the same alone, among 2, 8 and 16, beside others, and elsewhere."""
    engine = digits.engine(lanes=lanes_of_a_call)
    buffers = drawn(engine, 16, seed=7)
    (name,) = (port.name for port in engine.outputs)
    whole = answer(engine, 16, buffers)[name]
    for lanes in (1, 2, 8):
        assert np.array_equal(answer(engine, lanes, buffers)[name], whole[-lanes:])
    turned = {key: np.roll(values, 5, axis=0) for key, values in buffers.items()}
    assert np.array_equal(answer(engine, 16, turned)[name], np.roll(whole, 5, axis=0))
    assert np.array_equal(answer(engine, 16, buffers)[name], whole)


def test_calls_of_any_fixed_size_give_the_same_bits(digits):
    buffers = drawn(digits.engine(), 7, seed=9)
    answers = [answer(digits.engine(lanes=lanes), 7, buffers) for lanes in (EVERY, (1, 5))]
    for found in answers[1:]:
        assert all(np.array_equal(found[name], answers[0][name]) for name in found)


@pytest.mark.parametrize("digits", ["float32"], indirect=True)
def test_a_hint_narrows_a_graph_that_is_written_in_float32(digits):
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("needs a CPU that computes in bfloat16")
    buffers = drawn(digits.oracle(), 2)
    wanted = answer(digits.engine(), 2, buffers)
    found = answer(digits.engine(hint="bfloat16"), 2, buffers)
    assert 1e-4 < difference(found, wanted) < 4 * HALF_ERROR


@pytest.fixture(scope="module")
def products(tmp_path_factory) -> Converted:
    """Two products, their weights in int8, on tokens whose sizes differ by far."""
    folder = tmp_path_factory.mktemp("int8")
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((256, 256)).astype(np.float32) / 16, name)
        for name in ("first", "second")
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("lanes", 8, 256)) for name in "xy"
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["h"]),
        helper.make_node("Gelu", ["h"], ["g"]),
        helper.make_node("MatMul", ["g", "second"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path = folder / "products.onnx"
    onnx.save(model, path)
    return convert(path, folder, folder / "int8", "int8")


def test_int8_engines_quantise_activations_token_by_token(products):
    engine = products.engine()
    buffers = drawn(engine, 8)
    buffers["x"] *= np.geomspace(1e-3, 1e3, 8, dtype=np.float32)[:, None, None]
    wanted = answer(products.oracle(), 8, buffers)["y"]
    found = answer(engine, 8, buffers)["y"]
    compiled = products.engine(lanes=OPEN)._forms.at({})
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == INT8_GROUP
    for lane in range(8):  # the smallest as well as the largest
        assert difference({"y": found[lane]}, {"y": wanted[lane]}) < 3e-2
    for lanes in (1, 2, 4):
        assert np.array_equal(answer(engine, lanes, buffers)["y"], found[-lanes:])


def test_every_product_with_int8_weights_is_as_deep_as_a_group():
    assert LEAST_DEPTH >= INT8_GROUP


def test_two_engines_run_at_once(digits):
    """As denoiser and codec do; each with as many threads as there may be."""
    engines = [digits.engine(threads=2) for _ in range(2)]
    buffers = [drawn(engine, 2, seed) for seed, engine in enumerate(engines)]
    wanted = [answer(engine, 2, own) for engine, own in zip(engines, buffers, strict=True)]
    bound = [engine.bind(2, own) for engine, own in zip(engines, buffers, strict=True)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda call: [call.run() for _ in range(20)], bound))
    for own, answers in zip(buffers, wanted, strict=True):
        assert all(np.array_equal(own[name], answers[name]) for name in answers)


@FORMS
def test_running_allocates_nothing_that_stays(lanes_of_a_call, toy):
    engine = toy.engine(lanes=lanes_of_a_call)
    bound = engine.bind(2, drawn(engine, 2))
    tracemalloc.start()
    for _ in range(100):
        bound.run()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2000):
        bound.run()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32768  # the binding's answers, before they are let go of
    assert after - before < 16384  # 8 bytes a call


def test_an_idle_engine_uses_no_processor_time(toy):
    may_use = os.sched_getaffinity(0)
    engine = toy.engine(threads=2)
    engine.bind(2, drawn(engine, 2)).run()
    time.sleep(0.05)
    start = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(0.4)
    end = resource.getrusage(resource.RUSAGE_SELF)
    assert end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime < 0.1
    assert os.sched_getaffinity(0) == may_use  # it pins no thread of ours
