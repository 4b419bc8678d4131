"""Toy denoisers that the loop's tests share; sessions are made once."""

import pytest

from denoisert.runtime.bundle.card import TimeShape
from tests.runtime.networks import convolution, perceptron


@pytest.fixture(scope="session")
def toy():
    """Two channels of 6 x 5, one time per lane, any number of lanes."""
    return perceptron()


@pytest.fixture(scope="session")
def denoiser(toy, tmp_path_factory):
    return toy.denoiser(tmp_path_factory.mktemp("perceptron"))


@pytest.fixture(
    scope="session",
    params=[
        ("lanes", {}),
        ("scalar time", {"time": TimeShape.SCALAR}),
        ("batch of 3", {"batch": 3}),
        ("batch of 1", {"batch": 1}),
        ("scalar time, batch of 4", {"time": TimeShape.SCALAR, "batch": 4}),
        ("convolution", {}),
    ],
    ids=lambda param: param[0],
)
def any_toy(request, tmp_path_factory):
    """A toy of every kind with its denoiser."""
    name, shape = request.param
    made = (convolution if name == "convolution" else perceptron)(seed=3, **shape)
    return made, made.denoiser(tmp_path_factory.mktemp("toy"), threads=2)
