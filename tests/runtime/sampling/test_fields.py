"""Objects of the vocabulary refuse, as they are made, what is not of their fields' types."""

from dataclasses import MISSING, fields

import numpy as np
import pytest

from denoisert.runtime import (
    CFG,
    DDIM,
    LCM,
    After,
    Before,
    Bounded,
    Clip,
    DPMpp2M,
    Flow,
    Inverse,
    Karras,
    Levels,
    Restart,
    Rounded,
    Shifted,
    Trailing,
    Truncated,
    UniPC,
)
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.names import EVERYTHING
from denoisert.runtime.sampling.schedules import Final

WRONG = [
    (lambda: Shifted(3.0), r"Shifted\(spacing=3.0\): it is of type float.*a Spacing.*Trailing\("),
    (lambda: Bounded(3), r"Bounded\(solver=3\): .*a Solver.*DDIM\("),
    (lambda: Bounded(DDIM(), 3), r"operation=3\): .*an EstimateOperation.*Clip\("),
    (lambda: Bounded(DDIM(), Clip), r"it is a class, and operation has to be"),
    (lambda: Truncated(3), r"spacing=3\): "),
    (lambda: Rounded(Karras), r"Rounded\(spacing=<class .*it is a class"),
    (lambda: Rounded(Flow()), r"Rounded\(spacing=Flow\("),
    (lambda: Inverse(DDIM), r"Inverse\(solver=<class .*it is a class"),
    (lambda: Before(3), r"Before\(spacing=3\)"),
    (lambda: After(Trailing(), "1"), r"After\(level='1'\): it is of type str.*a number"),
    (lambda: Restart(((0.1, 0.3, 3),)), r"a tuple \(a number, a number, a whole number, a whole"),
    (
        lambda: CFG("a"),
        r"scale='a'\): .*a number or a tuple, each of its entries a number.*like 1\.0",
    ),
    (lambda: CFG(True), r"scale=True\): it is of type bool"),
    (lambda: LCM("x"), r"LCM\(timestep_scaling='x'\): .*a number.*like 10\.0"),
    (lambda: Levels([80.0, 0.0]), r"it is of type list, and levels has to be a tuple"),
    (lambda: Trailing("zero"), r"a Final\. Pass Final\.ZERO or Final\.LAST"),
    (lambda: UniPC(2.5), r"order=2\.5\): .*a whole number"),
    (lambda: Karras(sigma_max="80"), r"a number or None\. Pass a number or None\."),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_the_wrong_type_is_refused_with_what_to_pass(make, message):
    with pytest.raises(InvalidInput, match=message) as refusal:
        make()
    assert "Pass " in str(refusal.value)


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_every_field_of_every_named_object_is_checked(name):
    kind = EVERYTHING[name]
    for each in fields(kind):
        with pytest.raises(InvalidInput, match=rf"{kind.__name__}\({each.name}=<object"):
            kind(**_others(kind, each) | {each.name: object()})


def _others(kind, but):
    """Placeholders for what has no default, which come after `but` or are of its own type."""
    return {
        each.name: 0.5
        for each in fields(kind)
        if each is not but and each.default is MISSING and each.default_factory is MISSING
    }


def test_numbers_of_numpy_are_numbers():
    scale, order = np.float32(3.0), np.int64(2)
    assert CFG(scale).scale == 3.0
    assert CFG((scale, 2)).scale == (3.0, 2)
    assert UniPC(order).order == 2
    assert Shifted(Trailing(Final.LAST), 3).shift == 3


def test_what_is_shown_of_a_long_value_is_short():
    with pytest.raises(InvalidInput) as refusal:
        DPMpp2M("x" * 10_000)
    assert len(str(refusal.value)) < 400
