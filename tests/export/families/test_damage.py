"""Any damage to the configurations of any family ends in a card, or in an error of ours.

Nothing is traced and no weight is read: this is what happens before work starts.
"""

import json
import random
import shutil

import pytest

from denoisert.export.families.table import PIPELINES
from denoisert.export.sources.diffusers.source import DiffusersFolder
from tests.export.diffusers_folder.damage import REFUSALS, damage, survives
from tests.export.families.folders import FAMILIES, family_folder

ROUNDS = 40
QUICK = ("sd1", "dit")
"""What `make test` has of every matrix of families."""

NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


def configurations(folder):
    """Path -> its content, for all that decide a card but the tokenizers' own files."""
    files = [folder / "model_index.json", *sorted(folder.glob("*/*config.json"))]
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in files}


@pytest.fixture
def folder(request, once, tmp_path):
    return shutil.copytree(family_folder(once, request.param), tmp_path / request.param)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_damaged_configurations(folder):
    """Keys removed, renamed or set to something strange, one or two at a time."""
    good, rng = configurations(folder), random.Random(folder.name)
    assert next(iter(good.values()))["_class_name"] in PIPELINES
    DiffusersFolder(folder)
    kept = 0
    for number in range(ROUNDS):
        path = rng.choice(list(good))
        bad = damage(good[path], rng)
        bad = damage(bad, rng) if number % 2 and bad else bad
        path.write_text(json.dumps(bad), encoding="utf-8")
        kept += survives(lambda: DiffusersFolder(folder), REFUSALS)
        path.write_text(json.dumps(good[path]), encoding="utf-8")
    assert 0 < kept < ROUNDS
