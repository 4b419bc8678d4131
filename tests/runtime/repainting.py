"""A toy that repaints: shown a mask, the picture without what it hides, and the picture's size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from denoisert.kernels.philox import CODEC, reference
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.bundle.sizes import state_dims
from denoisert.runtime.layout import StateLayout
from tests.runtime import sized
from tests.runtime.coders import CHANNELS, FACTOR

TILE = (6, 8)
EXTENT = ConditionInput(
    *("extent", Source.SIZES, "float32", (2,)),
    measures=(Measure(Quantity.HEIGHT), Measure(Quantity.WIDTH)),
)
WEIGHTS = np.random.default_rng(11).standard_normal((2, CHANNELS)).astype(np.float32) / 20


def repainting_card(*sizes: tuple[int, int], **fields: object) -> Card:
    """The card of a convolution that is shown all of it."""
    plain = sized.sized_card(*sizes, coder=sized.coder(TILE), **fields)
    shown = (
        ConditionInput("hole", Source.MASK, "float32", (1, *sizes[0])),
        ConditionInput("masked", Source.EXTERNAL_PICTURE, "float32", (CHANNELS, *sizes[0])),
        EXTENT,
    )
    return replace(plain, conditions=(*plain.conditions, *shown))


def repainting_model(card: Card) -> onnx.ModelProto:
    """F of latent + 2 masked + 2 hole + extent W."""
    model = sized.sized_model(card)
    graph = model.graph
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "latent":
                node.input[index] = "seen"
    ((_, *dims),) = state_dims(card)
    value = helper.make_tensor_value_info
    graph.input.extend(
        [
            value("hole", TensorProto.FLOAT, ["lanes", 1, *dims]),
            value("masked", TensorProto.FLOAT, ["lanes", CHANNELS, *dims]),
            value("extent", TensorProto.FLOAT, ["lanes", 2]),
        ]
    )
    constants = {"two": np.float32(2.0), "w_extent": WEIGHTS}
    constants["planes"] = np.array([2, 3])
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()
    )
    before = [
        helper.make_node("Mul", ["masked", "two"], ["of_masked"]),
        helper.make_node("Mul", ["hole", "two"], ["of_hole"]),
        helper.make_node("MatMul", ["extent", "w_extent"], ["flat_extent"]),
        helper.make_node("Unsqueeze", ["flat_extent", "planes"], ["of_extent"]),
        helper.make_node("Sum", ["latent", "of_masked", "of_hole", "of_extent"], ["seen"]),
    ]
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def repainting_bundle(folder: Path, card: Card) -> Path:
    """A bundle of it, for ONNX Runtime and torch."""
    return sized.bundle_of(folder, card, {**sized.models(card), "denoiser": repainting_model(card)})


def latent_of(pixels: np.ndarray, seed: int, image: int = 0, draw: int = 0) -> np.ndarray:
    """(C, h, w) that the painter's encoder and the codec's noise make of picture values."""
    mean, std = (found[0] for found in sized.PAINTER.look(pixels[None]))
    noise = reference.normals(seed, draw=draw, image=image, count=mean.size, purpose=CODEC)
    return mean + std * noise.reshape(mean.shape)


def values_of(pixels: np.ndarray, painted: np.ndarray | None = None) -> np.ndarray:
    """(3, H, W) in [-1, 1], 0 where it is painted."""
    values = pixels.transpose(2, 0, 1) / 127.5 - 1
    return values if painted is None else np.where(painted, 0.0, values)


def twin(
    layout: StateLayout, pixels: np.ndarray, painted: np.ndarray, seed: int, extent: tuple[int, int]
):
    """The network in float64 as `execute` asks it, for class 3 and the null class."""
    masked = latent_of(values_of(pixels, painted), seed, draw=1)
    hole = painted[::FACTOR, ::FACTOR].astype(np.float64)
    shown = 2.0 * masked + 2.0 * hole + (np.array(extent) @ WEIGHTS.astype(float))[:, None, None]
    toy = sized.network(layout)

    def ask(latent: np.ndarray, time: float, condition: int) -> np.ndarray:
        return toy.answer(latent + shown.reshape(-1), time, (3, 10)[condition])

    return ask
