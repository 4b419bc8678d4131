"""Matrix products against ONNX Runtime."""

import numpy as np
import pytest

from tests.runtime.engines.torch.one_node import agree, normal

SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 6, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 6)),
    ((3, 4), (2, 4, 5)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products(shapes, tmp_path):
    x, y = normal(*shapes[0]), normal(*shapes[1], seed=1)
    agree(tmp_path, "MatMul", [x, y])
    agree(tmp_path, "MatMul", [x, y], constants=(1,))


@pytest.mark.parametrize("turned", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("bias", [None, (5,), (3, 5), (3, 1)], ids=str)
def test_affine_maps(bias, factors, turned, tmp_path):
    x = normal(*((4, 3) if turned[0] else (3, 4)))
    y = normal(*((5, 4) if turned[1] else (4, 5)), seed=1)
    attributes = dict(zip(("transA", "transB", "alpha", "beta"), (*turned, *factors), strict=True))
    given = [x, y] if bias is None else [x, y, normal(*bias, seed=2)]
    agree(tmp_path, "Gemm", given, attributes, constants=(1,))


EQUATIONS = {
    "i,j->ij": [(3,), (4,)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "nhwpqc->nchpwq": [(2, 3, 4, 2, 2, 5)],
    "...i,ij": [(2, 3, 4), (4, 5)],
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_sums_of_products(equation, tmp_path):
    given = [normal(*shape, seed=i) for i, shape in enumerate(EQUATIONS[equation])]
    agree(tmp_path, "Einsum", given, {"equation": equation})


def test_large_products_keep_their_digits(tmp_path):
    x, y = normal(64, 256), normal(256, 32, seed=1)
    (wanted,) = agree(tmp_path, "MatMul", [x, y])
    assert np.abs(wanted).max() > 10
