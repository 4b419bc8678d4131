"""Runs foreign torch code: in float64, with our noise, and with an eye on every latent.

A scheduler rounds coefficients and latents to float32 as it goes, and draws from torch's generator.
Its source need not be touched: inside a `Foreign` every torch call that asks for a shorter float
gets float64, and every normal draw comes from us. What NumPy rounds by itself (some schedulers keep
the list of their noise levels so) remains rounded: that is another grid, to 1e-7, and no longer an
error of the update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from denoisert.export.probe.linearity import (
    Argument,
    Latent,
    keeps_coordinates,
    name_of,
    objection,
    words,
)
from denoisert.export.probe.source import Network, Source
from denoisert.runtime.errors import DenoiseRTError, ExportError, UnsupportedOperator

Draw = Callable[[], torch.Tensor]

FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
SHORT = (torch.float32, torch.float16, torch.bfloat16)
SHORTENING = frozenset({"float", "half", "bfloat16"})
NORMAL = frozenset({"randn", "randn_like"})
OTHER_NOISE = words(
    "rand rand_like normal normal_ uniform_ bernoulli bernoulli_ multinomial exponential_ poisson "
    "cauchy_ log_normal_ geometric_"
)
BUILT_OF_LATENTS = frozenset({"ones_like", "full_like", "new_ones", "new_full", "new_tensor"})


class Width(Enum):
    """Floats of the foreign code: all of them float64, or as it was written."""

    DOUBLE = "double"
    AS_WRITTEN = "as written"


class Foreign(TorchFunctionMode):
    """While it is entered, torch computes in float64 and draws from `draw`.

    Args:
        draw: gives the next standard normal draw, of the latent's shape.
        shape: shape of a latent.
        where: says where the sampler is, for messages.
        width: of floats.

    Raises:
        UnsupportedOperator: from inside the foreign code, when it does what no table can.
    """

    def __init__(
        self,
        draw: Draw,
        shape: tuple[int, ...],
        where: Callable[[], str],
        width: Width = Width.DOUBLE,
    ) -> None:
        super().__init__()
        self._draw, self._shape, self._where = draw, shape, where
        self._width = width
        self._is_ours = False
        self.refused: UnsupportedOperator | None = None

    def __torch_function__(
        self,
        func: Argument,
        types: Argument,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Argument:
        """Answer one torch call of the foreign code."""
        keywords = dict(kwargs or {})
        if self._is_ours:
            return func(*args, **keywords)
        name = name_of(func)
        if name in NORMAL:
            return self._noise(name, args, keywords)
        if name in OTHER_NOISE:
            raise self._refuse(name, "draws noise that a table has no column for")
        has_latent = any(issubclass(kind, Latent) for kind in types)
        if has_latent:
            reason = self._quietly(objection, name, args, keywords)
            if reason is not None:
                raise self._refuse(name, reason)
        if self._width is Width.AS_WRITTEN:
            return func(*args, **keywords)
        result = _widened(func, name, args, keywords)
        if not has_latent:
            return result
        if name in BUILT_OF_LATENTS:
            return result.as_subclass(torch.Tensor)
        if name != "__get__" and not self._quietly(keeps_coordinates, result, self._shape[-1]):
            raise self._refuse(name, "mixes the elements of a latent")
        return result

    @contextmanager
    def ours(self) -> Iterator[None]:
        """For a while torch does what it is told: the code that runs is ours."""
        before, self._is_ours = self._is_ours, True
        try:
            yield
        finally:
            self._is_ours = before

    def run(self, source: Source, network: Network, start: torch.Tensor) -> torch.Tensor:
        """The sample of a source that runs inside this mode.

        Raises:
            UnsupportedOperator: it did what no table can, even if it swallowed our error.
            ExportError: it failed by itself.
        """
        try:
            with self._entered():
                sample = source.run(network, start)
        except DenoiseRTError:
            raise
        except FOREIGN_ERRORS as error:
            if self.refused is None:
                raise ExportError(
                    f"{self._where()}: the sampler itself raised {type(error).__name__}: {error}. "
                    "Give the arguments that it needs as options."
                ) from error
        if self.refused is not None:
            raise self.refused
        return sample

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """Enter the mode, with float64 as torch's default."""
        before = torch.get_default_dtype()
        if self._width is Width.DOUBLE:
            torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad(), self:
                yield
        finally:
            torch.set_default_dtype(before)

    def _quietly(self, function: Callable[..., Any], *arguments: Argument) -> Argument:
        with self.ours():
            return function(*arguments)

    def _noise(self, name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> torch.Tensor:
        """The next draw, if it has a latent's shape."""
        shape = args[0].shape if name == "randn_like" else _shape(args, keywords)
        if tuple(shape) != self._shape:
            reason = f"draws {tuple(shape)} where a latent is {self._shape}"
            raise self._refuse(name, reason)
        with self.ours():
            return self._draw()

    def _refuse(self, name: str, reason: str) -> UnsupportedOperator:
        error = UnsupportedOperator(
            f"{self._where()}: torch's `{name}` {reason}. A table adds and scales latents only; "
            "leave the operation out, or state it as an operation on the clean estimate."
        )
        self.refused = self.refused or error
        return error


def _shape(args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, ...]:
    sizes = args if args else (keywords["size"],)
    return tuple(sizes[0]) if isinstance(sizes[0], list | tuple) else sizes


def _widened(
    func: Argument, name: str, args: tuple[Any, ...], keywords: dict[str, Any]
) -> Argument:
    """The call with every shorter float as float64, what it is given and what it returns.

    torch has ways to make a tensor that no mode sees, from_numpy among them; such a tensor is
    widened where it is first used. Functions that write keep their target.
    """
    if name in SHORTENING:
        return torch.Tensor.double(args[0])
    if name == "__get__":
        return func(*args, **keywords)
    long = _dtype if name.endswith("_") else _long
    result = func(*map(long, args), **{key: long(value) for key, value in keywords.items()})
    is_short = isinstance(result, torch.Tensor) and result.dtype in SHORT
    return result.double() if is_short and not name.endswith("_") else result


def _dtype(value: Argument) -> Argument:
    is_short = isinstance(value, torch.dtype) and value in SHORT
    return torch.float64 if is_short else value


def _long(value: Argument) -> Argument:
    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype in SHORT else value
    return _dtype(value)


def values(tensor: torch.Tensor) -> NDArray[np.float64]:
    """A tensor's elements as a flat float64 array of its own; call it inside `ours`."""
    plain = tensor.as_subclass(torch.Tensor).detach().reshape(-1)
    return plain.to(torch.float64).numpy().copy()
