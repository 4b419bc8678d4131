"""Small denoisers as plain ONNX graphs, each with its float64 twin in NumPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.bundle.card import (
    Card,
    Network,
    OutputSlice,
    Recommended,
    TimeShape,
    Training,
)
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Trailing
from denoisert.runtime.sampling.solvers import Euler

CLASSES = 10
NULL = CLASSES
WIDTH = 24
OPSET = 18
SQUARE = StateLayout((Part("latent", (2, 6, 5)),))
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64

Answer = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Shape:
    """What varies between the toys.

    batch: a fixed number of lanes, or None. time_gain: how strongly time acts; small where it runs
    to 999. gain: how strong the answer is; the error bounds count rounding in rows, not what a
    network makes of it. scalars: extra graph inputs. ports: slices of a wider output. breaks:
    (class, time) where the answer is NaN.
    """

    layout: StateLayout = SQUARE
    time: TimeShape = TimeShape.LANES
    time_dtype: str = "float32"
    batch: int | None = None
    time_gain: float = 1.0
    gain: float = 1.0
    scalars: tuple[str, ...] = ()
    ports: int = 1
    breaks: tuple[int, float] | None = None


@dataclass(frozen=True, eq=False)
class Toy:
    """A graph, what its ports mean, and `answer(latent, time, label, scalars=(), port=0)`."""

    shape: Shape
    model: onnx.ModelProto
    answer: Answer

    @property
    def network(self) -> Network:
        ports = tuple(
            tuple(
                OutputSlice(f"out_{part.name}", port * part.channels, part.channels, index)
                for index, part in enumerate(self.shape.layout.parts)
            )
            for port in range(self.shape.ports)
        )
        return Network("time", self.shape.time, self.shape.time_dtype, ports, self.shape.scalars)

    @property
    def conditions(self) -> tuple[ConditionInput, ...]:
        return (ConditionInput("label", Source.CLASS_LABEL, "int64", (), CLASSES, NULL),)

    def denoiser(self, folder: Path, *, threads: int = 1) -> Denoiser:
        engine = OrtEngine(self.save(folder), folder, threads=threads)
        return Denoiser(engine, self.network, self.conditions, self.shape.layout)

    def save(self, folder: Path) -> Path:
        path = folder / "toy.onnx"
        onnx.save(self.model, path)
        return path

    def twin(self, labels: Sequence[int]) -> Callable[..., tuple[np.ndarray, ...]]:
        """The network that `execute` asks: condition c is labels[c]; the outputs of every port."""

        def ask(latent, time, condition, scalars=()):
            told = latent, time, labels[condition], scalars
            return tuple(self.answer(*told, port=port) for port in range(self.shape.ports))

        return ask

    def card(self, **changes: object) -> Card:
        """A card for the toy; keyword arguments replace its fields."""
        fields: dict[str, object] = {
            "name": "toy",
            "licence": "CC0-1.0",
            "training": Training(Parametrisation.FLOW, Flow()),
            "layout": self.shape.layout,
            "conditions": self.conditions,
            "network": self.network,
            "sampler": Recommended(Euler(), Trailing(), 5),
            "picture": Picture(),
        }
        return Card(**(fields | changes))


def perceptron(seed: int = 0, **shape: object) -> Toy:
    """F = tanh(x W1 + label + time + scalars) W2, over all parts of the state at once."""
    wanted = Shape(**shape)
    rng = np.random.default_rng(seed)
    elements = wanted.layout.elements
    weights = {
        "w1": rng.standard_normal((elements, WIDTH)) / np.sqrt(elements),
        "w2": wanted.gain * rng.standard_normal((WIDTH, elements * wanted.ports)) / np.sqrt(WIDTH),
        "labels": rng.standard_normal((CLASSES + 1, WIDTH)),
        "clock": rng.standard_normal((1, WIDTH)) * wanted.time_gain,
        **{f"of_{name}": rng.standard_normal((1, WIDTH)) for name in wanted.scalars},
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    return Toy(wanted, _perceptron_graph(wanted, weights), _perceptron_answer(wanted, weights))


def convolution(seed: int = 0, **shape: object) -> Toy:
    """F = conv(tanh(conv(x) + label + time)), kernels of 3 in every dimension, one part."""
    wanted = Shape(**shape)
    rng = np.random.default_rng(seed)
    channels, *sizes = wanted.layout.parts[0].shape
    kernel, hidden = (3,) * len(sizes), 4
    weights = {
        "k1": rng.standard_normal((hidden, channels, *kernel)) / np.sqrt(channels * 9),
        "k2": rng.standard_normal((channels, hidden, *kernel)) / np.sqrt(hidden * 9),
        "labels": rng.standard_normal((CLASSES + 1, hidden)),
        "clock": rng.standard_normal((1, hidden)) * wanted.time_gain,
    }
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    pads = {"pads": [1] * (2 * len(sizes))}
    part = wanted.layout.parts[0].name
    nodes = [
        *_embedding(wanted),
        helper.make_node("Conv", [part, "k1"], ["first"], **pads),
        helper.make_node("Unsqueeze", ["told", "axes"], ["spread"]),
        helper.make_node("Add", ["first", "spread"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["hidden"]),
        helper.make_node("Conv", ["hidden", "k2"], [f"out_{part}"], **pads),
    ]
    axes = np.arange(2, 2 + len(sizes))
    exact = {name: value.astype(np.float64) for name, value in weights.items()}

    def answer(
        latent: np.ndarray, time: float, label: int, scalars: Sequence[float] = (), port: int = 0
    ) -> np.ndarray:
        x = latent.astype(np.float64).reshape(channels, *sizes)
        told = exact["labels"][label] + time * exact["clock"][0]
        hidden = np.tanh(_conv(x, exact["k1"]) + told.reshape(-1, *(1 for _ in sizes)))
        return _conv(hidden, exact["k2"]).reshape(-1)

    return Toy(wanted, _model(wanted, nodes, weights | {"axes": axes}), answer)


def _conv(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    sizes = x.shape[1:]
    padded = np.pad(x, [(0, 0), *((1, 1) for _ in sizes)])
    out = np.zeros((len(kernel), *sizes))
    for offset in np.ndindex(*kernel.shape[2:]):
        window = tuple(slice(o, o + size) for o, size in zip(offset, sizes, strict=True))
        out += np.tensordot(kernel[(..., *offset)], padded[(slice(None), *window)], 1)
    return out


def _perceptron_answer(shape: Shape, weights: dict[str, np.ndarray]) -> Answer:
    exact = {name: value.astype(np.float64) for name, value in weights.items()}

    def answer(
        latent: np.ndarray, time: float, label: int, scalars: Sequence[float] = (), port: int = 0
    ) -> np.ndarray:
        told = exact["labels"][label] + time * exact["clock"][0]
        for name, value in zip(shape.scalars, scalars, strict=False):
            told = told + value * exact[f"of_{name}"][0]
        raw = np.tanh(latent.astype(np.float64) @ exact["w1"] + told) @ exact["w2"]
        pieces, first = [], 0
        for part in shape.layout.parts:  # a part's ports lie side by side
            pieces.append(raw[first + port * part.elements :][: part.elements])
            first += part.elements * shape.ports
        return np.concatenate(pieces)

    return answer


def _embedding(shape: Shape) -> list[onnx.NodeProto]:
    """Nodes that make `told` (lanes, width) of label, time and scalars."""
    nodes = [helper.make_node("Gather", ["labels", "label"], ["told_0"])]
    for index, name in enumerate(("time", *shape.scalars)):
        factor = "clock" if name == "time" else f"of_{name}"
        last = "told" if index == len(shape.scalars) else f"told_{index + 1}"
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=FLOAT),
            helper.make_node("Reshape", [f"{name}_float", "column"], [f"{name}_column"]),
            helper.make_node("Mul", [f"{name}_column", factor], [f"{name}_told"]),
            helper.make_node("Add", [f"told_{index}", f"{name}_told"], [last]),
        ]
    return nodes


def _perceptron_graph(shape: Shape, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    parts = shape.layout.parts
    constants = dict(weights)
    constants["sizes"] = np.array([part.elements * shape.ports for part in parts])
    nodes = [
        *(helper.make_node("Flatten", [part.name], [f"flat_{part.name}"]) for part in parts),
        helper.make_node("Concat", [f"flat_{part.name}" for part in parts], ["x"], axis=1),
        *_embedding(shape),
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Add", ["a", "told"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w2"], ["d"]),
        *_breaking(shape, constants),
        helper.make_node("Split", ["y", "sizes"], [f"y_{part.name}" for part in parts], axis=1),
    ]
    for part in parts:
        constants[f"to_{part.name}"] = np.array(_wide(part, shape, 0))
        nodes.append(
            helper.make_node("Reshape", [f"y_{part.name}", f"to_{part.name}"], [f"out_{part.name}"])
        )
    return _model(shape, nodes, constants)


def _breaking(shape: Shape, constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """y = d, or NaN where class and time are those of `breaks`."""
    if shape.breaks is None:
        return [helper.make_node("Identity", ["d"], ["y"])]
    label, time = shape.breaks
    constants |= {"bad_label": np.array(label), "bad_time": np.float32(time)}
    constants |= {"close": np.float32(1e-4), "nan": np.float32(np.nan)}
    return [
        helper.make_node("Equal", ["label", "bad_label"], ["is_label"]),
        helper.make_node("Sub", ["time_column", "bad_time"], ["late"]),
        helper.make_node("Abs", ["late"], ["distance"]),
        helper.make_node("Less", ["distance", "close"], ["is_time"]),
        helper.make_node("Reshape", ["is_label", "column"], ["is_label_column"]),
        helper.make_node("And", ["is_label_column", "is_time"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "nan", "d"], ["y"]),
    ]


def _wide(part: Part, shape: Shape, lanes: int | str) -> list[int | str]:
    """Dimensions of a part's output; 0 lanes means as many as came in."""
    return [lanes, part.channels * shape.ports, *part.shape[1:]]


def _model(
    shape: Shape, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    lanes: int | str = shape.batch or "lanes"
    is_scalar = shape.time is TimeShape.SCALAR
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(shape.time_dtype))
    parts = shape.layout.parts
    value = helper.make_tensor_value_info
    inputs = [
        *(value(part.name, FLOAT, [lanes, *part.shape]) for part in parts),
        value("time", kind, [] if is_scalar else [lanes]),
        value("label", INT64, [lanes]),
        *(value(name, FLOAT, [lanes]) for name in shape.scalars),
    ]
    outputs = [value(f"out_{part.name}", FLOAT, _wide(part, shape, lanes)) for part in parts]
    constants = constants | {"column": np.array([-1, 1])}
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
