"""A torch module with a card; only from Python."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from denoisert.export.fingerprint import Fingerprint
from denoisert.export.graph.signature import DENOISER, Signature, denoiser_signature
from denoisert.export.graph.trace import evaluating, trace
from denoisert.export.need import Part
from denoisert.export.random_inputs import Arrays
from denoisert.export.sources.source import Component, Loaded
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
"""Types whose repr is all there is to know."""

OWN_STATE = frozenset({"_parameters", "_buffers", "_modules", "training"})
"""Attributes of every module that are counted elsewhere or do not count."""


def is_module(value: object) -> TypeGuard[nn.Module]:
    """Whether a value is a torch module."""
    return isinstance(value, nn.Module)


class TorchModule:
    """A network in memory.

    Args:
        module: float32, on the CPU; its forward takes the card's inputs by name.
        card: names, dtypes and shapes.
    """

    def __init__(self, module: nn.Module, card: Card) -> None:
        self.module = module
        self.card = card

    @property
    def parts(self) -> tuple[Part, ...]:
        """One; its parameters and buffers are in memory already."""
        return (Part(DENOISER, sum(tensor.nbytes for _, tensor in _tensors(self.module))),)

    def fingerprint(self) -> str | None:
        """Digest of weights, structure, attributes and the files of the classes.

        Returns:
            None where an attribute or a class has no content that can be read; then only tracing
            tells whether the graph is the same.
        """
        digest = Fingerprint()
        for name, tensor in _tensors(self.module):
            digest.add(f"{name} {tensor.dtype} {tuple(tensor.shape)}", _bytes(tensor))
        for name, part in self.module.named_modules():
            described = _describe(part)
            if described is None:
                return None
            digest.add(name, described)
        for path in sorted({path for path in map(_file, self.module.modules()) if path}):
            digest.add_file(path.name, path)
        return digest.hexdigest()

    def load(self) -> Loaded:
        """Trace the module.

        Raises:
            InvalidInput: its forward and the card disagree.
            ExportError: torch cannot export it.
        """
        component = load_component(self.module, denoiser_signature(self.card))
        return Loaded(self.card, (component,))


def load_component(module: nn.Module, signature: Signature) -> Component:
    """Trace one module.

    Args:
        module: float32, on the CPU; its forward takes the signature's inputs by name.
        signature: names, dtypes and shapes.

    Raises:
        InvalidInput: its forward and the signature disagree.
        ExportError: torch cannot export it.
    """
    dead = [name for name, value in module.named_parameters() if not value.detach().any()]
    notes = (_dead_note(dead),) if dead else ()
    evaluate = partial(evaluate_module, module, signature.output_names)
    return Component(signature, trace(module, signature), evaluate, notes)


def evaluate_module(module: nn.Module, names: Sequence[str], inputs: Arrays) -> Arrays:
    """Run a module eagerly.

    Args:
        module: returns one tensor, or a tuple of them.
        names: of its outputs.
        inputs: by name.

    Raises:
        ExportError: it fails, or returns something else than the named outputs.
    """
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    try:
        with evaluating(module):
            result = module(**tensors)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ExportError(
            f"{type(module).__name__} itself fails on inputs that the card describes: "
            f"{type(error).__name__}: {error}. Compare shapes, classes and times of the card."
        ) from error
    results = result if isinstance(result, tuple | list) else (result,)
    if len(results) != len(names) or not all(isinstance(r, torch.Tensor) for r in results):
        raise ExportError(
            f"{type(module).__name__} returns {type(result).__name__}; the card names the "
            f"outputs {list(names)}. Return exactly those tensors."
        )
    return {name: value.numpy() for name, value in zip(names, results, strict=True)}


def _dead_note(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (
        f"{len(names)} parameters are all zero ({shown}): parity says nothing about what they "
        "multiply. Is the model trained?"
    )


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, also those that a checkpoint leaves out."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _bytes(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)
    return np.asarray(flat.view(torch.uint8)).tobytes() if flat.numel() else b""


def _describe(part: nn.Module) -> bytes | None:
    """Class and plain attributes of one module, or None where they cannot be told."""
    kind = type(part)
    if _file(part) is None and not kind.__module__.startswith("torch."):
        return None
    attributes = {key: value for key, value in vars(part).items() if key not in OWN_STATE}
    described = _content(attributes)
    return None if described is None else f"{kind.__qualname__} {described}".encode()


def _content(value: object) -> str | None:
    """A text that is equal exactly for equal values, or None."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{tuple(value.shape)}{_bytes(value).hex()}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes().hex()}"
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return _joined([item for pair in value.items() for item in pair])
    if isinstance(value, list | tuple):
        return _joined(list(value))
    if is_dataclass(value):
        return _joined([type(value), *(getattr(value, field.name) for field in fields(value))])
    if isinstance(value, set | frozenset) and all(isinstance(item, PLAIN) for item in value):
        return repr(sorted(map(repr, value)))
    return None


def _joined(values: list[Any]) -> str | None:
    texts = [_content(value) for value in values]
    known = [text for text in texts if text is not None]
    return f"[{','.join(known)}]" if len(known) == len(texts) else None


def _file(part: nn.Module) -> Path | None:
    """The file that defines a module's class; torch's own count by version."""
    kind = type(part)
    if kind.__module__.startswith("torch."):
        return None
    try:
        found = inspect.getsourcefile(kind)
    except TypeError:
        return None
    return Path(found) if found and Path(found).is_file() else None
