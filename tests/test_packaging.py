"""The packages are the rooms' folders, importing is light, and a wheel holds every file."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.layout.source import ROOMS, ROOT, python_files

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
HEAVY = {
    "diffusers",
    "onnx",
    "onnxruntime",
    "openvino",
    "sklearn",
    "tensorrt",
    "tensorrt_rtx",
    "torch",
    "transformers",
    "triton",
}
NOTES = {"DESIGN.md"}  # read in the repository, not installed


def package_folders() -> set[str]:
    """Installed names of the rooms and of their folders that hold Python files."""
    holders = {Path(path).parent.as_posix() for path in python_files(*ROOMS)}
    return {f"denoisert.{folder.replace('/', '.')}" for folder in holders | set(ROOMS)}


def data_files() -> list[str]:
    """Paths below the rooms, relative to the root, that are installed and are not Python."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name not in NOTES
    )


def run(code: str, folder: Path) -> str:
    """What a fresh interpreter prints, started away from the repository."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def test_every_folder_is_a_listed_package() -> None:
    missing = package_folders() - set(SETUPTOOLS["packages"])
    lines = "\n".join(f'    "{name}",' for name in sorted(missing))
    assert not missing, f"add to packages in pyproject.toml:\n{lines}"


def test_every_listed_package_has_files() -> None:
    stale = set(SETUPTOOLS["packages"]) - package_folders()
    assert not stale, f"delete from packages in pyproject.toml: {sorted(stale)}"


def test_package_list_is_sorted_without_repeats() -> None:
    packages = SETUPTOOLS["packages"]
    assert packages == sorted(set(packages))


def test_every_package_but_the_kernels_folder_is_regular() -> None:
    """Without `__init__.py` a folder is a namespace; only `kernels` is one on purpose."""
    folders = {Path(path).parent for path in python_files(*ROOMS)} - {Path("kernels")}
    assert not [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()]


def test_rooms_are_installed_under_our_name() -> None:
    assert SETUPTOOLS["package-dir"] == {f"denoisert.{room}": room for room in ROOMS}


def dotted(folder: Path) -> str:
    return ".".join(("denoisert", *folder.parts))


@pytest.mark.parametrize("path", data_files())
def test_data_file_belongs_to_the_wheel(path: str) -> None:
    folder = next(each for each in Path(path).parents if dotted(each) in SETUPTOOLS["packages"])
    patterns = SETUPTOOLS["package-data"]
    globs = [*patterns.get("*", []), *patterns.get(dotted(folder), [])]
    inner = Path(path).relative_to(folder)
    assert any(inner.match(glob) and len(inner.parts) == len(Path(glob).parts) for glob in globs), (
        "not in package-data"
    )


@pytest.mark.parametrize("room", ROOMS)
def test_room_says_that_it_is_typed(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()


def test_installed_version_is_the_declared_one() -> None:
    assert importlib.metadata.version("denoisert") == PYPROJECT["project"]["version"]


def requirements(extra: str) -> set[str]:
    """Names of what an extra asks for, those of the extras of ours inside it included."""
    found = set()
    for line in PYPROJECT["project"]["optional-dependencies"][extra]:
        name, _, inner = re.match(r"([\w.-]+)(\[([\w-]+)\])?", line).groups("")
        found |= requirements(inner) if name == "denoisert" else {name}
    return found


@pytest.mark.parametrize("extra", ["test", "dev"])
def test_tests_install_what_compiles_anywhere_and_no_gpu_libraries(extra: str) -> None:
    """TensorRT 11 pulls CUDA's libraries, which TensorRT for RTX and OpenVINO do not."""
    names = requirements(extra)
    assert {"openvino", "tensorrt-rtx-cu13", "onnxruntime"} <= names
    assert not {"tensorrt", "onnxruntime-gpu", "cuda-bindings"} & names
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name in ("openvino", "tensorrt-rtx-cu13", "onnxruntime", "torch"):
        assert re.search(rf"^{name}==\S+$", pinned, re.MULTILINE)


def test_importing_the_runtime_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import json, sys, denoisert.runtime; print(json.dumps(sorted(sys.modules)))"
    roots = {name.split(".")[0] for name in json.loads(run(code, tmp_path))}
    assert "denoisert" in roots
    assert not roots & HEAVY


def test_importing_the_export_room_needs_no_torch(tmp_path: Path) -> None:
    """`denoisert --help` lists the verbs of export; it must not load torch for that."""
    code = "import json, sys, denoisert.export; print(json.dumps(sorted(sys.modules)))"
    assert not {name.split(".")[0] for name in json.loads(run(code, tmp_path))} & HEAVY


def test_our_kernels_never_hide_the_distribution_of_that_name() -> None:
    """From the repository's root a bare `kernels` is at most an empty namespace, never our code."""
    code = "import importlib.util as u; s = u.find_spec('kernels'); print(s and s.origin)"
    origin = run(code, ROOT).strip()
    assert not origin.startswith(str(ROOT / "kernels"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built offline from a copy, so that no build folder appears here."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", ".typing"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    (built,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel: set[str]) -> None:
    wanted = {f"denoisert/{path}" for path in (*python_files(*ROOMS), *data_files())}
    found = {name for name in wheel if ".dist-info/" not in name}
    assert found == wanted


@pytest.mark.slow
def test_wheel_carries_licence_and_metadata(wheel: set[str]) -> None:
    names = {name.split(".dist-info/")[-1] for name in wheel if ".dist-info/" in name}
    assert {"METADATA", "RECORD", "entry_points.txt", "licenses/LICENSE"} <= names
