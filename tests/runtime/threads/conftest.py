"""The bundles of all tests of threads: one toy, and one of two sizes."""

import pytest

from denoisert.runtime import Runtime
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron
from tests.runtime.sized import SIZES, sized_bundle
from tests.runtime.threads.sized_requests import PIXELS, card


@pytest.fixture(scope="package")
def toy(tmp_path_factory):
    """Class 7 becomes NaN at the third of five steps."""
    return compiled(perceptron(breaks=(7, 0.6)), tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="package")
def both(tmp_path_factory):
    """A bundle of both sizes."""
    return sized_bundle(tmp_path_factory.mktemp("both"), card(*SIZES))


@pytest.fixture(scope="package")
def alone(tmp_path_factory):
    """From a request to its result in a bundle of its size only, in a runtime of its own."""
    paths = {
        pixels: sized_bundle(tmp_path_factory.mktemp("one"), card(size, tile=size))
        for pixels, size in zip(PIXELS, SIZES, strict=True)
    }

    def run(request, **options):
        with Runtime.open(paths[request.size or PIXELS[0]], threads=1, **options) as runtime:
            return runtime.generate(request)

    return run
