"""The committed table of what each specialisation may use, and comparing with it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PATH = ROOT / "tests" / "kernels" / "budgets.toml"

OLDEST = "3.6.0"  # the oldest Triton that pyproject.toml admits
ARCHES = (80, 86, 89, 90, 100, 120)
GROUPS = {
    80: "ampere",
    86: "ampere",
    89: "ampere",
    90: "hopper",
    100: "blackwell",
    120: "blackwell",
}

HEAD = """\
# What each specialisation may use: registers of a thread by architecture (ampere: sm_80, 86, 89;
# hopper: sm_90; blackwell: sm_100, 120), bytes of shared memory, and of stack with its reason.
# Measured by `python -m tests.kernels.compiled --write`; a larger number needs a new commit.
"""

Fact = Mapping[str, Any]
Table = dict[str, Any]


def ops() -> list[str]:
    """The folders of kernels/ that have a launch."""
    return sorted(path.parent.name for path in (ROOT / "kernels").glob("*/launch.py"))


def load(path: Path = PATH) -> Table:
    """The table: {"triton": version, op: {kernel: {variant: row}}}."""
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def row(facts: Iterable[Fact], reason: str = "") -> Table:
    """The budget of one variant from its facts on every architecture."""
    kept = list(facts)
    registers: dict[str, int] = {}
    for fact in kept:
        group = GROUPS[fact["arch"]]
        registers[group] = max(registers.get(group, 0), fact["registers"])
    found: Table = {
        "registers": registers,
        "shared": max(fact["shared"] for fact in kept),
    }
    stack = max(fact["stack"] for fact in kept)
    return found | ({"stack": stack, "reason": reason} if stack else {})


def key(fact: Fact) -> tuple[str, str, str]:
    """Op, kernel and variant."""
    return fact["op"], fact["kernel"], fact["name"]


def updated(table: Table, facts: Iterable[Fact], triton: str) -> Table:
    """The table with the ops of the facts measured anew; reasons for a stack stay."""
    groups: dict[tuple[str, str, str], list[Fact]] = {}
    for fact in facts:
        groups.setdefault(key(fact), []).append(fact)
    new = table | {op: {} for op, _, _ in groups} | {"triton": triton}
    for (op, kernel, name), own in groups.items():
        old = table.get(op, {}).get(kernel, {}).get(name, {})
        new[op].setdefault(kernel, {})[name] = row(own, old.get("reason", ""))
    return new


def text(table: Table) -> str:
    """The table as TOML: ops, kernels and variants in alphabetical order."""
    lines = [HEAD, f'triton = "{table["triton"]}"']
    rows = (
        (f'{op}.{kernel}."{name}"', found)
        for op in sorted(set(table) - {"triton"})
        for kernel, variants in sorted(table[op].items())
        for name, found in sorted(variants.items())
    )
    for title, found in rows:
        registers = ", ".join(f"{group} = {n}" for group, n in found["registers"].items())
        lines += ["", f"[{title}]", f"registers = {{ {registers} }}", f"shared = {found['shared']}"]
        if found.get("stack"):
            lines += [f"stack = {found['stack']}", f'reason = "{found["reason"]}"']
    return "\n".join(lines) + "\n"


def unconditional(fact: Fact) -> Iterator[str]:
    """Yield what no budget allows: spills, vain claims of alignment, mismatches with a launch."""
    yield from fact["mismatches"]
    if fact["spill_stores"] or fact["spill_loads"]:
        yield f"spills {fact['spill_stores']} bytes and reloads {fact['spill_loads']}"
    moved = "loads" if fact["loads"] else "stores"
    if fact["aligned"] and not fact[f"wide_{moved}"]:
        yield f"claims alignment, but none of its {fact[moved]} {moved} moves 16 bytes"


def excess(fact: Fact, budget: Table) -> Iterator[str]:
    """Yield where one fact exceeds its row."""
    allowed = {
        "registers": budget["registers"].get(GROUPS[fact["arch"]], 0),
        "shared": budget["shared"],
        "stack": budget.get("stack", 0),
    }
    for name, limit in allowed.items():
        if fact[name] > limit:
            yield f"{name} {fact[name]}, budget {limit}"
    if fact["stack"] and not budget.get("reason"):
        yield f"needs {fact['stack']} bytes of stack, and its row gives no reason"


def problems(facts: Iterable[Fact], table: Table, triton: str) -> list[str]:
    """What is wrong; budgets hold only for the Triton that they were measured with."""
    found: dict[str, None] = {}
    for fact in facts:
        op, kernel, name = key(fact)
        about = f"{op} {kernel} {name!r}"
        found |= dict.fromkeys(f"{about} sm_{fact['arch']}: {one}" for one in unconditional(fact))
        budget = table.get(op, {}).get(kernel, {}).get(name)
        if budget is None:
            command = f"python -m tests.kernels.compiled {fact['op']} --write"
            found[f"{about}: has no row in {PATH.name}; run `{command}`"] = None
        elif table["triton"] == triton:
            found |= dict.fromkeys(
                f"{about} sm_{fact['arch']}: {one}" for one in excess(fact, budget)
            )
    return list(found)
