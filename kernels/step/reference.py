"""The specification of one tick's update of one slot, in any float type.

    V_m  = sum_c v_mc Z_c                          rule vectors
    G    = sum_m g_m V_m                           g per slot or per (slot, channel)
    D_o  = op_o(sum_c u_oc Z_c)                    D_0 before D_1
    R'_i = sum_c r_ic Z_c + sum_p gain_p map_p source_p
    tap  = sum_c t_c Z_c

Z are the slot's columns (see `form`). All registers are written at once, from the old ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from denoisert.kernels.step.row import Operation, Product, Row, Terms

Array = NDArray[np.floating]


def combine(columns: Array, terms: Terms) -> Array:
    """sum_c coefficient_c Z_c, left to right, reading only terms whose coefficient is not 0.

    Args:
        columns: (columns, elements).
        terms: what to read and how much of it.

    Returns:
        (rows, elements).
    """
    out = np.zeros((terms.coefficients.shape[0], columns.shape[1]), columns.dtype)
    for row, coefficients in enumerate(terms.coefficients):
        for index, coefficient in zip(terms.columns, coefficients, strict=True):
            if coefficient != 0:
                out[row] += columns.dtype.type(coefficient) * columns[index]
    return out


def guide(vectors: Array, weights: Array) -> Array:
    """G = sum_m g_m V_m.

    Args:
        vectors: (M, elements), channels first.
        weights: (channels, M); one channel means the whole slot.

    Returns:
        (elements,).
    """
    split = vectors.reshape(vectors.shape[0], weights.shape[0], -1)
    guided: Array = np.einsum("cm,mce->ce", weights.astype(vectors.dtype), split)
    return guided.reshape(-1)


def operate(values: Array, operation: tuple[Operation, float, float], threshold: float) -> Array:
    """D = op(U; a, b), see `Operation`.

    Args:
        values: U, (elements,).
        operation: the operation and its arguments a, b.
        threshold: the a-quantile of |U|, for DYNAMIC_THRESHOLD only.

    Returns:
        (elements,).
    """
    code, a, b = operation
    if code is Operation.CLIP:
        return np.clip(values, a, b)
    if code is Operation.DYNAMIC_THRESHOLD:
        limit = min(max(threshold, 1.0), b)
        return np.clip(values, -limit, limit) / values.dtype.type(limit)
    if code is Operation.REFLECT:
        width = b - a
        distance: Array = np.abs((values - a) % (2 * width) - width)
        return a + width - distance
    if code is Operation.EXP_HALF:
        return np.exp(values / 2)
    return values.copy()


def thresholds(
    columns: Array,
    row: Row,
    quantile: Callable[[Array, float], float],
    *,
    weights: Array | None = None,
) -> tuple[float, float]:
    """The quantiles of |U_0| and |U_1| that the row's operations want, 0 where they want none.

    Args:
        columns: Z, (columns, elements).
        row: the row set.
        quantile: (values, ratio) -> quantile of |values|.
        weights: g, (channels, M), when the row has rule vectors.

    Returns:
        What `step` takes as `thresholds`.
    """
    z = columns.copy()
    found = [0.0, 0.0]
    if row.vectors is not None and weights is not None:
        z[row.form.guided] = guide(combine(z, row.vectors), weights)
    for index, terms in enumerate(row.arguments):
        if terms is not None:
            argument = combine(z, terms)[0]
            code, ratio, _ = row.operations[index]
            if code is Operation.DYNAMIC_THRESHOLD:
                found[index] = quantile(argument, ratio)
            z[row.form.estimate(index)] = operate(argument, row.operations[index], found[index])
    return found[0], found[1]


def multiply(columns: Array, product: Product) -> Array:
    """gain * map * source on the product's range, (last - first,)."""
    span = slice(product.first, product.last)
    value = columns.dtype.type(product.gain) * columns[product.source, span]
    return value if product.column < 0 else value * columns[product.column, span]


def step(
    columns: Array,
    row: Row,
    *,
    weights: Array | None = None,
    thresholds: tuple[float, float] = (0.0, 0.0),
) -> tuple[Array, Array]:
    """Evaluate one row set on one slot.

    Args:
        columns: Z, (columns, elements); G and D are computed here, the rest must be filled.
        row: the row set.
        weights: g, (channels, M), when the row has rule vectors.
        thresholds: quantiles of |U_0| and |U_1| where an operation wants one.

    Returns:
        The written registers (targets, elements) and the taps (taps, elements).
    """
    z = columns.copy()
    if row.vectors is not None and weights is not None:
        z[row.form.guided] = guide(combine(z, row.vectors), weights)
    for index, terms in enumerate(row.arguments):
        if terms is not None:
            argument = combine(z, terms)[0]
            z[row.form.estimate(index)] = operate(
                argument, row.operations[index], thresholds[index]
            )
    empty = np.zeros((len(row.targets), z.shape[1]), z.dtype)
    registers = empty if row.registers is None else combine(z, row.registers)
    for product in row.products:
        registers[product.register, product.first : product.last] += multiply(z, product)
    taps = np.zeros((0, z.shape[1]), z.dtype) if row.taps is None else combine(z, row.taps)
    return registers, taps
