"""One Python file as the layout rules see it, and the files of the repository."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("kernels", "runtime", "export")
FOLDERS = (*ROOMS, "tests", "bench")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Violation(NamedTuple):
    """A broken rule: where, in which definition ("" for the file), and what to do."""

    line: int
    symbol: str
    message: str


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file; `path` is relative to the repository and has forward slashes."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        """Parse a text as if it stood at a path."""
        return cls(path, text, ast.parse(text))

    @property
    def room(self) -> str:
        """The top folder."""
        return self.path.split("/", maxsplit=1)[0]

    @property
    def name(self) -> str:
        """The file name."""
        return self.path.rsplit("/", maxsplit=1)[-1]

    @property
    def lines(self) -> list[str]:
        """The text's lines."""
        return self.text.splitlines()


Rule = Callable[[Source], Iterator[Violation]]


class Definition(NamedTuple):
    """A function or class with its dotted name and what encloses it."""

    symbol: str
    node: Function | ast.ClassDef
    parents: tuple[ast.AST, ...]

    @property
    def is_public(self) -> bool:
        """Reachable from outside: no private name on the way and not inside a function."""
        names = [name for name in self.symbol.split(".") if not name.startswith("__")]
        nested = any(isinstance(parent, Function) for parent in self.parents)
        return not nested and not any(name.startswith("_") for name in names)


def definitions(
    node: ast.AST, names: tuple[str, ...] = (), parents: tuple[ast.AST, ...] = ()
) -> Iterator[Definition]:
    """Yield every function and class below a node, outermost first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            inner = (*names, child.name)
            yield Definition(".".join(inner), child, parents)
            yield from definitions(child, inner, (*parents, child))
        else:
            yield from definitions(child, names, parents)


def functions(source: Source) -> Iterator[tuple[Definition, Function]]:
    """Yield every function of a file with its definition."""
    for definition in definitions(source.tree):
        if isinstance(definition.node, Function):
            yield definition, definition.node


def decorators(node: Function | ast.ClassDef) -> list[str]:
    """Dotted names of the decorators, without their arguments."""
    calls = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return [ast.unparse(call) for call in calls]


def is_device_code(node: Function) -> bool:
    """Whether Triton compiles the function."""
    return "triton.jit" in decorators(node)


def python_files(*folders: str, root: Path = ROOT) -> list[str]:
    """Paths of the Python files below these folders, relative to the root, sorted."""
    found = (path for folder in folders for path in (root / folder).rglob("*.py"))
    return sorted(path.relative_to(root).as_posix() for path in found)


def read(path: str, root: Path = ROOT) -> Source:
    """The parsed file at a path relative to the root."""
    return Source.parse(path, (root / path).read_text(encoding="utf-8"))
