"""Hand-made tables, random ones, and a literal reading of either to compare with."""

import numpy as np

from denoisert.kernels.rule import reference as rules
from denoisert.kernels.step.form import Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.basis import EstimateMap, Everywhere, ExternalMap, RangeMap
from denoisert.runtime.sampling.registers import liveness, placement
from denoisert.runtime.sampling.table import SamplerTable, TableProduct

LAYOUT = StateLayout((Part("image", (3, 2, 2)), Part("sound", (2, 4))))
ELEMENTS = LAYOUT.elements
MAPS = [Everywhere(), EstimateMap(0), RangeMap(0), RangeMap(1, 1, 1), RangeMap(0, 1)]
OPERATIONS = [
    (Operation.NONE, 0.0, 0.0),
    (Operation.CLIP, -0.4, 0.6),
    (Operation.DYNAMIC_THRESHOLD, 0.8, 1.5),
    (Operation.REFLECT, -0.5, 0.3),
    (Operation.EXP_HALF, 0.0, 0.0),
]


def network(latent, model_time, condition):
    """A bounded answer that mixes elements, depends on time and condition and is never flat."""
    slant = np.linspace(-1, 1, latent.size, dtype=latent.dtype)
    mixed = 1.3 * latent - 0.4 * np.roll(latent, 3)
    return np.tanh(mixed + 0.002 * model_time + (0.7 + condition) * slant)


def draws(seed, count=64):
    """Standard normals of `count` draws."""
    return list(np.random.default_rng(seed).standard_normal((count, ELEMENTS)))


def assemble(form, matrix, *, renames=True, **changes):
    """A table of one condition per branch at every stage; `changes` replace fields."""
    count, branches = len(matrix), (len(matrix), form.branches)
    products = changes.setdefault("products", ((),) * count)
    live = liveness(matrix, products, form)
    places = np.tile(np.arange(form.registers), (count, 1))
    condition = np.tile(np.arange(form.branches), (count, 1))
    condition[0] = -1
    time = np.tile(100.0 * np.arange(count)[:, None], (1, form.branches))
    fields = {
        "form": form,
        "matrix": matrix,
        "condition": condition,
        "engine": np.zeros(branches, np.int64),
        "port": np.zeros(branches, np.int64),
        "model_time": time,
        "input_scale": np.ones(branches),
        "input_register": np.zeros(branches, np.int64),
        "scalars": np.zeros((*branches, 4)),
        "rule": np.zeros(count, np.int64),
        "rule_args": np.zeros((count, 8)),
        "operation": np.zeros((count, 2), np.int64),
        "operation_args": np.zeros((count, 2, 2)),
        "tap_index": np.full((count, form.taps), -1, np.int64),
        "externals": tuple(f"buffer{e}" for e in range(form.externals)),
        "external_index": np.zeros((count, form.externals), np.int64),
        "noise_source": (-1, -1),
        "draws": np.full(count, 2, np.int64),
        "rename": placement(matrix, products, live, form) if renames else places,
        "alpha": np.linspace(0.3, 0.9, count),
        "sigma": np.linspace(0.8, 0.2, count),
        "live": live,
        "steps": np.arange(count),
    }
    return SamplerTable(**(fields | changes))


def blank(form, stages):
    """A matrix of zeros whose prologue starts R_0 from the first draw."""
    matrix = np.zeros((stages + 1, form.rows, form.columns))
    matrix[0, form.register_row(0), form.draw(0)] = 1.0
    return matrix


def random_fields(seed):
    """Form, matrix and changes of a random table that uses everything a table may use."""
    rng = np.random.default_rng(seed)
    form = Form(*(int(rng.integers(low, 4)) for low in (1, 2, 1, 0)))
    stages = int(rng.integers(1, 6))
    matrix = rng.standard_normal((stages + 1, form.rows, form.columns)) / form.columns
    matrix[rng.random(matrix.shape) < 0.4] = 0
    _copies(rng, form, matrix)
    condition = rng.integers(-1, 3, (stages + 1, form.branches))
    rule = rng.integers(0, 2, stages + 1)
    condition[0], rule[0], condition[rule > 0, :2] = -1, 0, (0, 1)
    matrix[:, : form.argument_row(0)] = 0
    matrix[rule > 0, 0, form.branch(0)] = matrix[rule > 0, 1, form.branch(1)] = 1.0
    matrix[rule == 0, :, form.guided] = 0
    matrix[:, : form.argument_row(1), form.estimate(0)] = 0
    matrix[:, : form.register_row(0), form.estimate(1)] = 0
    matrix[0, :, : form.registers] = 0
    chosen = rng.integers(1, len(OPERATIONS), (stages + 1, 2))
    row, _, branch = np.nonzero(matrix[:, :, form.branch(0) : form.guided])
    skipped = condition[row, branch] < 0
    matrix[row[skipped], :, form.branch(0) + branch[skipped]] = 0
    return (
        form,
        matrix,
        {
            "condition": condition,
            "rule": rule,
            "rule_args": rng.uniform(0.2, 3, (stages + 1, 8)) * np.eye(1, 8)
            + 0.4 * np.eye(1, 8, 1),
            "operation": np.array([[OPERATIONS[i][0] for i in pair] for pair in chosen]),
            "operation_args": np.array([[OPERATIONS[i][1:] for i in pair] for pair in chosen]),
            "products": tuple(_products(rng, form) for _ in range(stages + 1)),
            "external_index": rng.integers(0, 3, (stages + 1, form.externals)),
            "input_scale": rng.uniform(0.5, 1.5, condition.shape),
            "tap_index": rng.integers(-1, 5, (stages + 1, form.taps)),
        },
    )


def _copies(rng, form, matrix):
    """Turn some register rows into plain copies of an old one, as a shifted history has them."""
    for row in matrix[1:]:
        for register in range(form.registers):
            if rng.random() < 0.5:
                row[form.register_row(register)] = 0
                row[form.register_row(register), rng.integers(form.registers)] = 1.0


def _products(rng, form):
    sources = [form.estimate(1), form.draw(0), form.external(0), form.one]
    maps = [*MAPS, *(ExternalMap(e) for e in range(form.externals))]
    return tuple(
        TableProduct(
            int(rng.integers(form.registers)),
            float(rng.standard_normal()),
            maps[rng.integers(len(maps))],
            sources[rng.integers(len(sources))],
        )
        for _ in range(rng.integers(0, 3))
    )


def buffers(seed, table):
    """Three pages of random values for every external of a table."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((3, ELEMENTS)) for name in table.externals}


def literal(table, answer, noise, externals=None):
    """Final R_0 and tapes, row by row as the design writes them: no renames, packing, kernels."""
    form = table.form
    registers = np.full((form.registers, ELEMENTS), np.nan)
    tapes = [{} for _ in range(form.taps)]
    for row in range(table.stages + 1):
        z = _columns(table, row, registers, answer, noise, externals or {})
        matrix = table.matrix[row]
        if table.rule[row]:
            cond, uncond = _sum(matrix[0], z), _sum(matrix[1], z)
            z[form.guided] = rules.cfg_rescale(cond, uncond, *table.rule_args[row, :2])
        for index in range(2):
            if table.operation[row, index]:
                argument = _sum(matrix[form.argument_row(index)], z)
                z[form.estimate(index)] = operate(
                    argument, table.operation[row, index], *table.operation_args[row, index]
                )
        new = np.array([_sum(matrix[form.register_row(i)], z) for i in range(form.registers)])
        for product in table.products[row]:
            new[product.register] += product.gain * _map(product.map, form, z) * z[product.source]
        for tape in np.flatnonzero(table.tap_index[row] >= 0):
            tapes[tape][int(table.tap_index[row, tape])] = _sum(matrix[form.tap_row(tape)], z)
        registers = new
    return registers[0], tapes


def operate(values, code, a, b):
    """An operation in its plainest form."""
    if code == Operation.CLIP:
        return np.where(values < a, a, np.where(values > b, b, values))
    if code == Operation.DYNAMIC_THRESHOLD:
        limit = min(max(np.quantile(np.abs(values), a), 1.0), b)
        return np.where(np.abs(values) > limit, np.sign(values), values / limit)
    if code == Operation.EXP_HALF:
        return np.sqrt(np.exp(values))
    while (values < a).any() or (values > b).any():
        values = np.where(values > b, 2 * b - values, values)
        values = np.where(values < a, 2 * a - values, values)
    return values


def _columns(table, row, registers, answer, noise, externals):
    form = table.form
    z = np.full((form.columns, ELEMENTS), np.nan)
    z[: form.registers], z[form.one] = registers, 1
    for index, name in enumerate(table.externals):
        if table.external_index[row, index] >= 0:
            z[form.external(index)] = externals[name][table.external_index[row, index]]
    for draw in range(int(table.draws[row])):
        z[form.draw(draw)] = noise[int(table.draws[:row].sum()) + draw]
    for draw, source in enumerate(table.noise_source):
        if source >= 0:
            z[form.draw(draw)] = z[form.external(source)]
    for branch in np.flatnonzero(table.condition[row] >= 0):
        latent = table.input_scale[row, branch] * registers[table.input_register[row, branch]]
        z[form.branch(branch)] = answer(
            latent, table.model_time[row, branch], int(table.condition[row, branch])
        )
    return z


def _sum(coefficients, z):
    used = np.flatnonzero(coefficients)
    return coefficients[used] @ z[used]


def _map(where, form, z):
    if isinstance(where, ExternalMap):
        return z[form.external(where.position)]
    if isinstance(where, EstimateMap):
        return z[form.estimate(where.position)]
    if isinstance(where, Everywhere):
        return 1.0
    mask = np.zeros(ELEMENTS)
    start = sum(part.elements for part in LAYOUT.parts[: where.part])
    block = mask[start:][: LAYOUT.parts[where.part].elements].reshape(
        LAYOUT.parts[where.part].channels, -1
    )
    block[where.first : where.first + where.channels if where.channels else None] = 1.0
    return mask
