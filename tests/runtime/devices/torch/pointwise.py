"""A network whose answer for one lane has the same bits whatever other lanes run beside it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.networks import CLASSES, Shape, Toy

SMALL = StateLayout((Part("latent", (4, 4, 4)),))
FLOAT = TensorProto.FLOAT


def pointwise(
    seed: int = 0,
    *,
    breaks: tuple[int, float] | None = None,
    batch=None,
    ports: int = 1,
    scalars: tuple[str, ...] = (),
) -> Toy:
    """F = y / (1 + y^2), y = x + label + time + scalars: one IEEE operation after the other.

    Products of matrices and tanh may round a lane differently beside other lanes; these cannot.

    Args:
        seed: of its weights.
        breaks: class and time for which the answer is NaN.
        batch: a fixed number of lanes, or None.
        ports: 2 has y^2 / (1 + y^2) behind F.
        scalars: extra graph inputs, the first one added once, the next one twice and so on.
    """
    labels = np.random.default_rng(seed).standard_normal(CLASSES + 1).astype(np.float32)
    bad, when = breaks or (-1, 0.0)
    constants = {
        "labels": labels,
        "one": np.float32(1),
        "axes": np.array([1, 2, 3]),
        "bad": np.array(bad),
        "when": np.float32(when),
        "close": np.float32(1e-4),
        "nan": np.float32(np.nan),
    }
    exact = labels.astype(np.float64)

    def answer(latent, time, label, scalars=(), port=0):
        y = latent.astype(np.float64) + exact[label] + time
        y = y + sum((index + 1) * told for index, told in enumerate(scalars))
        return (y, y * y)[port] / (1 + y * y)

    shape = Shape(layout=SMALL, batch=batch, ports=ports, scalars=scalars)
    return Toy(shape, _model(_nodes(scalars, ports), constants, shape), answer)


def _nodes(scalars, ports):
    """From inputs and constants to `out_latent`, the ports behind each other."""
    nodes = [
        helper.make_node(kind, inputs.split(), [output])
        for kind, inputs, output in (
            ("Gather", "labels label", "named"),
            *_sums(["named", "time", *(s for i, s in enumerate(scalars) for s in [s] * (i + 1))]),
            ("Unsqueeze", "flat axes", "told"),
            ("Add", "latent told", "y"),
            ("Mul", "y y", "square"),
            ("Add", "square one", "below"),
            ("Div", "y below", "whole"),
            ("Equal", "label bad", "is_label"),
            ("Sub", "time when", "late"),
            ("Abs", "late", "distance"),
            ("Less", "distance close", "is_time"),
            ("And", "is_label is_time", "is_flat"),
            ("Unsqueeze", "is_flat axes", "is_bad"),
            ("Where", "is_bad nan whole", "port_0"),
            ("Div", "square below", "port_1"),
        )
    ]
    outputs = ["port_0", "port_1"][:ports]
    return [*nodes, helper.make_node("Concat", outputs, ["out_latent"], axis=1)]


def _sums(names):
    """`flat`, the sum of some inputs from left to right."""
    sums = [names[0], *(f"sum_{index}" for index in range(2, len(names))), "flat"]
    return [
        ("Add", f"{sums[index]} {name}", sums[index + 1]) for index, name in enumerate(names[1:])
    ]


def _model(nodes, constants, shape) -> onnx.ModelProto:
    lanes, value = shape.batch or "lanes", helper.make_tensor_value_info
    channels, *sizes = SMALL.parts[0].shape
    state = [lanes, *SMALL.parts[0].shape]
    inputs = [
        value("latent", FLOAT, state),
        value("time", FLOAT, [lanes]),
        value("label", TensorProto.INT64, [lanes]),
        *(value(name, FLOAT, [lanes]) for name in shape.scalars),
    ]
    output = value("out_latent", FLOAT, [lanes, channels * shape.ports, *sizes])
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "pointwise", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
