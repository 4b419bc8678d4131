"""python -m bench.roofline [--out FILE]: the least time of every tick kernel, as docs/roofline.md.

The floor of a kernel is what its device needs to move the bytes that the op must read and write
once, or to compute, whichever takes longer. Launches, caches and second passes are not in it: a
latent of one picture fits a cache, so a kernel may beat the floor of its memory, and below about
3 microseconds it is the launch that is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

from bench.run import ROOT
from denoisert.kernels.step.form import VECTORS
from denoisert.runtime.measure.against import OURS, latest, read
from denoisert.runtime.measure.record import Record

OUT = ROOT / "docs" / "roofline.md"
REGISTER, LANE, WIDE = 4, 2, 8  # bytes: registers float32, engine buffers float16, gram float64
BRANCHES = 2  # cond and uncond
PHILOX_OPS = 35  # an element: a quarter of 10 rounds of 10 operations and of 2 Box-Muller pairs
RULE_OPS = 60  # the scalar program of a rule
ARGS, CARRIED = 8, 4  # numbers a slot
LATENTS = ((4, 64, 64), (4, 128, 128), (16, 128, 128), (16, 21, 90, 160))
SLOTS = (1, 8)
US_PER_MS = 1e3


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


class Gpu(NamedTuple):
    """Published peaks of a device.

    Args:
        name: for the table.
        mark: part of the name that its driver reports.
        bandwidth: bytes a second.
        peak: float32 operations a second, without tensor cores.
        wide_peak: float64 operations a second, without tensor cores.
        source: where they are published.
    """

    name: str
    mark: str
    bandwidth: float
    peak: float
    wide_peak: float
    source: str

    def floor_us(self, work: Work) -> float:
        """Microseconds that the device needs at least."""
        seconds = work.moved / self.bandwidth, work.flops / self.peak, work.wide / self.wide_peak
        return 1e6 * max(seconds)


GPUS = (
    Gpu("A100 80 GB SXM", "A100", 2039e9, 19.5e12, 9.7e12, "NVIDIA A100 80GB data sheet"),
    Gpu("H100 SXM", "H100", 3350e9, 67e12, 34e12, "NVIDIA H100 data sheet"),
    Gpu("B200 (HGX)", "B200", 7700e9, 75e12, 37e12, "NVIDIA HGX B200 data sheet"),
    Gpu("RTX 4090", "4090", 1008e9, 82.6e12, 1.29e12, "NVIDIA Ada architecture white paper"),
)


def philox(n: int, slots: int) -> Work:
    """Writes 4 n S; 35 n S operations."""
    return Work(REGISTER * n * slots, PHILOX_OPS * n * slots)


def step(n: int, slots: int, *, read: int, written: int, terms: int, draws: int = 0) -> Work:
    """One row: reads R registers and 2 predictions, writes W registers and the 2 next inputs.

    (4 R + 2 * 2 + 4 W + 2 * 2) n S bytes; (2 terms + 2 + 35 draws) n S operations.
    """
    moved = REGISTER * (read + written) + 2 * LANE * BRANCHES
    return Work(moved * n * slots, (2 * terms + BRANCHES + PHILOX_OPS * draws) * n * slots)


def euler(n: int, slots: int) -> Work:
    """x' over (x, cond, uncond): (8 + 8) n S bytes, 8 n S operations."""
    return step(n, slots, read=1, written=1, terms=3)


def ancestral(n: int, slots: int) -> Work:
    """x' over (x, cond, uncond, xi), xi drawn inside: (8 + 8) n S bytes, 45 n S operations."""
    return step(n, slots, read=1, written=1, terms=4, draws=1)


def multistep(n: int, slots: int) -> Work:
    """x' over (x, d, cond, uncond), d' over 3: (16 + 8) n S bytes, 16 n S operations."""
    return step(n, slots, read=2, written=2, terms=7)


def predictor_corrector(n: int, slots: int) -> Work:
    """x', y' over 4 registers and 2 branches, d' over 3: (28 + 8) n S bytes, 32 n S operations."""
    return step(n, slots, read=4, written=3, terms=15)


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
    Kernel("philox normals", philox),
    Kernel("step euler cfg", euler),
    Kernel("step dpmpp2m cfg", multistep),
    Kernel("step unipc3 cfg", predictor_corrector),
    Kernel("step euler ancestral cfg", ancestral),
    Kernel("gram 2 vectors", gram_2),
    Kernel("gram 4 vectors", gram_4),
    Kernel("rule cfg rescale", rule),
    Kernel("quantile 0.995", quantile),
    Kernel("lanes gather", lanes),
)

TITLE = """# Roofline of a tick

Generated by `{command}`; do not edit. The floor of a kernel on a device
is the largest of bytes / bandwidth, float32 operations / float32 peak and float64 operations /
float64 peak, in microseconds. Every byte counts once, registers are float32, engine buffers
float16, guidance has two branches. A launch costs about 3 us and a small latent stays in a cache,
so the floors of small latents cannot be seen; they say that a launch is what such a tick pays.
*Measured* is the median of a committed record of the same device and case
(`gpu/kernels NAME ELEMENTS x SLOTS`).
"""


def case_name(kernel: Kernel, elements: int, slots: int) -> str:
    """The case whose record is shown beside the floor."""
    return f"gpu/kernels {kernel.name} {elements} x {slots}"


def render(records: Iterable[Record], command: str) -> str:
    """The document.

    Args:
        records: of any number of runs and devices.
        command: what made the document.

    Returns:
        Markdown.
    """
    found = [record for record in latest(records).values() if record.provider == OURS]
    lines = [TITLE.format(command=command), *_devices(), *_formulas()]
    for latent in LATENTS:
        elements = prod(latent)
        sizes = " x ".join(map(str, latent))
        lines += [f"## Latent {sizes}, {elements:,} elements\n", *_table(elements, found), ""]
    return "\n".join(lines)


def _devices() -> Iterator[str]:
    yield "## Devices\n"
    yield "| device | GB/s | float32 TFLOPS | float64 TFLOPS | source |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for gpu in GPUS:
        rates = f"{gpu.bandwidth / 1e9:.0f} | {gpu.peak / 1e12:g} | {gpu.wide_peak / 1e12:g}"
        yield f"| {gpu.name} | {rates} | {gpu.source} |"
    yield ""


def _formulas() -> Iterator[str]:
    yield "## Formulas\n"
    yield "n is the number of elements of a latent, S that of slots.\n"
    yield "| kernel | work |"
    yield "| --- | --- |"
    for kernel in KERNELS:
        text = (kernel.work.__doc__ or "").splitlines()[0]
        yield f"| {kernel.name} | {text} |"
    yield ""


def _table(elements: int, records: list[Record]) -> Iterator[str]:
    names = " | ".join(f"{gpu.mark} us" for gpu in GPUS)
    yield f"| kernel | slots | MB | Mflop | {names} | measured |"
    yield f"| --- |{' ---: |' * (3 + len(GPUS))} --- |"
    for kernel in KERNELS:
        for slots in SLOTS:
            work = kernel.work(elements, slots)
            floors = " | ".join(f"{gpu.floor_us(work):.3g}" for gpu in GPUS)
            size = f"{work.moved / 1e6:.3g} | {(work.flops + work.wide) / 1e6:.3g}"
            seen = measured(case_name(kernel, elements, slots), records)
            yield f"| {kernel.name} | {slots} | {size} | {floors} | {seen} |"


def measured(case: str, records: Iterable[Record]) -> str:
    """Medians of a case on the devices of the table, or that there is none."""
    times = [
        f"{gpu.name} {US_PER_MS * record.median:.3g} us"
        for gpu in GPUS
        for record in records
        if record.case == case and gpu.mark in record.machine.device and record.unit == "ms"
    ]
    return ", ".join(times) or "not measured"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the document from the committed records."""
    parser = argparse.ArgumentParser(prog="python -m bench.roofline", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="the document")
    options = parser.parse_args(argv)
    files = sorted((ROOT / "bench" / "results").glob("*.jsonl"))
    records = [record for path in files for record in read(path)]
    options.out.write_text(render(records, "python -m bench.roofline"))


if __name__ == "__main__":
    main()
