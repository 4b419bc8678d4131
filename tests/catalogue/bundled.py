"""A small network that hears a picture beside its latent, compiled like any other."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from denoisert.export import compile_bundle
from denoisert.runtime.bundle.card import Card, Network, OutputSlice, Recommended, TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.layout import Part, StateLayout

SIZE = (1, 6, 5)
WIDTH = 24


@dataclass(frozen=True, eq=False)
class Listener:
    """F = tanh([x, heard] W1 + time clock) W2, float32 in the graph and float64 here.

    channels: of the heard picture. weights: W1, clock, W2.
    """

    channels: int
    weights: dict[str, np.ndarray]

    @classmethod
    def random(cls, channels, seed=0, time_gain=1.0):
        rng, pixels = np.random.default_rng(seed), SIZE[1] * SIZE[2]
        wide = pixels * (1 + channels)
        weights = {
            "w1": rng.standard_normal((wide, WIDTH)) / np.sqrt(wide / 4),
            "clock": rng.standard_normal((1, WIDTH)) * time_gain,
            "w2": rng.standard_normal((WIDTH, pixels)) / np.sqrt(WIDTH),
        }
        return cls(channels, {name: value.astype(np.float32) for name, value in weights.items()})

    def __call__(self, latent, time, heard):
        w1, clock, w2 = (value.astype(np.float64) for value in self.weights.values())
        return np.tanh(np.concatenate([latent, np.ravel(heard)]) @ w1 + time * clock[0]) @ w2

    def compile(self, folder: Path, training, sampler: Recommended) -> Path:
        """A bundle of it whose condition is the array "heard"."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self._graph(), folder / "listener.onnx")
        port = (OutputSlice("out", 0, 1, 0),)
        heard = ConditionInput(
            "heard", Source.EXTERNAL_ARRAY, "float32", (self.channels, *SIZE[1:])
        )
        card = Card(
            name="listener",
            licence="CC0-1.0",
            training=training,
            layout=StateLayout((Part("latent", SIZE),)),
            conditions=(heard,),
            network=Network("time", TimeShape.LANES, "float32", (port,), ()),
            sampler=sampler,
            picture=Picture(),
        )
        compile_bundle(folder / "listener.onnx", folder / "listener.bundle", card=card)
        return folder / "listener.bundle"

    def _graph(self) -> onnx.ModelProto:
        value, kind = helper.make_tensor_value_info, TensorProto.FLOAT
        constants = self.weights | {"column": np.array([-1, 1]), "shape": np.array([0, *SIZE])}
        constants["shape"] = np.array([-1, *SIZE])
        nodes = [
            helper.make_node("Concat", ["latent", "heard"], ["joined"], axis=1),
            helper.make_node("Flatten", ["joined"], ["x"]),
            helper.make_node("MatMul", ["x", "w1"], ["a"]),
            helper.make_node("Reshape", ["time", "column"], ["times"]),
            helper.make_node("Mul", ["times", "clock"], ["told"]),
            helper.make_node("Add", ["a", "told"], ["b"]),
            helper.make_node("Tanh", ["b"], ["c"]),
            helper.make_node("MatMul", ["c", "w2"], ["d"]),
            helper.make_node("Reshape", ["d", "shape"], ["out"]),
        ]
        heard = value("heard", kind, ["lanes", self.channels, *SIZE[1:]])
        inputs = [value("latent", kind, ["lanes", *SIZE]), value("time", kind, ["lanes"]), heard]
        weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
        out = value("out", kind, ["lanes", *SIZE])
        graph = helper.make_graph(nodes, "listener", inputs, [out], weights)
        opset = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=9)
        onnx.checker.check_model(model)
        return model
