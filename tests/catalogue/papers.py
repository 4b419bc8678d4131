"""The rows of papers.toml: what each paper asks of a runtime and what this one does for it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("papers.toml")
COUNT = 119

WORKS, PARTLY, THEORY, NOT_YET = STATUSES = (
    "works",
    "partly",
    "theory: check only",
    "not yet",
)
TESTED = (WORKS, PARTLY, THEORY)
KINDS = {
    "R": "a way of sampling",
    "M": "a model or its conditioning, exported and run",
    "T": "trained elsewhere, the result is run",
    "S": "survey or theory",
}
MEMORY = "formula from memory"


@dataclass(frozen=True, slots=True)
class Paper:
    """One row.

    Args:
        number: 1 .. 119.
        title: short.
        kind: letters of KINDS.
        does: one sentence.
        call: Python expressions over the public names, or command lines.
        status: one of STATUSES.
        from_memory: whether nothing published was read or run for its formulas.
    """

    number: int
    title: str
    kind: str
    does: str
    status: str
    call: tuple[str, ...] = ()
    from_memory: bool = False


def papers(path: Path = TABLE) -> list[Paper]:
    """All rows in the order of the file."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["paper"]
    return [Paper(**{**row, "call": tuple(row.get("call", ()))}) for row in rows]
