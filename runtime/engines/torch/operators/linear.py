"""Matrix products: the operators that carry most of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from denoisert.runtime.engines.torch.operators.call import (
    Call,
    Operand,
    Operator,
    Site,
    X,
    Y,
    Z,
)


def product(site: Site) -> Call:
    """The matrix product, broadcast over leading dimensions; a third input is a bias."""
    if site.has(2) and site.rank() > 1:
        return Call(biased_product, (X, Y, Z), writer=write_biased_product)
    if site.has(2):
        return Call(biased_product, (X, Y, Z))
    if site.rank(1) == 2 and site.rank() > 2:
        return Call(torch.matmul, (X, Y), writer=rows_product)
    return Call(torch.matmul, (X, Y), writer=torch.matmul)


def rows_product(x: Tensor, y: Tensor, *, out: Tensor) -> None:
    """x (.., K) times y (K, N) as one product of matrices; `out` is contiguous."""
    torch.mm(x.reshape(-1, x.shape[-1]), y, out=out.view(-1, y.shape[1]))


def biased_product(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x (.., K) times y (K, N), plus z (N,)."""
    return torch.nn.functional.linear(x, y.mT, z)


def write_biased_product(x: Tensor, y: Tensor, z: Tensor, *, out: Tensor) -> None:
    """`biased_product` as one product of matrices; `out` is contiguous."""
    torch.addmm(z, x.reshape(-1, x.shape[-1]), y, out=out.view(-1, y.shape[1]))


def general(site: Site) -> Call:
    """alpha x y + beta z, each of x and y transposed or not."""
    alpha, beta = site.node.number("alpha", 1.0), site.node.number("beta", 1.0)
    turned = (site.node.integer("transA", 0), site.node.integer("transB", 0))
    if not site.has(2):
        return Call(scaled_product, (X, Y, turned, alpha), writer=scaled_product_into)
    return Call(affine, (X, Y, Z, turned, alpha, beta), writer=affine_into)


def _turn(x: Tensor, y: Tensor, turned: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return x.mT if turned[0] else x, y.mT if turned[1] else y


def affine(
    x: Tensor, y: Tensor, z: Tensor, turned: tuple[int, int], alpha: float, beta: float
) -> Tensor:
    """alpha x y + beta z; z is broadcast."""
    return torch.addmm(z, *_turn(x, y, turned), alpha=alpha, beta=beta)


def affine_into(
    x: Tensor,
    y: Tensor,
    z: Tensor,
    turned: tuple[int, int],
    alpha: float,
    beta: float,
    *,
    out: Tensor,
) -> None:
    """`affine` without an allocation."""
    torch.addmm(z, *_turn(x, y, turned), alpha=alpha, beta=beta, out=out)


def scaled_product(x: Tensor, y: Tensor, turned: tuple[int, int], alpha: float) -> Tensor:
    """alpha x y."""
    found = torch.mm(*_turn(x, y, turned))
    return found if alpha == 1.0 else found * alpha


def scaled_product_into(
    x: Tensor, y: Tensor, turned: tuple[int, int], alpha: float, *, out: Tensor
) -> None:
    """`scaled_product` without an allocation."""
    torch.mm(*_turn(x, y, turned), out=out)
    if alpha != 1.0:
        out.mul_(alpha)


def einsum(site: Site) -> Call:
    """A sum of products given by its indices."""
    operands = tuple(map(Operand, range(len(site.values))))
    return Call(torch.einsum, (site.node.text("equation", ""), *operands))


LINEAR: Mapping[str, Operator] = MappingProxyType(
    {
        "Einsum": Operator(einsum, "equation"),
        "Gemm": Operator(general, "alpha beta transA transB"),
        "MatMul": Operator(product),
    }
)
