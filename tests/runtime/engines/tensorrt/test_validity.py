"""Whether a library takes an engine here: real engines, and every diagnostic in words."""

import pytest

from denoisert.runtime.engines import driver
from denoisert.runtime.engines.tensorrt.binding import RTX, TENSORRT
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.engines.tensorrt.opened import mapped
from denoisert.runtime.engines.tensorrt.validity import (
    DIAGNOSTICS,
    check_validity,
    diagnose,
)
from denoisert.runtime.errors import BuildError, Incompatible
from tests.export.targets.tensorrt.graphs import DYNAMIC, relu
from tests.runtime.engines.tensorrt.plans import compiled

WITHOUT_GPU = pytest.mark.skipif(bool(driver.capabilities()), reason="wants no GPU")


def checked(path):
    """Ask the real library about a file."""
    library, log = RTX.load(), Log()
    runtime = library.Runtime(log.logger(library))
    with mapped(path) as content:
        check_validity(RTX, library, runtime, content, log)


@WITHOUT_GPU
def test_a_good_engine_is_refused_without_a_driver(tmp_path):
    path, _ = compiled(relu(tmp_path), (DYNAMIC,))
    with pytest.raises(Incompatible, match=r"TensorRT for RTX 1\.\S+ does not take the engine"):
        checked(path)


@pytest.mark.parametrize("size", [1, 63, 64, 5000])
def test_what_is_no_engine_is_called_malformed(size, tmp_path):
    path = tmp_path / "junk.engine"
    path.write_bytes(b"j" * size)
    with pytest.raises(Incompatible, match=r"the file is no engine.*Compile the model again"):
        checked(path)


@pytest.mark.parametrize("exists", [True, False])
def test_empty_and_missing_files_are_build_errors(exists, tmp_path):
    path = tmp_path / "e.engine"
    if exists:
        path.write_bytes(b"")
    with pytest.raises(BuildError, match=r"e\.engine cannot be read"):
        mapped(path)


def test_every_diagnostic_of_the_library_has_its_words():
    members = RTX.load().EngineInvalidityDiagnostics.__members__
    assert set(members) == set(DIAGNOSTICS)
    numbers = {name: int(member) for name, member in members.items()}
    assert sorted(numbers.values()) == [1, 2, 4, 8, 16, 32, 64]
    for name, number in numbers.items():
        assert diagnose(number, numbers) == (DIAGNOSTICS[name],)
    everything = diagnose(127, numbers)
    assert set(everything) == set(DIAGNOSTICS.values())


def test_bits_that_this_version_does_not_know_are_told():
    assert diagnose(128, {"VERSION_MISMATCH": 1})[0][0] == "diagnostics 128, unknown here"
    found = diagnose(1 + 128, {"VERSION_MISMATCH": 1})
    assert found[0] == DIAGNOSTICS["VERSION_MISMATCH"]
    assert len(found) == 2
    assert diagnose(2, {"NEW_TROUBLE": 2})[0][0] == "NEW_TROUBLE"


def test_no_diagnostic_points_to_the_driver():
    ((reason, remedy),) = diagnose(0, {"VERSION_MISMATCH": 1})
    assert "no CUDA driver" in reason
    assert "nvidia-smi" in remedy


def test_a_library_that_is_not_just_in_time_is_not_asked():
    check_validity(TENSORRT, None, None, b"", Log())
