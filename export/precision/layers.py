"""What each layer of a graph costs, and how much noise a narrowed copy has at its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, log10

import onnx_ir as ir
import torch
from torch import Tensor

from denoisert.export.graph.flops import COUNTS
from denoisert.export.precision.rewrite import name_of
from denoisert.export.precision.walk import Computed
from denoisert.runtime.engines.wide import WEIGHTS


@dataclass(frozen=True, slots=True)
class Layer:
    """One node that multiplies matrices, and its output in a narrowed graph.

    Args:
        name: of the node.
        op: its operator.
        snr_db: signal to noise ratio of its output over all trials, in decibels; infinite where
            nothing differs, minus infinity where it is not finite.
        weight_bytes: of its constants in float32.
        flops: of one call, two for each multiplication that is added, at the first trial.
    """

    name: str
    op: str
    snr_db: float
    weight_bytes: int
    flops: int


@dataclass(slots=True)
class Noise:
    """Energies of one layer's output, added up over trials."""

    signal: float = 0.0
    noise: float = 0.0
    flops: int = 0

    def add(self, reference: Tensor, found: Tensor) -> None:
        """Add one pair of outputs."""
        exact = reference.double()
        self.signal += float(exact.square().sum())
        self.noise += float((found.double() - exact).square().sum())

    @property
    def snr_db(self) -> float:
        """Signal to noise ratio in decibels."""
        if not self.noise < inf:
            return -inf
        if self.noise == 0.0:
            return inf
        return 10 * log10(self.signal / self.noise) if self.signal else -inf


def weighted(model: ir.Model) -> dict[str, ir.Node]:
    """Output name -> the node that multiplies matrices and computes it."""
    return {str(node.outputs[0].name): node for node in model.graph if node.op_type in WEIGHTS}


def layers(nodes: Mapping[str, ir.Node], noises: Mapping[str, Noise]) -> tuple[Layer, ...]:
    """The layers of a graph, the noisiest first.

    Args:
        nodes: output name -> node of the float32 graph.
        noises: output name -> what was measured; others are left out.
    """
    found = (_layer(nodes[name], noise) for name, noise in noises.items())
    return tuple(sorted(found, key=lambda layer: layer.snr_db))


def pairs(
    first: Iterable[Computed], second: Iterable[Computed], names: frozenset[str]
) -> Iterator[tuple[Computed, Tensor]]:
    """Values that two graphs have in common, each when both have computed it.

    Args:
        first: one graph's values.
        second: the other's, in the same order but for those that only one has.
        names: which ones; both have them.
    """
    others = iter(second)
    for one in first:
        if one.name in names:
            yield one, next(other.tensor for other in others if other.name == one.name)


def cost(node: ir.Node, one: Computed) -> int:
    """Operations of a node that multiplies matrices, at the sizes of a trial."""
    return COUNTS[node.op_type](node, list(one.shapes[:2]), tuple(one.tensor.shape))


def peak(tensor: Tensor, ceiling: float) -> float:
    """The largest absolute value of a float tensor below a ceiling; 0 for other tensors.

    What lies above the ceiling stands for infinity: masks are made of such numbers.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return 0.0
    sizes = tensor.abs()
    return float(torch.where(sizes < ceiling, sizes, torch.zeros_like(sizes)).max())


def _layer(node: ir.Node, noise: Noise) -> Layer:
    tensors = (value.const_value for value in node.inputs if value is not None)
    weight_bytes = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return Layer(name_of(node), node.op_type, noise.snr_db, weight_bytes, noise.flops)
