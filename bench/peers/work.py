"""What every peer is asked for: prompts, steps, guidance and seeds; standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

STEPS = 20
GUIDANCE = 4.0
SEED = 7
MIXED_STEPS = (10, 15, 20, 30)
MIXED_GUIDANCE = (1.0, 2.0, 4.0, 7.0)
CLASSES = 1000
REQUESTS = len(MIXED_STEPS) * len(MIXED_GUIDANCE)
TASKS = ("one", "mixed", "equal")

QUALITIES = (
    *("red", "green", "blue", "yellow", "white", "black", "small", "large", "old", "new"),
    *("round", "flat", "warm", "cold", "bright", "dark"),
)
THINGS = (
    *("apple", "house", "rocket", "umbrella", "fish", "flower", "guitar", "bell", "book", "star"),
    *("cactus", "balloon", "hammer", "pizza", "anchor", "candle"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One picture that is asked for.

    Args:
        prompt: what it shows; the second branch is told the empty prompt.
        label: its class instead, for a model that takes no words; below CLASSES.
        steps: of DDIM, at least 1.
        guidance: scale, 1 means none.
        seed: names the start noise, which the driver has drawn beforehand.
    """

    prompt: str
    label: int = 0
    steps: int = STEPS
    guidance: float = GUIDANCE
    seed: int = SEED

    def values(self) -> dict[str, Any]:
        """Its fields, for JSON."""
        return asdict(self)


def prompt(number: int) -> str:
    """Prompt number 0, 1, ..; the first 256 differ, so that no peer meets a prompt twice."""
    quality = number % len(QUALITIES)
    thing = (number // len(QUALITIES) + number) % len(THINGS)
    return f"{QUALITIES[quality]} {THINGS[thing]}"


def jobs(task: str, first: int = 0) -> list[Job]:
    """The requests of a task.

    Args:
        task: "one"; "mixed": every pair of 4 step counts and 4 guidance scales; "equal": as many
            requests that differ in prompt and seed only.
        first: number of the first prompt, at least 0.

    Returns:
        1 or 16 jobs, seeds SEED, SEED + 1, ..
    """
    if task == "one":
        return [Job(prompt(first), first % CLASSES)]
    if task == "equal":
        pairs = [(STEPS, GUIDANCE)] * REQUESTS
    elif task == "mixed":
        pairs = list(product(MIXED_STEPS, MIXED_GUIDANCE))
    else:
        raise ValueError(f"no task {task!r}; there are {', '.join(TASKS)}.")
    return [
        Job(prompt(first + number), (first + number) % CLASSES, steps, guidance, SEED + number)
        for number, (steps, guidance) in enumerate(pairs)
    ]


def prompts_used(task: str) -> int:
    """How many prompts a task takes."""
    return 1 if task == "one" else REQUESTS


def equal_settings(asked: Sequence[Job]) -> bool:
    """Whether one batch with one step count and one guidance scale can serve them all."""
    return len({(job.steps, job.guidance) for job in asked}) == 1


SEEDS = range(SEED, SEED + REQUESTS)
