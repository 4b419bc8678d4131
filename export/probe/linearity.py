"""Which torch functions keep a latent a linear combination, by name and by what they are given.

A sampler fits a table only if latents are added, scaled and reshaped. Everything else that touches
one is refused at once and by name, also where it would do nothing on the latents of a probe: a
clamp at 1e6 is no part of a table either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

Argument = Any


def words(text: str) -> frozenset[str]:
    """Names out of a text."""
    return frozenset(text.split())


# Say nothing about the values.
BLIND = words(
    "__get__ __len__ size dim ndimension numel nelement stride storage_offset element_size "
    "is_contiguous is_floating_point is_complex get_device is_tensor zeros_like empty_like "
    "ones_like full_like new_zeros new_empty new_ones new_full randn_like result_type "
    "broadcast_to is_same_size __hash__ __deepcopy__ untyped_storage"
)
# One latent, the values as they are or moved; sums over axes that hold several latents.
MOVES = words(
    "clone detach contiguous to type type_as double float half bfloat16 cpu cuda reshape view "
    "view_as reshape_as flatten unflatten squeeze unsqueeze expand expand_as permute transpose t "
    "movedim moveaxis swapaxes ravel __getitem__ select narrow index_select chunk split "
    "tensor_split unbind __iter__ neg neg_ negative __neg__ positive __pos__ sum squeeze_ "
    "unsqueeze_ requires_grad_ requires_grad detach_ atleast_1d as_subclass zero_ diff cumsum "
    "broadcast_tensors real"
)
# Several operands, each a latent or zero.
SUMS = words(
    "add add_ __add__ __radd__ __iadd__ sub sub_ subtract __sub__ __rsub__ rsub __isub__ stack cat "
    "concat concatenate hstack vstack where copy_ lerp lerp_ __setitem__"
)
# Exactly one operand is a latent.
PRODUCTS = words(
    "mul mul_ multiply __mul__ __rmul__ __imul__ matmul __matmul__ __rmatmul__ mm mv bmm dot "
    "einsum tensordot inner outer"
)
# The first operand is the only latent.
QUOTIENTS = words("div div_ divide true_divide __truediv__ __div__ __itruediv__")
IN_PLACE = words("add_ sub_ mul_ div_ copy_ lerp_ __iadd__ __isub__ __imul__")
READS = words(
    "item __bool__ __float__ __int__ __index__ __complex__ tolist numpy __array__ is_nonzero "
    "__repr__ __format__ equal allclose"
)


class Latent(torch.Tensor):
    """A tensor whose flat last axis enumerates coordinates; torch carries the type along."""


def name_of(function: Argument) -> str:
    """A torch function as a user knows it."""
    return str(getattr(function, "__name__", function))


def tensors(values: Iterable[Any]) -> list[Any]:
    """Tensors and numbers among arguments, lists opened."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += tensors(value)
        elif isinstance(value, torch.Tensor | int | float | complex) and value is not True:
            found.append(value)
    return found


def is_zero(value: Argument) -> bool:
    """Whether a plain operand of a sum adds nothing."""
    return not bool(torch.any(value)) if isinstance(value, torch.Tensor) else value == 0


def objection(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> str | None:
    """Why a call makes a latent something else than a linear combination.

    Args:
        name: of the torch function.
        arguments: its positional arguments, at least one latent somewhere.
        keywords: its keyword arguments.

    Returns:
        What it does, to follow its name in a message; None if it is linear.
    """
    if name in BLIND or name in MOVES:
        return None
    if name in READS:
        return "reads the values of a latent, so what follows may depend on them"
    operands = tensors((*arguments, *keywords.values()))
    latents = [isinstance(operand, Latent) for operand in operands]
    if name in IN_PLACE | {"__setitem__"} and not isinstance(arguments[0], Latent):
        return "writes a latent into a plain tensor"
    if name in SUMS:
        return _sum_objection(name, arguments, keywords)
    if name in PRODUCTS:
        return None if sum(latents) == 1 else "multiplies two latents"
    if name in QUOTIENTS:
        return None if latents[0] and sum(latents) == 1 else "divides by a latent"
    return "was applied to a latent and is not linear"


def _sum_objection(
    name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> str | None:
    """Sums of latents; a constant beside one, or a condition made of one, is none."""
    terms: tuple[Any, ...] = arguments[:2]
    if name == "where":
        terms = arguments[1:3]
        if isinstance(arguments[0], Latent):
            return "chooses by the values of a latent"
    elif name.startswith("lerp"):
        if any(isinstance(value, Latent) for value in (*arguments[2:], *keywords.values())):
            return "weighs latents by a latent"
    elif name == "__setitem__":
        terms = (arguments[2],)
    elif name in ("stack", "cat", "concat", "concatenate", "hstack", "vstack"):
        terms = (arguments[0] if arguments else keywords["tensors"],)
    plain = [term for term in tensors(terms) if not isinstance(term, Latent)]
    if all(is_zero(term) for term in plain):
        return None
    is_finite = all(bool(torch.isfinite(torch.as_tensor(term)).all()) for term in plain)
    return f"adds {'a constant' if is_finite else 'what is not finite'} to a latent"


def keeps_coordinates(result: Argument, count: int) -> bool:
    """Whether every latent in a result still has its coordinates along the last axis."""
    if isinstance(result, list | tuple):
        return all(keeps_coordinates(item, count) for item in result)
    return not isinstance(result, Latent) or (result.ndim > 0 and result.shape[-1] == count)
