"""Bound calls: nothing allocated where everything is planned, late results dropped, errors ours."""

import gc
import threading
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from denoisert.runtime.engines.torch.bound import reported
from denoisert.runtime.errors import BuildError, EngineError, OutOfMemory, OutOfProfile
from tests.runtime.engines.torch.graphs import (
    convolution,
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    perceptron,
    relative,
    weight,
)


def planned():
    """One operator of every kind that torch can write into given memory."""
    return model_of(
        [
            node("Gather", "table i_labels", "a", axis=0),
            node("Unsqueeze", "a axis", "b"),
            node("Add", "x b", "c"),
            node("MatMul", "c w", "d"),
            node("Gelu", "d", "e", approximate="tanh"),
            node("Softmax", "e", "f", axis=-1),
            node("ReduceMax", "f last", "g"),
            node("Div", "f g", "h"),
            node("Split", "h", "i1 i2", axis=2, num_outputs=2),
            node("Mul", "i1 i2", "j"),
            node("Concat", "j i2", "k", axis=2),
            node("Transpose", "k", "l", perm=[0, 2, 1]),
            node("Reshape", "l flat", "m"),
            node("Clip", "m low high", "n"),
            node("Gemm", "n w2 b2", "o"),
            node("Greater", "o low", "p"),
            node("Where", "p o high", "y"),
        ],
        {"x": ["lanes", 4, 6], "i_labels": ["lanes"]},
        {"y": ["lanes", 5]},
        {
            "table": weight(10, 6), "axis": np.array([1]), "w": weight(6, 8),
            "last": np.array([-1]), "flat": np.array([0, 32]), "low": np.float32(-0.5),
            "high": np.float32(0.5), "w2": weight(32, 5), "b2": weight(5),
        },
    )  # fmt: skip


def allocated_bytes(bound):
    """What torch's CPU allocator gives during one run, by its own profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        bound.run()
    return [event.name for event in record.events() if event.self_cpu_memory_usage > 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", [perceptron, planned])
def test_planned_operators_allocate_nothing(model, dtype, tmp_path):
    engine = engine_of(tmp_path, model(), dtype=dtype)
    assert engine.plan(3).late_bytes == 0
    bound = engine.bind(3, draw(engine, 3))
    bound.run()
    assert allocated_bytes(bound) == []


def test_the_measurement_sees_what_torch_allocates(tmp_path):
    engine = engine_of(tmp_path, convolution())
    bound = engine.bind(3, draw(engine, 3))
    bound.run()
    assert allocated_bytes(bound)


def live_tensors():
    return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())


def grown_bytes(bound):
    """What Python's allocator holds more after 200 runs; caches of other threads come and go."""
    tracemalloc.start()
    try:
        for _ in range(20):
            bound.run()
        start, _ = tracemalloc.get_traced_memory()
        for _ in range(200):
            bound.run()
        return tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("model", [perceptron, planned, convolution])
def test_no_python_object_and_no_tensor_stays_after_many_runs(model, tmp_path):
    engine = engine_of(tmp_path, model())
    bound = engine.bind(2, draw(engine, 2))
    bound.run()
    gc.collect()
    before = live_tensors()
    assert min(grown_bytes(bound) for _ in range(3)) < 200 * 8  # an object for each run has more
    assert live_tensors() == before


def test_late_results_are_dropped_while_the_call_runs(tmp_path):
    """Ten convolutions in a row never hold more than the two that touch each other."""
    names = "abcdefghi"
    chain = [
        node("Conv", f"{x} w", y, pads=[1, 1, 1, 1])
        for x, y in zip("x" + names, names + "y", strict=True)
    ]
    ports = {"x": ["lanes", 4, 32, 32]}, {"y": ["lanes", 4, 32, 32]}
    engine = engine_of(tmp_path, model_of(chain, *ports, {"w": weight(4, 4, 3, 3)}))
    bound = engine.bind(2, draw(engine, 2))
    held = []
    for action in bound._actions:
        action()
        held.append(sum(t.numel() for t in getattr(action, "_slots", {}).values()))
    assert max(held) == 2 * 4 * 32 * 32
    assert held[-1] == 0


def test_outputs_are_copied_only_where_they_must_be(tmp_path):
    """perceptron: two products and a swish; convolution: its last sum writes the output."""
    for model, calls in ((perceptron, 3), (convolution, 5)):
        engine = engine_of(tmp_path, model())
        bound = engine.bind(2, draw(engine, 2))
        late = (model is convolution) * 2  # views of late results are made in each run
        assert len(bound._actions) == calls + late + 1  # the last one drops what is late


def test_runs_read_their_buffers_anew(tmp_path):
    engine = engine_of(tmp_path, planned())
    buffers = draw(engine, 3)
    bound = engine.bind(3, buffers)
    bound.run()
    first = buffers["y"].clone()
    fresh = draw(engine, 3, seed=1)
    for name in ("x", "i_labels"):
        buffers[name].copy_(fresh[name])
    bound.run()
    assert not torch.equal(buffers["y"], first)
    assert torch.equal(buffers["y"], outputs_of(engine, 3, fresh)["y"])


@pytest.mark.parametrize("model", [planned, convolution])
def test_a_call_equals_the_pure_function(model, tmp_path):
    engine = engine_of(tmp_path, model())
    buffers = draw(engine, 3)
    wanted = engine.function(3)({port.name: buffers[port.name] for port in engine.inputs})["y"]
    assert relative(outputs_of(engine, 3, buffers)["y"], wanted) < 1e-6


def test_two_threads_run_two_calls_of_one_engine(tmp_path):
    engine = engine_of(tmp_path, planned())
    sets = [draw(engine, 2, seed=i) for i in range(2)]
    wanted = [outputs_of(engine, 2, buffers)["y"].clone() for buffers in sets]
    wrong = []

    def work(number):
        bound = engine.bind(2, sets[number])  # in this thread: calls of one thread share an arena
        for _ in range(100):
            sets[number]["y"].fill_(77)
            bound.run()
            if not torch.equal(sets[number]["y"], wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_bound_in_one_thread_share_the_largest_arena(tmp_path):
    engine = engine_of(tmp_path, planned())
    arena = partial(engine._plans.arena, engine.inputs)
    first, *later = (arena(engine.workspace_bytes(lanes)) for lanes in (3, 1, 2))
    assert {each.data_ptr() for each in later} == {first.data_ptr()}
    larger = arena(engine.workspace_bytes(16))
    assert larger.numel() == engine.workspace_bytes(16)
    assert arena(1).data_ptr() == larger.data_ptr()
    sets = [draw(engine, lanes, seed=lanes) for lanes in (1, 3)]
    bounds = [engine.bind(lanes, each) for lanes, each in zip((1, 3), sets, strict=True)]
    for lanes, bound, each in zip((1, 3), bounds, sets, strict=True):
        bound.run()
        inputs = {port.name: each[port.name] for port in engine.inputs}
        assert relative(each["y"], engine.function(lanes)(inputs)["y"]) < 1e-6


def test_a_failing_call_is_an_engine_error_and_the_next_one_runs(tmp_path):
    engine = engine_of(tmp_path, planned())
    buffers = draw(engine, 2)
    bound = engine.bind(2, buffers)
    buffers["i_labels"][0] = 10
    with pytest.raises(EngineError, match="torch failed while running: index 10"):
        bound.run()
    buffers["i_labels"][0] = 9
    bound.run()
    assert torch.isfinite(buffers["y"]).all()


@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        (torch.OutOfMemoryError("no more"), OutOfMemory),
        (RuntimeError("broken"), EngineError),
        (OutOfProfile("x takes"), OutOfProfile),
        (BuildError("refused"), BuildError),
    ],
    ids=lambda item: getattr(item, "__name__", type(item).__name__),
)
def test_errors_of_torch_become_ours_and_ours_stay(raised, wanted):
    with pytest.raises(wanted, match=str(raised)) as caught, reported("binding"):
        raise raised
    assert type(caught.value) is wanted


def test_gradients_are_not_recorded_by_a_call(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    buffers = draw(engine, 2)
    buffers["x"].requires_grad_()
    engine.bind(2, buffers).run()
    assert not buffers["y"].requires_grad


def test_a_cpu_has_no_stream_and_no_graph(tmp_path):
    engine = engine_of(tmp_path, perceptron())
    bound = engine.bind(2, draw(engine, 2))
    bound.run(stream=object())
    assert not bound.is_capturable
