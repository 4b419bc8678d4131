"""What is told of a library before it is imported, and the refusals of importing it."""

from importlib.metadata import version

import pytest

from denoisert.runtime.engines.here import PACKAGES
from denoisert.runtime.engines.target import TensorRt, TensorRtRtx
from denoisert.runtime.engines.tensorrt import binding
from denoisert.runtime.engines.tensorrt.binding import BINDINGS, RTX, TENSORRT
from denoisert.runtime.errors import BuildError


def test_every_target_has_its_binding():
    assert {TensorRtRtx.name: RTX, TensorRt.name: TENSORRT} == BINDINGS


def test_the_version_is_that_of_the_distribution():
    assert RTX.version == version("tensorrt-rtx-cu13")
    assert RTX.load().__version__ == RTX.version


@pytest.mark.parametrize("library", [RTX, TENSORRT])
def test_the_first_distribution_that_is_installed_counts(library, monkeypatch):
    last = PACKAGES[library.target][-1]
    monkeypatch.setattr(binding, "installed", lambda name: "1.2" if name == last else None)
    assert library.version == "1.2"


@pytest.mark.parametrize("library", [RTX, TENSORRT])
def test_what_is_not_installed_is_named_with_the_command(library, monkeypatch):
    monkeypatch.setattr(binding, "installed", lambda name: None)
    with pytest.raises(BuildError, match=rf"pip install 'denoisert\[{library.target}\]'"):
        library.load()


@pytest.mark.parametrize(("library", "found"), [(RTX, "2.0"), (TENSORRT, "10.16.1.11")])
def test_another_major_version_is_refused(library, found, monkeypatch):
    monkeypatch.setattr(binding, "installed", lambda name: found)
    with pytest.raises(BuildError, match=rf"{library.major} is wanted, {found} installed"):
        library.load()


def test_what_cannot_be_imported_says_why(monkeypatch):
    """As its bindings without its libraries: installed, yet no module."""
    monkeypatch.setattr(binding, "installed", lambda name: "11.4.0.106")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(BuildError, match=r"11\.4\.0\.106 is installed and cannot be imported"):
        TENSORRT.load()


@pytest.mark.parametrize("wanted", [("7.5",), ("12.0", "8.9"), RTX.capabilities, ()])
def test_known_capabilities_are_taken(wanted):
    RTX.check_capabilities(wanted)


@pytest.mark.parametrize(
    ("library", "wanted", "says"),
    [
        (RTX, ("9.0",), r"9\.0 asked for; TensorRT for RTX compiles for 7\.5, 8\.0"),
        (RTX, ("8.9", "10.0"), r"capability 10\.0 asked"),
        (RTX, ("8.9", "8.9"), "each of them once"),
        (TENSORRT, ("8.9", "9.0"), "the GPU that it finds"),
    ],
)
def test_other_capabilities_are_refused(library, wanted, says):
    with pytest.raises(BuildError, match=says):
        library.check_capabilities(wanted)


def test_tensorrt_takes_the_capability_of_any_gpu():
    TENSORRT.check_capabilities(("9.0",))
