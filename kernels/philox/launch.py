"""Launching philox: any piece of a flat latent, written into a tensor on its device."""

from __future__ import annotations

from typing import Any

import torch

from denoisert.kernels.philox import kernel, reference
from denoisert.kernels.philox.reference import LATENT, UNIFORM
from denoisert.kernels.variant import Variant

TYPES = dict.fromkeys(kernel.RUN_TIME, "i32")
# Two groups a thread: two stores of 16 bytes in flight, and a latent of 4 x 64 x 64 still makes 16
# programs. Not tuned on a GPU.
BLOCK = 256


def _variants(name: str, pointer: str) -> tuple[Variant, ...]:
    """The ragged and the aligned form of one kernel."""
    kernel_name, types = f"{name}_kernel", TYPES | {"out_ptr": pointer}
    ragged = Variant("ragged", kernel_name, types, {"BLOCK": BLOCK, "ALIGNED": 0})
    aligned = Variant("aligned", kernel_name, types, {"BLOCK": BLOCK, "ALIGNED": 1})
    return ragged, aligned


NORMALS = _variants("normals", "*fp32")
UNIFORMS = _variants("uniforms", "*fp32")
WORDS = _variants("words", "*i32")
VARIANTS = (*NORMALS, *UNIFORMS, *WORDS)

Fields = tuple[int, ...]
MOST = 2**31 - 4 * (BLOCK + 1)  # elements that 32-bit places reach


def normals(
    out: torch.Tensor,
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    purpose: int = LATENT,
    loop: int = 0,
) -> None:
    """Write standard normals of elements first .. first + count - 1 into out; see the reference.

    Args:
        out: (count,) or any contiguous shape of count elements, float32.
        seed: of the request, 0 .. 2^64 - 1.
        draw: index of the draw inside the loop.
        image: picture of the request.
        first: element of the whole flat latent; need not be a multiple of 4.
        purpose: low byte of counter word 2.
        loop: number of the loop in the program.

    Raises:
        ValueError: a number outside its range, or an out that does not fit.
    """
    fields = reference.counter_words(draw, image, purpose, loop)
    _launch(NORMALS, out, torch.float32, first, (*fields, *reference.key_words(seed)))


def uniforms(
    out: torch.Tensor,
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    purpose: int = UNIFORM,
    loop: int = 0,
) -> None:
    """Write uniforms in [0, 1) into out, bit for bit the reference; arguments as of `normals`."""
    fields = reference.counter_words(draw, image, purpose, loop)
    _launch(UNIFORMS, out, torch.float32, first, (*fields, *reference.key_words(seed)))


def words(
    out: torch.Tensor,
    seed: int,
    *,
    draw: int,
    image: int = 0,
    first: int = 0,
    purpose: int = LATENT,
    loop: int = 0,
) -> None:
    """Write the words, as int32, into an int32 out; arguments as of `normals`."""
    fields = reference.counter_words(draw, image, purpose, loop)
    _launch(WORDS, out, torch.int32, first, (*fields, *reference.key_words(seed)))


def _launch(
    forms: tuple[Variant, ...], out: torch.Tensor, dtype: torch.dtype, first: int, fields: Fields
) -> None:
    count = out.numel()
    reference.check_piece(first, count)
    if out.dtype != dtype or not out.is_contiguous() or not 0 < count <= MOST:
        raise ValueError(
            f"out {tuple(out.shape)} {out.dtype} with strides {out.stride()} must be contiguous "
            f"{dtype} of 1 .. {MOST} elements."
        )
    group, skip = divmod(first, 4)
    variant = forms[skip == 0 and out.data_ptr() % 16 == 0]
    run: Any = getattr(kernel, variant.kernel)
    numbers = (_signed(word) for word in (group, *fields))
    run[(-(-(count + skip) // (4 * BLOCK)),)](
        out, count, skip, *numbers, **variant.constants, num_warps=variant.warps
    )


def _signed(word: int) -> int:
    """The int32 with the bits of a word; an argument's type must not depend on its value."""
    return word - (1 << 32) if word >> 31 else word
