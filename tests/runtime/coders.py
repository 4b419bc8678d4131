"""Toy text encoder, decoder and image encoder as plain ONNX graphs, with their NumPy twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer as Model
from tokenizers import models, pre_tokenizers

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.networks import OPSET, perceptron

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WORDS = ("[PAD]", "[START]", "[END]", "[UNK]", "red", "green", "apple", "pear", "a", "of", ",")
TOKENS, WIDTH = 6, 8
CHANNELS, FACTOR = 4, 2
TEXT = TextEncoder("text_encoder", "tokenizers/text_encoder.json", TOKENS, (1,), (2,), 0)
TOLD = ConditionInput(
    "hidden_states", Source.ENCODER_OUTPUT, "float32", (TOKENS, WIDTH), 0, None, (), TEXT.name, "h"
)
POOLED = ConditionInput(
    "pooled", Source.POOLED, "float32", (WIDTH,), 0, None, (), TEXT.name, "pool"
)
MASK = ConditionInput("mask", Source.TOKEN_MASK, "float32", (TOKENS,), 0, None, (), TEXT.name, "")


def tokenizer_json(words: tuple[str, ...] = WORDS) -> bytes:
    """A tokenizer of whole words."""
    vocabulary = {word: index for index, word in enumerate(words)}
    model = Model(models.WordLevel(vocabulary, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    return model.to_str().encode()


@dataclass(frozen=True, eq=False)
class Graph:
    """An ONNX graph; `saved` gives an engine of it."""

    model: onnx.ModelProto

    def engine(self, folder: Path, name: str = "graph") -> OrtEngine:
        path = folder / f"{name}.onnx"
        onnx.save(self.model, path)
        return OrtEngine(path, folder, threads=1)


def text_graph(seed: int = 0, *, lanes: int | str = "lanes") -> Graph:
    """h = softmax(x x^T) x W with x a table's rows; pool is its first token.

    No mean over the tokens: ONNX Runtime adds that up in another order for one lane than for more.
    """
    rng = np.random.default_rng(seed)
    weights = {
        "table": rng.standard_normal((len(WORDS), WIDTH)).astype(np.float32),
        "w": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32),
        "first": np.array(0),
    }
    nodes = [
        helper.make_node("Gather", ["table", "token_ids"], ["x"]),
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "turned"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "x"], ["mixed"]),
        helper.make_node("MatMul", ["mixed", "w"], ["h"]),
        helper.make_node("Gather", ["h", "first"], ["pool"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("token_ids", INT64, [lanes, TOKENS])]
    outputs = [
        helper.make_tensor_value_info("h", FLOAT, [lanes, TOKENS, WIDTH]),
        helper.make_tensor_value_info("pool", FLOAT, [lanes, WIDTH]),
    ]
    return Graph(_model(nodes, inputs, outputs, weights))


@dataclass(frozen=True, eq=False)
class Painter:
    """Decoder and encoder that look at one latent position at a time, so that tiles must agree.

    decoder (C, 3, f, f) and mean, spread (C, 3, f, f) are the kernels; a position's pixels are
    tanh(sum_k latent_k decoder_k), its mean is the sum of pixels times `mean`, its std
    exp(0.1 sum of pixels times `spread`).
    """

    decoder: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def drawn(cls, seed: int = 0) -> Painter:
        rng = np.random.default_rng(seed)
        shape = (CHANNELS, 3, FACTOR, FACTOR)
        return cls(*(rng.standard_normal(shape).astype(np.float32) / 3 for _ in range(3)))

    def paint(self, latents: np.ndarray) -> np.ndarray:
        """(n, C, h, w) -> picture values (n, 3, h f, w f)."""
        found = np.einsum("nkhw,kcij->nchiwj", latents.astype(np.float64), self.decoder)
        n, c, h, _, w, _ = found.shape
        return np.tanh(found.reshape(n, c, h * FACTOR, w * FACTOR))

    def look(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3, H, W) -> mean and std (n, C, H / f, W / f)."""
        n, c, height, width = pictures.shape
        blocks = pictures.reshape(n, c, height // FACTOR, FACTOR, width // FACTOR, FACTOR)
        mean, spread = (
            np.einsum("nchiwj,kcij->nkhw", blocks.astype(np.float64), kernel)
            for kernel in (self.mean, self.spread)
        )
        return mean, np.exp(0.1 * spread)

    def decoder_graph(self, tile: Sequence[int | str], lanes: int | str = "lanes") -> Graph:
        nodes = [
            helper.make_node("ConvTranspose", ["latent", "k"], ["raw"], strides=[FACTOR, FACTOR]),
            helper.make_node("Tanh", ["raw"], ["picture"]),
        ]
        inputs = [helper.make_tensor_value_info("latent", FLOAT, [lanes, CHANNELS, *tile])]
        shape = [lanes, 3, *map(_pixels, tile)]
        outputs = [helper.make_tensor_value_info("picture", FLOAT, shape)]
        return Graph(_model(nodes, inputs, outputs, {"k": self.decoder}))

    def encoder_graph(self, tile: Sequence[int | str], lanes: int | str = "lanes") -> Graph:
        stride = {"strides": [FACTOR, FACTOR]}
        nodes = [
            helper.make_node("Conv", ["picture", "m"], ["mean"], **stride),
            helper.make_node("Conv", ["picture", "s"], ["raw"], **stride),
            helper.make_node("Mul", ["raw", "tenth"], ["log"]),
            helper.make_node("Exp", ["log"], ["std"]),
        ]
        shape = [lanes, 3, *map(_pixels, tile)]
        inputs = [helper.make_tensor_value_info("picture", FLOAT, shape)]
        outputs = [
            helper.make_tensor_value_info(name, FLOAT, [lanes, CHANNELS, *tile])
            for name in ("mean", "std")
        ]
        weights = {"m": self.mean, "s": self.spread, "tenth": np.float32(0.1)}
        return Graph(_model(nodes, inputs, outputs, weights))


def _pixels(size: int | str) -> int | str:
    """The picture's axis beside a latent's: more of it, or its name."""
    return f"picture_{size}" if isinstance(size, str) else size * FACTOR


def coder_card(
    size: tuple[int, int], tile: tuple[int, int], overlap: float = 0.25, **fields: object
) -> Card:
    """A card with an autoencoder of the painter's shape; keywords replace fields of it."""
    toy = perceptron(layout=StateLayout((Part("latent", (CHANNELS, *size)),)))
    coder = replace(Autoencoder(FACTOR, 3, tile, overlap), **fields)
    return toy.card(autoencoder=coder, picture=Picture())


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model
