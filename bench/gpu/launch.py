"""The tick kernels around the step on made-up memory: what is timed and what is sanitised.

Rows lie apart as in a pool, with poison behind them.
"""

from __future__ import annotations

from bench.gpu.memory import POISON, Launch, pitch_of, rows

VECTORS = 4  # that a slot has room for
RATIO = 0.995


def philox(device: str, elements: int, slots: int) -> Launch:
    """Normals of every slot in one launch."""
    import torch

    from denoisert.kernels.philox import launch

    out = torch.full((slots * elements,), POISON, device=device)
    return Launch(lambda: launch.normals(out, 7, draw=1))


def lanes(device: str, elements: int, slots: int) -> Launch:
    """Every slot into its two branches, scaled, as float16."""
    import torch

    from denoisert.kernels.lanes import launch

    source = rows(slots, elements, device)
    index = torch.arange(slots, device=device).repeat_interleave(2)
    scale = torch.full((2 * slots,), 0.5, device=device)
    out = rows(2 * slots, elements, device, "float16")
    return Launch(lambda: launch.gather(source, index, scale, out=out))


def gram(device: str, elements: int, slots: int, *, vectors: int) -> Launch:
    """Products of some vectors of every slot."""
    import torch

    from denoisert.kernels.gram import launch

    wide = {"dtype": torch.float64, "device": device}
    data = torch.full((slots, VECTORS, pitch_of(elements)), POISON, device=device)
    data[..., :elements].normal_()
    counts = torch.full((slots,), vectors, dtype=torch.int32, device=device)
    space = torch.empty(launch.workspace(slots, 1, elements), **wide)
    out = torch.empty(slots, 1, VECTORS, VECTORS, **wide), torch.empty(slots, 1, VECTORS, **wide)
    sizes = {"elements": elements, "channels": 1}
    return Launch(lambda: launch.gram(data, counts, **sizes, out=out, workspace=space))


def gram_2(device: str, elements: int, slots: int) -> Launch:
    """Products of two vectors."""
    return gram(device, elements, slots, vectors=2)


def gram_4(device: str, elements: int, slots: int) -> Launch:
    """Products of four vectors."""
    return gram(device, elements, slots, vectors=4)


def rule(device: str, elements: int, slots: int) -> Launch:
    """Weights of guidance with rescale."""
    import torch

    from denoisert.kernels.rule import launch

    wide = {"dtype": torch.float64, "device": device}
    ids = torch.ones(slots, dtype=torch.int32, device=device)
    products = torch.eye(VECTORS, **wide).expand(slots, 1, VECTORS, VECTORS).contiguous()
    sums, carried = (torch.zeros(slots, 1, VECTORS, **wide) for _ in range(2))
    args, out = torch.ones(slots, 8, **wide), torch.empty(slots, 1, VECTORS, device=device)
    taken = {"args": args, "carried": carried, "out": out}
    return Launch(lambda: launch.apply(ids, products, sums, count=elements, **taken))


def quantile(device: str, elements: int, slots: int) -> Launch:
    """The threshold of every slot; different numbers, as a selection takes longer on them."""
    import torch

    from denoisert.kernels.quantile import launch

    values = torch.full((slots, pitch_of(elements)), POISON, device=device)
    values[:, :elements].normal_()
    space = torch.empty(launch.workspace(slots), dtype=torch.int32, device=device)
    ratios, out = torch.full((slots,), RATIO, device=device), torch.empty(slots, device=device)
    return Launch(
        lambda: launch.quantile(values, ratios, elements=elements, out=out, workspace=space)
    )
