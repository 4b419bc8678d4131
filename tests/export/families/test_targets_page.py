"""docs/targets.md says what the compiler's tables and the records say."""

from denoisert.export.cost import COSTS
from denoisert.export.parity import BOUNDS
from denoisert.runtime.engines.target import COMPILED
from tests.export.families.folders import FAMILIES
from tests.export.families.targets import KEYS, records
from tests.export.families.targets_page import OUT, page

WRITTEN = OUT.read_text(encoding="utf-8")
LOWEST = 0.0


def test_the_page_is_the_one_that_make_models_writes():
    assert page() == WRITTEN, "run `make models` and commit docs/targets.md"


def test_every_target_is_there():
    for name, kind in COMPILED.items():
        assert f"`{name}` ({kind().dtype})" in WRITTEN
        for dtype in set(kind.dtypes) - {kind().dtype}:
            assert f"`{name}:{dtype}`" in WRITTEN
    assert all(f"| {name} |" in WRITTEN for name in COSTS)


def test_records_are_within_the_bounds_of_their_dtypes():
    assert list(records()) == [name for name in FAMILIES if name in records()]
    for record in records().values():
        for key in KEYS:
            dtype = key.rpartition("-")[2] if key.rpartition("-")[2] in BOUNDS else "float32"
            assert LOWEST <= record["errors"][key]["error"] <= BOUNDS[dtype], (record["name"], key)


def test_narrow_engines_are_smaller():
    for record in records().values():
        size = record["bytes"]
        assert size["openvino-bfloat16"] < size["openvino"], record["name"]
