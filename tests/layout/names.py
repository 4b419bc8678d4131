"""Names: files after nouns, no empty words, no model family in the runtime, no machine's paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.layout.source import ROOMS, Source, Violation, definitions

FILE_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
CLASS_WORDS = ("Manager", "Handler", "Wrapper", "Helper")
FUNCTION_WORDS = {"process", "do", "handle"}
VOCABULARY = re.compile(r"\bnaive\b|\boptimi[sz]ed\b|\bprediction types?\b", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
FAMILIES = re.compile(
    r"stable[ _-]?diffusion|(?<![a-z])(sdxl|sd[ _-]?(1|2|3)(\.\d)?(?!\d)|flux|pixart|u-?net|sana"
    r"|mmdit|lumina|aura[ _-]?flow|hunyuan|qwen|kandinsky|cogvideo|kolors|wan2|ltx|mochi)(?![a-z])",
    re.IGNORECASE,
)
MACHINE = re.compile(r"(?<![\w.])/(work\b|farm\b|tmp/|root/|home/\w)|\.\./shared\b")


def file_name(source: Source) -> Iterator[Violation]:
    """A file or folder is named by the noun a paper or a manual uses."""
    for part in source.path.removesuffix(".py").split("/"):
        if part in FILE_NAMES:
            yield Violation(1, "", f"{part!r} says nothing; name the idea.")


def identifiers(source: Source) -> Iterator[Violation]:
    """Classes are nouns without Manager and the like, functions are verbs that say what."""
    for definition in definitions(source.tree):
        name = definition.node.name
        if isinstance(definition.node, ast.ClassDef):
            found = any(re.search(rf"{word}(?![a-z])", name) for word in CLASS_WORDS)
        else:
            found = name.lstrip("_").split("_")[0] in FUNCTION_WORDS
        if found:
            message = f"{name!r} uses a banned word; say what it is or does."
            yield Violation(definition.node.lineno, definition.symbol, message)


def matches(source: Source, pattern: re.Pattern[str], advice: str) -> Iterator[Violation]:
    """Yield a violation for each line in which a pattern occurs."""
    for number, line in enumerate(source.lines, 1):
        found = pattern.search(line)
        if found:
            yield Violation(number, "", f"{found.group()!r}: {advice}")


def vocabulary(source: Source) -> Iterator[Violation]:
    """One word per thing: eager, reference, fused, parametrisation."""
    yield from matches(source, VOCABULARY, "say eager, reference, fused or parametrisation.")


def unfinished(source: Source) -> Iterator[Violation]:
    """What is committed is finished."""
    if source.room in ROOMS:
        yield from matches(source, UNFINISHED, "finish it or leave it out.")


def families(source: Source) -> Iterator[Violation]:
    """The runtime knows cards and tables, no model family."""
    if source.room in ("runtime", "kernels"):
        yield from matches(source, FAMILIES, "only export knows model families.")


def machine_paths(source: Source) -> Iterator[Violation]:
    """No path of one machine in a file that is committed."""
    yield from matches(source, MACHINE, "a path of one machine; take it from the caller.")
