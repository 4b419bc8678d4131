"""The operators that the torch engine knows: one table, ONNX name to torch call."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from denoisert.runtime.engines.torch.operators.attention import ATTENTION
from denoisert.runtime.engines.torch.operators.call import Operator
from denoisert.runtime.engines.torch.operators.constant import CONSTANT
from denoisert.runtime.engines.torch.operators.convolution import CONVOLUTION
from denoisert.runtime.engines.torch.operators.indexing import INDEXING
from denoisert.runtime.engines.torch.operators.linear import LINEAR
from denoisert.runtime.engines.torch.operators.normalisation import NORMALISATION
from denoisert.runtime.engines.torch.operators.pointwise import POINTWISE
from denoisert.runtime.engines.torch.operators.reduction import REDUCTION
from denoisert.runtime.engines.torch.operators.resize import RESIZE
from denoisert.runtime.engines.torch.operators.shape import SHAPE

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        **ATTENTION,
        **CONSTANT,
        **CONVOLUTION,
        **INDEXING,
        **LINEAR,
        **NORMALISATION,
        **POINTWISE,
        **REDUCTION,
        **RESIZE,
        **SHAPE,
    }
)
"""ONNX operator of the default domain -> how it becomes a torch call."""

__all__ = ["OPERATORS"]
