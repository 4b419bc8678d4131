"""Hand-made and random tables on the torch device: what no sampler of ours asks for, too."""

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.kernels.step.row import Operation
from denoisert.runtime.bundle.card import TimeShape
from tests.runtime.networks import perceptron
from tests.runtime.sampling import drafts
from tests.runtime.sampling.drafts import assemble, blank, random_fields
from tests.runtime.spies import work


def test_recorded_noise_is_read_from_its_pages(check, toy):
    """One draw from the second external, the other one from the counter, in the same row."""
    rng = np.random.default_rng(9)
    pages = {f"buffer{e}": rng.standard_normal((4, 64)).astype(np.float32) for e in range(2)}
    form = Form(1, 1, 2)
    matrix = blank(form, 3)
    first = form.register_row(0)
    matrix[1:, first, [0, form.branch(0), form.draw(0), form.draw(1)]] = 0.9, -0.2, 0.5, 0.3
    index = np.tile(np.arange(4)[:, None], 2)
    table = assemble(form, matrix, external_index=index, noise_source=(1, -1))
    check(toy, [work(table, (3,), seed=2, externals=pages)])


def test_two_thresholds_in_one_row(check, toy):
    """Of U_0, and of a U_1 that reads D_0; both quantiles lie above 1."""
    form = Form(1, 1, 1)
    matrix = blank(form, 2)
    matrix[1:, form.argument_row(0), 0] = 2.0
    matrix[1:, form.argument_row(1), [form.branch(0), form.estimate(0)]] = 3.0, 0.5
    columns = [0, form.estimate(0), form.estimate(1)]
    matrix[1:, form.register_row(0), columns] = 0.3, 0.5, 0.7
    codes = np.full((3, 2), int(Operation.DYNAMIC_THRESHOLD))
    codes[0] = Operation.NONE
    table = assemble(
        form,
        matrix,
        operation=codes,
        operation_args=np.tile([[0.8, 9.0], [0.9, 9.0]], (3, 1, 1)),
        model_time=np.full((3, 1), 0.5),
    )
    pages = {"buffer0": np.zeros((1, 64), np.float32)}
    check(toy, [work(table, (3,), seed=2, externals=pages)], [(3,)])


def anything(seed, ports=1, scalars=0):
    """A table that uses everything, reads registers, ports, times and scalars at random."""
    rng = np.random.default_rng(seed)
    form, matrix, changes = random_fields(seed)
    shape = changes["condition"].shape
    changes |= {
        "port": rng.integers(0, ports, shape),
        "model_time": rng.uniform(0, 1, shape),
        "scalars": rng.uniform(-1, 1, (*shape, 4)) * (np.arange(4) < scalars),
    }
    is_renamed = seed % 2 == 0  # registers that move, or networks that read any of them
    if not is_renamed:
        changes["input_register"] = rng.integers(0, form.registers, shape)
        changes["live"] = np.full(len(matrix), 2**form.registers - 1)
    table = assemble(form, matrix, renames=is_renamed, **changes)
    pages = {n: page.astype(np.float32) for n, page in drafts.buffers(seed, table).items()}
    return work(table, (1, 2, 3), seed=seed, image=seed % 3, loop=seed % 2, externals=pages)


@pytest.mark.parametrize(
    ("time", "seeds"), [(TimeShape.LANES, (2, 7, 40)), (TimeShape.SCALAR, (7,))], ids=repr
)
def test_parts_ports_scalars_rules_products(check, time, seeds):
    """Two parts, two output ports, two more scalars, three conditions.

    Among the seeds are a threshold of U_1, networks that read any register, and a final latent
    that does not lie in the first one.
    """
    toy = perceptron(seed=12, layout=drafts.LAYOUT, ports=2, scalars=("size", "second"), time=time)
    check(toy, [anything(seed, ports=2, scalars=2) for seed in seeds], slots=2)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_many_tables_that_use_everything(check, first):
    toy = perceptron(seed=12, layout=drafts.LAYOUT, ports=2, scalars=("size", "second"))
    check(toy, [anything(seed, ports=2, scalars=2) for seed in range(first, first + 20)])
