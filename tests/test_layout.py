"""The house rules of CONTRIBUTING.md, checked on every file of the repository."""

from pathlib import Path

import pytest

from tests.layout.exemptions import EXEMPT
from tests.layout.kernel_folders import folder_problems, kernel_folders, missing_mirrors
from tests.layout.names import MACHINE
from tests.layout.rules import keys, report, violations
from tests.layout.source import FOLDERS, ROOMS, ROOT, python_files, read

TEXTS = {".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".sh", ".cfg", ""}
GENERATED = {"build", "dist", "demo", "shared", "__pycache__"}


def is_generated(path: Path) -> bool:
    """Whether a path relative to the repository is one that git ignores."""
    is_hidden = path.parts[0].startswith(".") and path.parts[0] != ".ci"
    is_built = any(part.endswith((".bundle", ".egg-info")) for part in path.parts)
    return is_hidden or is_built or bool(GENERATED & set(path.parts))


def committed_texts() -> list[str]:
    """Paths of the text files that are not Python and not generated."""
    tops = [top for top in ROOT.iterdir() if not is_generated(top.relative_to(ROOT))]
    files = [path for top in tops for path in (top, *top.rglob("*")) if path.suffix in TEXTS]
    found = [path.relative_to(ROOT) for path in files if path.is_file()]
    return sorted(path.as_posix() for path in found if not is_generated(path))


def line_count(*folders: str) -> int:
    return sum(len(read(path).lines) for path in python_files(*folders))


@pytest.mark.parametrize("path", python_files(*FOLDERS))
def test_file_keeps_the_rules(path: str) -> None:
    broken = report(read(path), EXEMPT)
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("exemption", EXEMPT, ids="-".join)
def test_exemption_is_needed_and_has_a_reason(exemption: tuple[str, str]) -> None:
    path = exemption[1].split("::")[0]
    needed = {key for rule, v in violations(read(path)) for key in keys(rule, path, v.symbol)}
    assert exemption in needed, "nothing breaks this rule any more; delete the exemption"
    assert EXEMPT[exemption].strip()


@pytest.mark.parametrize("op", kernel_folders())
def test_kernel_folder_has_its_form(op: str) -> None:
    files = (ROOT / "kernels" / op).glob("*.py")
    found = folder_problems(op, {path.name: path.read_text(encoding="utf-8") for path in files})
    assert not found, f"kernels/{op}: " + "; ".join(found)


@pytest.mark.parametrize("op", kernel_folders())
def test_kernel_folder_is_mirrored(op: str) -> None:
    assert not missing_mirrors(op)


def test_kernels_stays_a_namespace() -> None:
    """With kernels/__init__.py, `import kernels` would find ours instead of Hugging Face's."""
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert not list((ROOT / "kernels").glob("*.py")), "kernels/ holds folders only"


@pytest.mark.parametrize("room", ROOMS)
def test_the_checkers_follow_a_relative_link_to_each_room(room: str) -> None:
    link = ROOT / ".typing" / "denoisert" / room
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / room


def test_only_the_rooms_are_linked() -> None:
    assert {link.name for link in (ROOT / ".typing" / "denoisert").iterdir()} == set(ROOMS)


def test_tests_have_at_least_as_many_lines_as_the_source() -> None:
    source, tests = line_count(*ROOMS), line_count("tests")
    assert tests >= source, f"{tests} test lines for {source} source lines"


@pytest.mark.parametrize("path", committed_texts())
def test_text_names_no_path_of_a_machine(path: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    found = [f"{path}:{n}: {line}" for n, line in enumerate(lines, 1) if MACHINE.search(line)]
    assert not found, "\n".join(found)
