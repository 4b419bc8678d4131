"""Size limits: small files and functions, few positional parameters, shallow nesting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain

from tests.layout.source import (
    Function,
    Source,
    Violation,
    decorators,
    definitions,
    functions,
    is_device_code,
)

FILE_LINES = 300
LAUNCH_LINES = 120
BENCH_LINES = 100
FUNCTION_LINES = 50
REFERENCE_LINES = 40
DEVICE_LINES = 80
POSITIONAL = 6
FIELDS = 10
NESTING = 3

COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar)


def file_limit(source: Source) -> int:
    """Most lines that this file may have."""
    if source.room == "kernels" and source.name == "launch.py":
        return LAUNCH_LINES
    if source.room == "bench" and source.name.startswith("bench_"):
        return BENCH_LINES
    return FILE_LINES


def function_limit(source: Source, node: Function) -> int:
    """Most lines that this function may have."""
    if source.room == "kernels" and source.name == "reference.py":
        return REFERENCE_LINES
    is_device = source.room == "kernels" and is_device_code(node)
    return DEVICE_LINES if is_device else FUNCTION_LINES


def file_length(source: Source) -> Iterator[Violation]:
    """A file holds one idea: at most 300 lines, 120 for a launch, 100 for a benchmark."""
    lines, limit = len(source.lines), file_limit(source)
    if lines > limit:
        yield Violation(lines, "", f"{lines} lines, limit {limit}; split it by idea.")


def function_length(source: Source) -> Iterator[Violation]:
    """A function fits on a screen: 50 lines, 80 on the device, 40 in a reference."""
    for definition, node in functions(source):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        limit = function_limit(source, node)
        if lines > limit:
            message = f"{lines} lines, limit {limit}; give a part of it a name."
            yield Violation(node.lineno, definition.symbol, message)


def positional_parameters(source: Source) -> Iterator[Violation]:
    """At most six positional parameters; a device function takes what its launch passes."""
    for definition, node in functions(source):
        names = [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > POSITIONAL and not is_device_code(node):
            message = f"{count} positional parameters, limit {POSITIONAL}; make the rest keywords."
            yield Violation(node.lineno, definition.symbol, message)


def dataclass_fields(source: Source) -> Iterator[Violation]:
    """A dataclass with more than ten fields is two things."""
    for definition in definitions(source.tree):
        node = definition.node
        if not {"dataclass", "dataclasses.dataclass"} & set(decorators(node)):
            continue
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        count = sum("ClassVar" not in ast.unparse(field.annotation) for field in fields)
        if count > FIELDS:
            message = f"{count} fields, limit {FIELDS}; group those that belong together."
            yield Violation(node.lineno, definition.symbol, message)


def blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the statement lists inside a compound statement."""
    if isinstance(statement, COMPOUND):
        yield statement.body
        yield getattr(statement, "orelse", [])
        yield getattr(statement, "finalbody", [])
        yield from (handler.body for handler in getattr(statement, "handlers", []))
    if isinstance(statement, ast.Match):
        yield from (case.body for case in statement.cases)


def depth(statements: list[ast.stmt]) -> int:
    """Levels of compound statements; `elif` stays on the level of its `if`."""
    return max(map(statement_depth, statements), default=0)


def statement_depth(statement: ast.stmt) -> int:
    """Levels that one statement opens; definitions inside count for themselves."""
    inner = list(blocks(statement))
    if not inner:
        return 0
    if isinstance(statement, ast.If) and [type(item) for item in statement.orelse] == [ast.If]:
        return max(1 + depth(statement.body), statement_depth(statement.orelse[0]))
    return 1 + depth(list(chain.from_iterable(inner)))


def nesting(source: Source) -> Iterator[Violation]:
    """At most three levels of compound statements in a function."""
    for definition, node in functions(source):
        levels = depth(node.body)
        if levels > NESTING:
            message = f"nesting {levels}, limit {NESTING}; return early or name the inner part."
            yield Violation(node.lineno, definition.symbol, message)
