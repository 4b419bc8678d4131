"""Engines in a half type under the float32 registers of a pool."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.errors import BuildError
from denoisert.runtime.loop.pool import Pool
from denoisert.runtime.loop.slot import Work
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DPMpp2M, EulerAncestral
from tests.runtime.devices.torch.pointwise import SMALL
from tests.runtime.devices.torch_places import torch_alone, torch_run
from tests.runtime.networks import NULL, perceptron
from tests.runtime.samplers import flow_table, noise_table, wide_table
from tests.runtime.spies import error, exact, work

# Half a unit in the last place of 1, relative: what one rounding may cost.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
HALVES = list(ROUNDING)


def bound(dtype: str, table) -> float:
    """One rounding, weighed as float32's are by the table's amplification.

    Several are made in a stage (input, weights, layers, answer), and partly cancel: half of it is
    measured here at most.
    """
    return ROUNDING[dtype] * max(1.0, table.amplification)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "table",
    [
        flow_table(DPMpp2M(), 4, CFG(2.0)),
        flow_table(EulerAncestral(), 4, CFG(2.0, rescale=0.7)),
        wide_table(8, 3, taps=2),
    ],
    ids=["history", "rule", "wide"],
)
def test_results_are_near_those_of_float32(placed, toy, kernel_device, dtype, table):
    """Registers stay float32, so errors do not add up along the way."""
    each = work(table, (4, NULL), seed=3)
    found = torch_alone(placed(toy, kernel_device, dtype), each, kernel_device)
    wanted = exact(toy, each, (4, NULL))
    assert found.latent.dtype == np.float32
    assert 1e-6 < error(found.latent, wanted.latent) <= bound(dtype, table)


@pytest.mark.parametrize("dtype", HALVES)
def test_whole_train_times_are_not_rounded(placed, kernel_device, dtype):
    """Neighbours of 999 in bfloat16 are 4 apart; a port of whole times stays one."""
    whole = perceptron(seed=9, time_dtype="int64", time_gain=1e-3)
    each = work(noise_table(steps=3), (2, NULL), seed=3)
    (found,) = torch_run(placed(whole, kernel_device, dtype), [each], kernel_device)
    assert error(found.latent, exact(whole, each, (2, NULL)).latent) <= bound(dtype, each.table)


@pytest.fixture
def leaning(tmp_path, kernel_device):
    """F = latent + context in any dtype; the context is a float32 condition."""
    value = helper.make_tensor_value_info
    shape = ["lanes", *SMALL.parts[0].shape]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["latent", "context"], ["sum"]),
            helper.make_node("Unsqueeze", ["time", "axes"], ["spread"]),
            helper.make_node("Mul", ["spread", "zero"], ["nothing"]),
            helper.make_node("Add", ["sum", "nothing"], ["out_latent"]),
        ],
        "leaning",
        [
            value("latent", TensorProto.FLOAT, shape),
            value("time", TensorProto.FLOAT, ["lanes"]),
            value("context", TensorProto.FLOAT, shape),
        ],
        [value("out_latent", TensorProto.FLOAT, shape)],
        [
            onnx.numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
            onnx.numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    path = tmp_path / "leaning.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    context = ConditionInput("context", Source.EXTERNAL_ARRAY, "float32", SMALL.parts[0].shape)
    network = perceptron(layout=SMALL).network

    def at(dtype):
        engine = TorchEngine(path, tmp_path, device=kernel_device, dtype=dtype)
        return Denoiser(engine, network, (context,), SMALL)

    return at


@pytest.mark.parametrize("dtype", HALVES)
def test_conditions_are_cast_to_the_types_of_their_ports(leaning, kernel_device, dtype):
    """From float32, read-only, as a cache of encoded prompts hands them out."""
    rng = np.random.default_rng(3)
    contexts = rng.standard_normal((2, *SMALL.parts[0].shape)).astype(np.float32)
    contexts.setflags(write=False)
    plain = work(flow_table(steps=3, guidance=CFG(2.0)), seed=5)
    each = Work(plain.table, plain.asks, tuple({"context": c} for c in contexts), seed=5)
    wanted = torch_alone(leaning("float32"), each, kernel_device).latent
    found = torch_alone(leaning(dtype), each, kernel_device).latent
    assert 1e-6 < error(found, wanted) <= bound(dtype, each.table)


def test_a_pool_of_different_types_is_refused(placed, toy, kernel_device):
    mixed = [placed(toy, kernel_device, dtype) for dtype in ("float32", "float16")]
    with pytest.raises(BuildError, match=r"\['float16', 'float32'\].*one dtype"):
        Pool(SMALL, mixed, TorchDevice(kernel_device))


def test_a_type_that_no_kernel_reads_is_refused(placed, toy, kernel_device):
    with pytest.raises(BuildError, match=r"float64.*kernels read one of float32"):
        Pool(SMALL, [placed(toy, kernel_device, "float64")], TorchDevice(kernel_device))
