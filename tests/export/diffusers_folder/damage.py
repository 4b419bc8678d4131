"""Random damage to JSON, and what may come of it: a value or an error of ours, nothing else."""

import copy

from denoisert.runtime.errors import ExportError, InvalidInput
from tests.export.diffusers_folder.clip import END, START

LONGEST = 1500
REFUSALS = (ExportError, InvalidInput)
STRANGE = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.0, 0.5, -1e308, "", "x", "0", "\0"),
    *("\ud800", "../x", "a" * 5000, [], {}, [[]], [None], {"": None}, [1, 2, 3], {"content": 3}),
    *(["os", "system"], {"0": {"content": "y"}}, START, END, "<|x|>", "trailing", "sample"),
)


def damage(value, rng):
    """A copy with one place replaced by something strange, removed, or renamed."""
    value = copy.deepcopy(value)
    place, key = rng.choice(list(places(value)) or [([value], 0)])
    choice = rng.random()
    if choice < 0.15 and isinstance(place, dict):
        del place[key]
    elif choice < 0.3 and isinstance(place, dict):
        place[rng.choice([*map(str, STRANGE[:20]), "auto_map", "extra"])] = place.pop(key)
    else:
        place[key] = rng.choice(STRANGE)
    return value


def places(value):
    """Every container and key below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def survives(action, refusals=(ExportError,)):
    """Whether the damage did no harm; anything but these errors fails the test."""
    try:
        action()
    except refusals as error:
        message = str(error)
    else:
        return True
    assert message.isprintable()
    assert len(message) < LONGEST
    return False
