"""CLIP's text encoder between the ports of a bundle.

Its layers are walked here, so that attention is one causal operator in the graph, only those layers
run that an output needs, and every state can be one.

Source: Radford et al. 2021, arXiv 2103.00020; transformers 5.23, models/clip/modeling_clip.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from denoisert.export.modules.text import (
    POOLED,
    PROJECTION,
    STATES,
    merge_heads,
    readings_of,
    split_heads,
)
from denoisert.runtime.errors import ExportError, InvalidInput

OLD_END: Final = 2
"""The end that early configurations state and their vocabularies do not have."""


class CLIPText(nn.Module):
    """A CLIP text encoder, with or without projection.

    Args:
        network: CLIPTextModel or CLIPTextModelWithProjection.
        outputs: names that `text.py` explains; the forward returns them in this order.

    Raises:
        InvalidInput: an output that the network does not have.
        ExportError: its configuration has more than one end.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[str] = (STATES,)) -> None:
        super().__init__()
        self.text: Any = getattr(network, "text_model", network)
        self.projection: Any = getattr(network, "text_projection", None)
        self.end = _end(network)
        self.outputs = tuple(outputs)
        self.readings = readings_of(outputs, len(self.text.encoder.layers))
        if PROJECTION in outputs and self.projection is None:
            raise InvalidInput(
                f"{type(network).__name__} has no projection; read {POOLED}, or compile a "
                "CLIPTextModelWithProjection."
            )

    def forward(self, token_ids: Tensor) -> tuple[Tensor, ...]:
        """(B, L) -> states (B, L, width), pooled (B, width) or projection (B, width)."""
        states = self._states(token_ids)
        return tuple(self._output(name, states, token_ids) for name in self.outputs)

    def _states(self, token_ids: Tensor) -> list[Tensor]:
        """The embedding and the state after each layer that is needed."""
        places = torch.arange(token_ids.shape[1], device=token_ids.device)
        embeddings = self.text.embeddings
        states = [embeddings.token_embedding(token_ids) + embeddings.position_embedding(places)]
        last = max(reading.layer for reading in self.readings.values())
        for layer in self.text.encoder.layers[:last]:
            states.append(_run(layer, states[-1]))
        return states

    def _output(self, name: str, states: list[Tensor], token_ids: Tensor) -> Tensor:
        layer, is_normed = self.readings[name]
        found: Tensor = self.text.final_layer_norm(states[layer]) if is_normed else states[layer]
        if name not in (POOLED, PROJECTION):
            return found
        place = self._place(token_ids)[:, None, None].expand(-1, 1, found.shape[2])
        pooled = found.gather(1, place).squeeze(1)
        result: Tensor = self.projection(pooled) if name == PROJECTION else pooled
        return result

    def _place(self, token_ids: Tensor) -> Tensor:
        """Where each prompt ends: at its first end, or, as before, at its largest id; (B,)."""
        numbers = token_ids.to(torch.int32)
        if self.end != OLD_END:
            numbers = (numbers == self.end).to(torch.int32)
        return numbers.argmax(dim=-1)


def _run(layer: Any, states: Tensor) -> Tensor:  # noqa: ANN401  the library's own class
    """One layer: attention to what stands before, and a perceptron."""
    attention = layer.self_attn
    rows = layer.layer_norm1(states)
    query, key, value = (
        split_heads(part(rows), attention.num_heads)
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    attended = scaled_dot_product_attention(query, key, value, is_causal=True)
    states = states + attention.out_proj(merge_heads(attended))
    result: Tensor = states + layer.mlp(layer.layer_norm2(states))
    return result


def _end(network: Any) -> int:  # noqa: ANN401  its configuration is no part of nn.Module
    end = network.config.eos_token_id
    if type(end) is not int:
        raise ExportError(
            f"eos_token_id of the text encoder is {end!r}; it must be one id, at which a prompt's "
            "state is read. Write the tokenizer's."
        )
    return end
