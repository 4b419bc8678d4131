"""What every tick kernel must do for one call: bytes and operations by formula.

Every byte counts once. Registers are float32; predictions and network inputs are float16, or as
wide as a row's name says; guidance has two branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from denoisert.kernels.step.form import VECTORS

REGISTER, LANE, WIDE = 4, 2, 8  # bytes: registers float32, engine buffers float16, gram float64
BRANCHES = 2  # cond and uncond
PHILOX_OPS = 35  # an element: a quarter of 10 rounds of 10 operations and of 2 Box-Muller pairs
RULE_OPS = 60  # the scalar program of a rule
ARGS, CARRIED = 8, 4  # numbers a slot
LATENTS = ((4, 64, 64), (4, 128, 128), (16, 128, 128), (16, 21, 90, 160))
SLOTS = (1, 8)
SMALL = 64e6  # bytes; below them caches and launches decide, not the memory


class Work(NamedTuple):
    """What a kernel must do for one call.

    Args:
        moved: bytes read and written, each once.
        flops: float32 operations; integer ones of the generator count, too.
        wide: float64 operations.
    """

    moved: float
    flops: float
    wide: float = 0.0


def philox(n: int, slots: int) -> Work:
    """Writes 4 n S; 35 n S operations."""
    return Work(REGISTER * n * slots, PHILOX_OPS * n * slots)


def step(
    n: int, slots: int, *, read: int, written: int, terms: int, draws: int = 0, lane: int = LANE
) -> Work:
    """One row: reads R registers and 2 predictions, writes W registers and the 2 next inputs.

    (4 R + 2 L + 4 W + 2 L) n S bytes, L those of a prediction; (2 terms + 2 + 35 draws) n S
    operations.
    """
    moved = REGISTER * (read + written) + 2 * lane * BRANCHES
    return Work(moved * n * slots, (2 * terms + BRANCHES + PHILOX_OPS * draws) * n * slots)


def euler(n: int, slots: int, *, lane: int = LANE) -> Work:
    """x' over (x, cond, uncond): (8 + 8) n S bytes, 8 n S operations."""
    return step(n, slots, read=1, written=1, terms=3, lane=lane)


def ancestral(n: int, slots: int, *, lane: int = LANE) -> Work:
    """x' over (x, cond, uncond, xi), xi drawn inside: (8 + 8) n S bytes, 45 n S operations."""
    return step(n, slots, read=1, written=1, terms=4, draws=1, lane=lane)


def multistep(n: int, slots: int, *, lane: int = LANE) -> Work:
    """x' over (x, d, cond, uncond), d' over 3: (16 + 8) n S bytes, 16 n S operations."""
    return step(n, slots, read=2, written=2, terms=7, lane=lane)


def predictor_corrector(n: int, slots: int, *, lane: int = LANE) -> Work:
    """x', y' over 4 registers and 2 branches, d' over 3: (28 + 8) n S bytes, 32 n S operations."""
    return step(n, slots, read=4, written=3, terms=15, lane=lane)


def euler_wide(n: int, slots: int) -> Work:
    """Euler with float32 predictions: (8 + 16) n S bytes, 8 n S operations."""
    return euler(n, slots, lane=REGISTER)


def ancestral_wide(n: int, slots: int) -> Work:
    """Euler ancestral with float32 predictions: (8 + 16) n S bytes, 45 n S operations."""
    return ancestral(n, slots, lane=REGISTER)


def multistep_wide(n: int, slots: int) -> Work:
    """DPM++ 2M with float32 predictions: (16 + 16) n S bytes, 16 n S operations."""
    return multistep(n, slots, lane=REGISTER)


def predictor_corrector_wide(n: int, slots: int) -> Work:
    """UniPC-3 with float32 predictions: (28 + 16) n S bytes, 32 n S operations."""
    return predictor_corrector(n, slots, lane=REGISTER)


def gram(n: int, slots: int, *, vectors: int) -> Work:
    """M vectors read, 4 M n S bytes; M (M + 3) n S float64 operations, M (M + 3) / 2 results."""
    results = WIDE * (VECTORS * VECTORS + VECTORS) * slots
    wide = vectors * (vectors + 3) * n * slots
    return Work(REGISTER * vectors * n * slots + results, 0.0, wide)


def gram_2(n: int, slots: int) -> Work:
    """8 n S bytes, 10 n S float64 operations."""
    return gram(n, slots, vectors=2)


def gram_4(n: int, slots: int) -> Work:
    """16 n S bytes, 28 n S float64 operations."""
    return gram(n, slots, vectors=4)


def rule(n: int, slots: int) -> Work:
    """Scalars only, gram, arguments, carried numbers, weights: 320 S bytes, 60 S operations."""
    numbers = VECTORS * VECTORS + VECTORS + ARGS + 2 * CARRIED + VECTORS
    return Work(WIDE * numbers * slots, 0.0, RULE_OPS * slots)


def quantile(n: int, slots: int) -> Work:
    """One read, 4 n S bytes, and a comparison; a selection by digits reads more than once."""
    return Work(REGISTER * n * slots, n * slots)


def lanes(n: int, slots: int) -> Work:
    """Each slot read once, 2 lanes written: (4 + 2 * 2) n S bytes, 2 n S operations."""
    return Work((REGISTER + LANE * BRANCHES) * n * slots, BRANCHES * n * slots)


class Kernel(NamedTuple):
    """A row of the table: what is run, and how much that is for (elements, slots)."""

    name: str
    work: Callable[[int, int], Work]


KERNELS = (
    Kernel("step euler cfg", euler),
    Kernel("step dpmpp2m cfg", multistep),
    Kernel("step unipc3 cfg", predictor_corrector),
    Kernel("step euler ancestral cfg", ancestral),
    Kernel("step euler cfg float32", euler_wide),
    Kernel("step dpmpp2m cfg float32", multistep_wide),
    Kernel("step unipc3 cfg float32", predictor_corrector_wide),
    Kernel("step euler ancestral cfg float32", ancestral_wide),
    Kernel("philox normals", philox),
    Kernel("gram 2 vectors", gram_2),
    Kernel("gram 4 vectors", gram_4),
    Kernel("rule cfg rescale", rule),
    Kernel("quantile 0.995", quantile),
    Kernel("lanes gather", lanes),
)


def case_name(kernel: Kernel, elements: int, slots: int) -> str:
    """The case whose record is shown beside the floor."""
    return f"gpu/kernels {kernel.name} {elements} x {slots}"
