"""The update of one slot on a CPU: two NumPy calls for a linear row, no allocation of latent size.

`take` brings the few columns that exist together, one small matrix product does the rest. Slots are
updated one by
one, so a slot's bits never depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.form import VECTORS, Form
from denoisert.kernels.step.row import Operation, Product, Row, Terms

Array = NDArray[np.floating]


class Workspace(NamedTuple):
    """Scratch memory of one form and latent size, shared by all slots of a pool."""

    terms: Array
    vectors: Array
    registers: Array
    taps: Array
    products: Array


def workspace(form: Form, elements: int, dtype: type[np.floating] = np.float32) -> Workspace:
    """Scratch memory for latents of `elements` numbers."""
    return Workspace(
        np.empty((form.columns, elements), dtype),
        np.empty((VECTORS, elements), dtype),
        np.empty((form.registers, elements), dtype),
        np.empty((form.taps, elements), dtype),
        np.empty(elements, dtype),
    )


def combine(columns: Array, terms: Terms, *, out: Array, workspace: Workspace) -> Array:
    """sum_c coefficient_c Z_c into `out` (rows, elements); see the reference."""
    index, coefficients = terms
    gathered = workspace.terms[: index.size]
    columns.take(index, 0, gathered, "clip")
    return np.matmul(coefficients, gathered, out)


def guide(vectors: Array, weights: Array, *, out: Array) -> Array:
    """G = sum_m g_m V_m into `out` (elements,); see the reference."""
    channels = weights.shape[0]
    split = vectors.reshape(vectors.shape[0], channels, -1)
    target = out.reshape(channels, -1)
    for channel in range(channels):
        np.matmul(weights[channel].astype(vectors.dtype), split[:, channel], target[channel])
    return out


def operate(
    values: Array, operation: tuple[Operation, float, float], threshold: float, *, out: Array
) -> Array:
    """D = op(U; a, b) into `out`, which may be `values`; see the reference."""
    code, a, b = operation
    if code is Operation.CLIP:
        return np.clip(values, a, b, out)
    if code is Operation.DYNAMIC_THRESHOLD:
        limit = min(max(threshold, 1.0), b)
        return np.divide(np.clip(values, -limit, limit, out), out.dtype.type(limit), out)
    if code is Operation.REFLECT:
        return _reflect(values, a, b, out)
    if code is Operation.EXP_HALF:
        return np.exp(np.multiply(values, out.dtype.type(0.5), out), out)
    np.copyto(out, values)
    return out


def _reflect(values: Array, low: float, high: float, out: Array) -> Array:
    number = out.dtype.type
    width = number(high - low)
    np.subtract(values, number(low), out)
    np.remainder(out, 2 * width, out)
    np.subtract(out, width, out)
    np.abs(out, out)
    return np.subtract(number(low) + width, out, out)


def multiply(columns: Array, product: Product, *, out: Array) -> Array:
    """gain * map * source on the product's range into the head of `out`; see the reference."""
    span = slice(product.first, product.last)
    value = out[: product.last - product.first]
    np.multiply(columns[product.source, span], out.dtype.type(product.gain), value)
    if product.column >= 0:
        np.multiply(value, columns[product.column, span], value)
    return value


def _guided(columns: Array, row: Row, weights: Array | None, workspace: Workspace) -> None:
    if row.vectors is not None and weights is not None:
        vectors = workspace.vectors[: row.vectors.coefficients.shape[0]]
        combine(columns, row.vectors, out=vectors, workspace=workspace)
        guide(vectors, weights, out=columns[row.form.guided])


def thresholds(
    columns: Array,
    row: Row,
    quantile: Callable[[Array, float], float],
    *,
    weights: Array | None = None,
    workspace: Workspace,
) -> tuple[float, float]:
    """Quantiles of |U_0| and |U_1| that the operations want; see the reference."""
    found = [0.0, 0.0]
    _guided(columns, row, weights, workspace)
    for index, terms in enumerate(row.arguments):
        if terms is not None:
            value = columns[row.form.estimate(index)]
            combine(columns, terms, out=value[None], workspace=workspace)
            code, ratio, _ = row.operations[index]
            if code is Operation.DYNAMIC_THRESHOLD:
                found[index] = quantile(value, ratio)
            operate(value, row.operations[index], found[index], out=value)
    return found[0], found[1]


def step(
    columns: Array,
    row: Row,
    *,
    weights: Array | None = None,
    thresholds: tuple[float, float] = (0.0, 0.0),
    workspace: Workspace,
) -> tuple[Array, Array]:
    """Evaluate one row set on one slot; see the reference. G and D are left in `columns`.

    Returns:
        Views into the workspace: the written registers (targets, elements) and the taps.
    """
    _guided(columns, row, weights, workspace)
    for index, terms in enumerate(row.arguments):
        if terms is not None:
            value = columns[row.form.estimate(index)]
            combine(columns, terms, out=value[None], workspace=workspace)
            operate(value, row.operations[index], thresholds[index], out=value)
    registers = workspace.registers[: len(row.targets)]
    if row.registers is None:
        registers.fill(0)
    else:
        combine(columns, row.registers, out=registers, workspace=workspace)
    for product in row.products:
        value = multiply(columns, product, out=workspace.products)
        registers[product.register, product.first : product.last] += value
    if row.taps is None:
        return registers, workspace.taps[:0]
    taps = workspace.taps[: row.taps.coefficients.shape[0]]
    return registers, combine(columns, row.taps, out=taps, workspace=workspace)
