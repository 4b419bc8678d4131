"""The torch engine beside ONNX Runtime on one graph: parity, and that every input counts."""

from typing import NamedTuple

import onnx
import torch

from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.torch.engine import TorchEngine
from tests.runtime.engines.torch.graphs import draw, outputs_of, relative

PARITY = 1e-4
"""float32 against float32: a few hundred roundings of 6e-8, summed in another order."""

DEAD = 1e-3
"""An input whose lanes can change places without a larger effect proves nothing."""


class Pair(NamedTuple):
    """Both engines of one graph."""

    ort: OrtEngine
    torch: TorchEngine


def pair_of(graph, root, **options):
    return Pair(OrtEngine(graph, root, threads=1), TorchEngine(graph, root, **options))


def draw_inputs(engine, lanes, seed):
    buffers = draw(engine, lanes, seed)
    return {port.name: buffers[port.name] for port in engine.inputs}


def ort_answer(pair, lanes, given):
    buffers = {port.name: port.buffer(lanes) for port in pair.ort.outputs}
    pair.ort.bind(lanes, {name: x.numpy() for name, x in given.items()} | buffers).run()
    return {name: torch.from_numpy(array) for name, array in buffers.items()}


def check_parity(pair, lanes, *, bound=PARITY):
    """Fresh inputs through both; returns the largest relative difference."""
    given = draw_inputs(pair.torch, lanes, seed=lanes)
    found, wanted = outputs_of(pair.torch, lanes, given), ort_answer(pair, lanes, given)
    differences = {name: relative(found[name], wanted[name]) for name in wanted}
    assert max(differences.values()) < bound, differences
    return max(differences.values())


def check_inputs_count(engine, lanes=3):
    """Rolling the lanes of one input changes the answer, and the function gives the call's."""
    given = draw_inputs(engine, lanes, seed=99)
    wanted = outputs_of(engine, lanes, given)
    pure = engine.function(lanes)(given)
    for name in wanted:
        assert relative(pure[name], wanted[name]) < 1e-5
    for name, tensor in given.items():
        rolled = outputs_of(engine, lanes, given | {name: tensor.roll(1, 0).contiguous()})
        change = max(relative(rolled[key], wanted[key]) for key in wanted)
        assert change > DEAD, f"{name} is dead: {change}"


def operators_of(graph):
    """The names of the operators that a graph uses."""
    model = onnx.load(graph, load_external_data=False)
    return {node.op_type for node in model.graph.node}
