"""One virtual environment a peer: exact versions, and what it weighs on disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.peers.provider import REQUIREMENTS, ROOT

TOOLS = ("pip", "setuptools", "wheel", "_distutils_hack", "pkg_resources", "distutils-precedence")
MIB = 2**20
LEFT_OUT = (".*", "build", "*.egg-info", "*.bundle", "__pycache__", "demo")


def make(folder: Path, name: str) -> None:
    """Create an environment, unless it is there.

    The lists are complete, so nothing is resolved: optimum-intel would pull torchvision, which
    breaks beside torch's CPU build. torch comes first and by its bare pin, which takes that build.

    Args:
        folder: where it will be.
        name: of its list of requirements.
    """
    if folder.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = REQUIREMENTS / f"{name}.txt"
    torch = [line for line in wanted.read_text().splitlines() if line.startswith("torch==")]
    if torch:
        _install(folder, torch)
    _install(folder, ["--no-deps", "--requirement", str(wanted)])


def install(folder: Path) -> None:
    """Install our own runtime as it is now."""
    _install(folder, ["--no-deps", "--force-reinstall", str(_own_wheel(folder))])
    shutil.rmtree(folder / "build")


def _own_wheel(folder: Path) -> Path:
    """Our wheel, built from a copy of this tree, so that no build folder appears in it."""
    copy = folder / "build" / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    command = [str(python(folder)), "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", str(copy.parent), str(copy)], check=True)
    return next(copy.parent.glob("*.whl"))


def python(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def _install(folder: Path, what: list[str]) -> None:
    subprocess.run([str(python(folder)), "-m", "pip", "install", "--quiet", *what], check=True)


def size_mib(folder: Path) -> float:
    """Disk space of what an environment installed, without pip and setuptools, MiB."""
    return sum(_bytes(item) for item in _items(folder)) / MIB


def largest(folder: Path, count: int = 4) -> str:
    """The heaviest folders of an environment, for example "torch 512, numpy 40"."""
    sizes = sorted(((_bytes(item) / MIB, item.name) for item in _items(folder)), reverse=True)
    return ", ".join(f"{name} {size:.0f}" for size, name in sizes[:count])


def packages(folder: Path) -> int:
    """How many distributions an environment holds, pip and setuptools not counted."""
    return sum(item.name.endswith(".dist-info") for item in _items(folder))


def _items(folder: Path) -> Iterator[Path]:
    """What lies in its site-packages beside the tools that installed it."""
    for item in next((folder / "lib").glob("python*")).joinpath("site-packages").iterdir():
        if item.name.split("-")[0].split(".")[0] not in TOOLS:
            yield item


def _bytes(item: Path) -> int:
    """Blocks on disk, which is what `du` counts."""
    files = item.rglob("*") if item.is_dir() else [item]
    return sum(each.lstat().st_blocks * 512 for each in files)
