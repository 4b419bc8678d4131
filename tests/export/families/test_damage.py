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
FEW_ROUNDS = 15
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


def count_survivors(folder, good, rounds, act):
    """How often damage to one of these files, once or twice, leaves a folder that is read."""
    rng, kept = random.Random(folder.name), 0
    for number in range(rounds):
        path = rng.choice(list(good))
        bad = damage(good[path], rng)
        bad = damage(bad, rng) if number % 2 and bad else bad
        path.write_text(json.dumps(bad), encoding="utf-8")
        kept += survives(act, REFUSALS)
        path.write_text(json.dumps(good[path]), encoding="utf-8")
    return kept


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_damaged_configurations(folder):
    """Keys removed, renamed or set to something strange: a card, without weights and torch."""
    good = configurations(folder)
    assert next(iter(good.values()))["_class_name"] in PIPELINES
    DiffusersFolder(folder)
    assert 0 < count_survivors(folder, good, ROUNDS, lambda: DiffusersFolder(folder)) < ROUNDS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_damaged_networks(folder):
    """The same of what networks are built of, up to the comparison with their weights."""
    found = configurations(folder)
    good = {path: data for path, data in found.items() if path.name == "config.json"}
    DiffusersFolder(folder).load()
    kept = count_survivors(folder, good, FEW_ROUNDS, lambda: DiffusersFolder(folder).load())
    assert kept < FEW_ROUNDS
