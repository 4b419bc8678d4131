"""All rules for one file under their names, and what a file breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.layout import conduct, imports, names, sizes
from tests.layout.source import Rule, Source, Violation

RULES: tuple[Rule, ...] = (
    sizes.file_length,
    sizes.function_length,
    sizes.positional_parameters,
    sizes.dataclass_fields,
    sizes.nesting,
    names.file_name,
    names.identifiers,
    names.vocabulary,
    names.unfinished,
    names.families,
    names.machine_paths,
    imports.arrows,
    imports.heavy_imports,
    conduct.asserts,
    conduct.broad_except,
    conduct.environment,
    conduct.boolean_parameters,
    conduct.module_state,
)


def keys(rule: str, path: str, symbol: str) -> set[tuple[str, str]]:
    """The exemption keys that cover a violation: its file's and its definition's."""
    return {(rule, path), (rule, f"{path}::{symbol}")}


def violations(source: Source) -> Iterator[tuple[str, Violation]]:
    """Yield the name of each broken rule with where and how, exempt or not."""
    for rule in RULES:
        yield from ((rule.__name__, found) for found in rule(source))


def report(source: Source, exempt: Mapping[tuple[str, str], str]) -> list[str]:
    """One line for each violation that no exemption covers."""
    return [
        f"{source.path}:{found.line}: [{rule}] {found.symbol} {found.message}"
        for rule, found in violations(source)
        if not keys(rule, source.path, found.symbol) & set(exempt)
    ]
