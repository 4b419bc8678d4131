import json
from dataclasses import MISSING, fields

import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling import guidance, operations, schedules, solvers
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import (
    EVERYTHING,
    GUIDANCE,
    OPERATIONS,
    SCHEDULES,
    SOLVERS,
    SPACINGS,
)
from denoisert.runtime.sampling.notation import LONGEST_TEXT, from_dict, parse, to_dict
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.schedules import (
    Cosine,
    Final,
    Flow,
    Karras,
    Leading,
    Linear,
    Trailing,
)
from denoisert.runtime.sampling.solvers import DDIM, Bounded, DPMpp2M, EulerAncestral, Heun

TABLES = (SOLVERS, SCHEDULES, SPACINGS, GUIDANCE, OPERATIONS)
VALUES = [
    *(kind() for kind in EVERYTHING.values()),
    DDIM(eta=0.25),
    DPMpp2M(lower_order_below=0),
    Linear(1e-3, 0.01, 500),
    Flow(3.0, 1000.0),
    Cosine(250),
    Leading(1, Final.LAST),
    Karras(5.0, 0.1, None, Final.LAST),
    CFG(7.5, (0.3, 5.0), 0.7),
    CFG((1.0, 2.0, 3.5)),
    Clip(-2.0, 2.0, True),
    DynamicThreshold(0.9, 3.0),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_there_and_back_through_json(value):
    data = json.loads(json.dumps(to_dict(value), allow_nan=False))
    assert from_dict(data) == value
    assert type(from_dict(data)) is type(value)
    assert to_dict(from_dict(data)) == to_dict(value)
    assert set(data) == {"name", *(field.name for field in fields(value))}


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_there_and_back_through_text(value):
    data = to_dict(value)
    words = ", ".join(f"{key}={item!r}" for key, item in data.items() if key != "name")
    assert parse(EVERYTHING, f"{data['name']}({words})") == value


def test_names_are_unique_and_every_public_class_has_one():
    assert sum(map(len, TABLES)) == len(EVERYTHING)
    assert len(set(EVERYTHING.values())) == len(EVERYTHING)
    rooms = {
        **vars(solvers),
        **vars(schedules),
        **vars(guidance),
        **vars(operations),
    }
    frozen = {
        value
        for name, value in rooms.items()
        if hasattr(value, "__dataclass_fields__") and name not in ("Branches",)
    }
    assert frozen == set(EVERYTHING.values())


def test_every_named_class_can_be_made_without_arguments():
    for kind in EVERYTHING.values():
        assert all(
            MISSING is not field.default or MISSING is not field.default_factory
            for field in fields(kind)
        )


def test_fields_left_out_take_their_defaults():
    assert from_dict({"name": "karras", "rho": 5}) == Karras(rho=5.0)
    assert type(from_dict({"name": "karras", "rho": 5}).rho) is float
    assert from_dict({"name": "unguided"}) == Unguided()


@pytest.mark.parametrize(
    ("table", "text", "expected"),
    [
        (SOLVERS, "ddim", DDIM()),
        (SOLVERS, " ddim(eta=0.5) ", DDIM(0.5)),
        (SOLVERS, "heun()", Heun()),
        (SOLVERS, "euler_ancestral(eta=1)", EulerAncestral(1.0)),
        (SPACINGS, "karras(rho=5, sigma_max=20)", Karras(5.0, None, 20.0)),
        (SPACINGS, "leading(offset=1, final='last')", Leading(1, Final.LAST)),
        (SPACINGS, "trailing", Trailing()),
        (SCHEDULES, "flow(shift=3)", Flow(3.0)),
        (GUIDANCE, "cfg(scale=4, interval=(0.1, 3))", CFG(4.0, (0.1, 3.0))),
        (GUIDANCE, "cfg(scale=[1, 2.5], interval=None)", CFG((1.0, 2.5))),
        (OPERATIONS, "clip(low=-2, rederive=True)", Clip(-2.0, 1.0, True)),
    ],
)
def test_command_line_text(table, text, expected):
    assert parse(table, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ddim(",
        "ddim(0.5)",
        "ddim(eta=0.5)(eta=1)",
        "ddim(eta=0.1, eta=0.2)",
        "ddim(**{'eta': 1.0})",
        "ddim(eta=open('secret'))",
        "ddim(eta=__import__('os').getpid())",
        "solvers.ddim",
        "ddim; heun",
        "[ddim]",
        "ddim\x00",
        "ddim(eta=" + "(" * 300,
        "ddim(eta=0." + "1" * LONGEST_TEXT + ")",
    ],
)
def test_other_text_is_refused_and_never_evaluated(text):
    known = r"cannot read .*(Known names: .*ddim|by field: ddim\(eta=)"
    with pytest.raises(InvalidInput, match=known):
        parse(SOLVERS, text)


def test_an_object_in_a_field_is_written_the_same_way():
    expected = Bounded(DDIM(eta=0.5), Clip(-2.0, 2.0))
    text = "bounded(solver=ddim(eta=0.5), operation=clip(low=-2, high=2.0))"
    assert parse(SOLVERS, text) == expected
    assert to_dict(expected)["solver"] == {"name": "ddim", "eta": 0.5}
    assert parse(SOLVERS, "bounded(solver=heun)") == Bounded(Heun())
    with pytest.raises(InvalidInput, match=r"'clip' is an operation, not a solver\. Known.*ddim"):
        parse(SOLVERS, "bounded(solver=clip(low=0))")
    with pytest.raises(InvalidInput, match=r"bounded.solver = 3 must be one of .*ddim"):
        parse(SOLVERS, "bounded(solver=3)")


def test_what_is_printed_can_be_pasted():
    """Words of a field bare, quoted or as members; classes by their own names, as in reprs."""
    expected = Karras(5.0, 0.1, 20.0, Final.LAST)
    for final in ("last", "LAST", "'last'", "Final.LAST"):
        text = f"karras(rho=5, sigma_min=0.1, sigma_max=20, final={final})"
        assert parse(SPACINGS, text) == expected
    assert parse(SPACINGS, repr(expected)) == expected
    for value in (Bounded(DDIM(0.5), Clip()), EulerAncestral(0.3), Bounded(Heun())):
        assert parse(SOLVERS, repr(value)) == value
    assert parse(SOLVERS, "bounded(solver='heun')") == Bounded(Heun())
    meant = r"'dpmp_2m' is not a solver\. Did you mean dpmpp_2m or dpm"
    with pytest.raises(InvalidInput, match=meant):
        parse(SOLVERS, "dpmp_2m")
    with pytest.raises(InvalidInput, match=r"karras.final = 'las' is unknown.*zero, last"):
        parse(SPACINGS, "karras(final=las)")


def test_a_name_inside_a_value_is_an_object_not_a_variable():
    with pytest.raises(InvalidInput, match=r"ddim.eta = .*'x'.* must be of type float"):
        parse(SOLVERS, "ddim(eta=x)")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "warp"}, "'warp' is not a name.*ddim"),
        ({"name": "ddim", "etta": 0.5}, "ddim has no field 'etta'.*eta"),
        ({"name": "heun", "eta": 0.5}, "Its fields: none"),
        ({"name": "ddim", "eta": "0.5"}, "ddim.eta = '0.5' must be of type float"),
        ({"name": "ddim", "eta": True}, "must be of type float"),
        ({"name": "ddim", "eta": None}, "must be of type float"),
        ({"name": "ddim", "eta": 10**400}, "must be of type float"),
        ({"name": "leading", "offset": 1.0}, "must be of type int"),
        ({"name": "leading", "offset": False}, "must be of type int"),
        ({"name": "leading", "final": "end"}, "Known values: zero, last"),
        ({"name": "leading", "final": ["zero"]}, "Known values: zero, last"),
        ({"name": "karras", "sigma_min": "small"}, "must be of type float | None"),
        ({"name": "cfg", "interval": [0.1]}, "must be of type"),
        ({"name": "cfg", "scale": [1.0, "2"]}, "must be of type"),
        ({"name": "cfg", "scale": {"a": 1}}, "must be of type"),
        ({"name": "clip", "rederive": 1}, "must be of type bool"),
        ({"name": "ddim", "eta": 2.0}, "outside 0"),
        ({"name": "flow", "shift": -1.0}, "above 0"),
        ({"eta": 0.5}, "not of the form"),
        ({"name": 3}, "not of the form"),
        (["ddim"], "not of the form"),
    ],
)
def test_foreign_data_is_refused(data, message):
    with pytest.raises(InvalidInput, match=message):
        from_dict(data)


def test_a_name_of_another_table_is_refused():
    found = r"'linear' is a noise schedule, not a solver\. .*Known solvers: .*ddim"
    with pytest.raises(InvalidInput, match=found):
        from_dict({"name": "linear"}, SOLVERS)
    with pytest.raises(InvalidInput, match="'ddim' is a solver, not a schedule of steps"):
        parse(SPACINGS, "ddim")
    assert from_dict({"name": "ddim"}, SOLVERS) == DDIM()


def test_objects_without_a_name_are_refused():
    class Other(Unguided):
        pass

    for value in (3, "ddim", DDIM, Other(), Final.ZERO):
        with pytest.raises(InvalidInput, match="has no name"):
            to_dict(value)
