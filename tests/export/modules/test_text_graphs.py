"""Text encoders as graphs, in ONNX Runtime and in the torch engine, equal transformers' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, PreTrainedModel, T5EncoderModel

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.signature import Signature, text_signature
from denoisert.export.graph.trace import trace
from denoisert.export.modules.clip import CLIPText
from denoisert.export.modules.t5 import T5Text
from denoisert.export.modules.text import hidden
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.engines.torch.engine import TorchEngine
from tests.export.modules.texts import (
    LAYERS,
    OLD_END,
    PROJECTED,
    T5,
    TOKENS,
    WIDTH,
    WORDS,
    clip,
    masks,
    prompts,
    relative,
    t5,
)
from tests.export.networks import card_of
from tests.export.running import kinds
from tests.runtime.engines.torch.graphs import outputs_of

PARITY = 1e-4


@dataclass(frozen=True, eq=False)
class Case:
    """A text encoder, what is read of it, and how transformers says the same."""

    network: PreTrainedModel
    outputs: tuple[str, ...]
    mask: str = ""

    @property
    def module(self) -> nn.Module:
        if isinstance(self.network, T5EncoderModel):
            return T5Text(self.network, TOKENS, self.outputs)
        return CLIPText(self.network, self.outputs)

    @property
    def signature(self) -> Signature:
        text = TextEncoder("words", "tokenizers/words.json", TOKENS, mask=self.mask)
        shapes = {"pooled": (WIDTH,), "projection": (PROJECTED,)}
        conditions = tuple(
            ConditionInput(
                name,
                Source.ENCODER_OUTPUT,
                "float32",
                shapes.get(name, (TOKENS, WIDTH)),
                encoder="words",
                output=name,
            )
            for name in self.outputs
        )
        card = replace(card_of(conditions=()), conditions=conditions, texts=(text,))
        return text_signature(card, text, WORDS)

    def wanted(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        mask = inputs.get(self.mask)
        with torch.no_grad():
            found = self.network(
                torch.from_numpy(inputs["token_ids"]),
                attention_mask=None if mask is None else torch.from_numpy(mask),
                output_hidden_states=True,
            )
        states = {hidden(n): x for n, x in enumerate(found.hidden_states)}
        vectors = {"pooled": found.get("pooler_output"), "projection": found.get("text_embeds")}
        states |= {"hidden_states": found.last_hidden_state} | vectors
        return {name: states[name] for name in self.outputs}


CASES = {
    "clip, first end": lambda: Case(clip(), ("hidden_states", "pooled")),
    "clip, largest id": lambda: Case(clip(eos_token_id=OLD_END), ("pooled",)),
    "clip with projection": lambda: Case(
        clip(CLIPTextModelWithProjection), (hidden(LAYERS - 1), "projection")
    ),
    "t5": lambda: Case(t5(), ("hidden_states",)),
    "t5 with a mask": lambda: Case(
        t5(feed_forward_proj="gated-gelu"), ("hidden_states", "hidden_1"), "token_mask"
    ),
}


def ort_answer(path: Path, inputs: Mapping[str, np.ndarray], lanes: int) -> dict[str, Tensor]:
    engine = OrtEngine(path, path.parent, threads=1)
    buffers = {port.name: port.buffer(lanes) for port in engine.outputs}
    engine.bind(lanes, dict(inputs) | buffers).run()
    return {name: torch.from_numpy(array) for name, array in buffers.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_graphs_in_both_engines(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    model = trace(case.module, case.signature)
    layers = kinds(model).count("Attention")
    assert layers == (LAYERS - 1 if case.outputs == (hidden(LAYERS - 1),) else LAYERS)
    assert len(kinds(model)) < 33 * LAYERS
    ir.save(model, tmp_path / "graph.onnx")
    lowered = model.clone()
    assert lower_attention(lowered) == layers
    ir.save(lowered, tmp_path / "lowered.onnx")
    engine = TorchEngine(tmp_path / "graph.onnx", tmp_path)
    for lanes in (1, 2, 5):
        inputs = {"token_ids": prompts(lanes, lanes).numpy()}
        if case.mask:
            inputs[case.mask] = masks(lanes, lanes).numpy()
        tensors = {key: torch.from_numpy(array) for key, array in inputs.items()}
        answers = {
            "graph": ort_answer(tmp_path / "graph.onnx", inputs, lanes),
            "lowered": ort_answer(tmp_path / "lowered.onnx", inputs, lanes),
            "torch": outputs_of(engine, lanes, tensors),
        }
        for output, states in case.wanted(inputs).items():
            for target, answer in answers.items():
                assert relative(answer[output], states) < PARITY, (target, output, lanes)


@pytest.mark.slow
def test_the_bias_of_positions_is_no_work_of_a_lane() -> None:
    """It is a constant of the graph, or one look-up: no dimension of it is the lanes."""
    case = Case(t5(), ("hidden_states",))
    model = trace(case.module, case.signature)
    (bias,) = {node.inputs[3] for node in model.graph if node.op_type == "Attention"}
    assert bias is not None
    assert tuple(bias.shape or ()) == (1, T5["num_heads"], TOKENS, TOKENS)
