"""One compiled toy for all tests of threads."""

import pytest

from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron


@pytest.fixture(scope="package")
def toy(tmp_path_factory):
    """Class 7 becomes NaN at the third of five steps."""
    return compiled(perceptron(breaks=(7, 0.6)), tmp_path_factory.mktemp("toy"))
