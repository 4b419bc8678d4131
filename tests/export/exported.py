"""Small torch modules as torch's two exporters write them, for passes that mend what they do."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn import functional

AXES = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}


class SqueezesTokens(nn.Module):
    """squeeze of an axis that varies, which leaves torch's tensor as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(1) + 1


class SqueezesTwice(nn.Module):
    """One axis of size 1 and one of size 6."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :, None].squeeze(-1).squeeze(2) * 2


class MasksTokens(nn.Module):
    """Attention over tokens some of which are padding."""

    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
        mask = (x[:, :, 0] > 0)[:, None, None, :]
        return functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask)


class SplitsTokens(nn.Module):
    """Pieces of two tokens, as many as there are."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([piece * 2 for piece in x.split(2, dim=1)], 1)


def drawn(lanes: int, tokens: int, width: int = 6) -> np.ndarray:
    """Random (lanes, tokens, width), its first channel positive for the first token."""
    values = np.random.default_rng(lanes).standard_normal((lanes, tokens, width))
    values[:, 0, 0] = 1.0
    return values.astype(np.float32)


def exported(module: nn.Module) -> ir.Model:
    """By the exporter that traces with dynamo, opset 23; the first two axes are free."""
    example = torch.from_numpy(drawn(2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={"x": AXES},
            opset_version=23,
            verbose=False,
        )
    assert program is not None
    return ir.from_proto(program.model_proto)


def scripted(module: nn.Module) -> ir.Model:
    """By the older exporter, opset 17; the first two axes are free."""
    text = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.from_numpy(drawn(2, 4)),),
            text,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n", 1: "l"}},
            opset_version=17,
        )
    return ir.from_proto(onnx.ModelProto.FromString(text.getvalue()))


def answer(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """What the module itself makes of an input."""
    with torch.no_grad():
        result: np.ndarray = module(torch.from_numpy(x)).numpy()
    return result
