"""Folders, open bundles and diffusers' pipelines by name, each opened once a module."""

import pytest

from denoisert.runtime import Runtime
from tests.export.families.bundles import ENGINES, family_bundle
from tests.export.families.folders import family_folder
from tests.export.families.oracles import opened


@pytest.fixture(scope="module")
def folder(once):
    """name -> its folder."""
    return lambda name: family_folder(once, name)


@pytest.fixture(scope="module")
def runtime(once):
    """(name, engine) -> its open bundle."""
    kept = {}

    def of(name, engine="onnxruntime"):
        if (name, engine) not in kept:
            path = family_bundle(once, name)
            kept[name, engine] = Runtime.open(path, threads=1, devices=(ENGINES[engine],))
        return kept[name, engine]

    yield of
    for each in kept.values():
        each.close()


@pytest.fixture(scope="module")
def pipeline(folder):
    """name -> diffusers' pipeline, open."""
    kept = {}

    def of(name):
        if name not in kept:
            kept[name] = opened(folder(name))
        return kept[name]

    return of
