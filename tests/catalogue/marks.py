"""Which tests of this room carry `@pytest.mark.paper(number)`, read from their source.

pytest collects a module's functions called test_*; a mark anywhere else would promise a test that
never runs, so it is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).parent
MARK = "pytest.mark.paper"
LEFT_OUT = ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")


def marked(room: Path = ROOM) -> dict[int, list[str]]:
    """Paper -> "file::test" of its tests, in the order of files and lines.

    Raises:
        ValueError: a mark on what pytest does not collect or may leave out, or without one number.
    """
    found: dict[int, list[str]] = {}
    for path in sorted(room.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        collected = set(tree.body) if path.name.startswith("test_") else set()
        for node in ast.walk(tree):
            for number in _numbers(node, path):
                _check(node, path, node in collected)
                found.setdefault(number, []).append(f"{path.name}::{node.name}")
    return found


def _numbers(node: ast.AST, path: Path) -> Iterator[int]:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == MARK:
            values = [ast.literal_eval(value) for value in decorator.args]
            if len(values) != 1 or type(values[0]) is not int or decorator.keywords:
                raise ValueError(f"{path.name}:{node.lineno}: a mark takes one paper's number.")
            yield values[0]


def _check(node: ast.AST, path: Path, is_collected: bool) -> None:
    place = f"{path.name}:{node.lineno}"
    is_test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    if not (is_collected and is_test):
        raise ValueError(f"{place}: pytest does not collect this; mark a test function.")
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(call) in LEFT_OUT:
            raise ValueError(f"{place}: a test that may be left out shows nothing of a paper.")
