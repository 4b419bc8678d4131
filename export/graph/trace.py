"""torch -> ONNX, opset 23: lanes and named axes are dynamic, ports are named by the signature."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim

from denoisert.export.graph.dims import unify_dims
from denoisert.export.graph.ports import check_names, graph_lanes, read_ports
from denoisert.export.graph.signature import LANES, Signature, Sizes
from denoisert.runtime.bundle.sizes import WIDTH
from denoisert.runtime.errors import ExportError, InvalidInput

OPSET: Final = 23
"""The first that has Attention as one operator."""

EXAMPLE_LANES: Final = 2
"""torch.export takes a batch of 0 or 1 for a constant."""

LARGEST_LANES: Final = 63
"""diffusers copies batches of 64 and more before it enlarges them; no engine has as many lanes."""

REGISTRY_LOG: Final = "torch.onnx._internal.exporter._registration"
"""Where torch.onnx reports that torchvision, which nothing here needs, is not installed."""


def trace(module: nn.Module, signature: Signature) -> ir.Model:
    """Export a module.

    Args:
        module: takes the signature's inputs by name, each with the batch first; float32, CPU.
        signature: names, dtypes and shapes.

    Returns:
        A model of opset 23; its weights share the module's memory.

    Raises:
        InvalidInput: if the forward's parameters are others than the signature's inputs.
        ExportError: if torch cannot export the module, or only for one batch size.
    """
    _check_module(module, signature)
    names = _argument_order(module, signature)
    drawn = signature.draw(EXAMPLE_LANES, np.random.default_rng(0), example_sizes(signature))
    with evaluating(module), _quiet_export():
        try:
            program = torch.onnx.export(
                module,
                (),
                kwargs={name: torch.from_numpy(drawn[name]) for name in names},
                dynamic_shapes=_dynamic_shapes(signature),
                output_names=list(signature.output_names),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(
                f"torch could not export {type(module).__name__} with dynamic sizes: "
                f"{_reason(error)} Remove code that depends on values or on sizes."
            ) from error
    return _checked(program, module, signature)


def example_sizes(signature: Signature) -> Sizes:
    """Lengths of the named axes with which a module is traced.

    Height and width are taken from two layouts where they would be equal in one, since torch takes
    equal sizes for one; and as odd as they come, since a path that only fits multiples of 8 is
    chosen while tracing.

    Args:
        signature: lengths at every layout.
    """
    pairs = [(tall, wide) for tall in signature.sizes for wide in signature.sizes]
    mixed = [
        {name: (wide if name.endswith(WIDTH) else tall)[name] for name in tall}
        for tall, wide in pairs
    ]
    return min(mixed, key=_evenness)


def _evenness(sizes: Sizes) -> tuple[bool, int, int]:
    """What is to be small in an example: equal lengths, powers of two in them, and their product.

    The lowest set bit of a length is the largest power of two that divides it.
    """
    lengths = list(sizes.values())
    return (
        len(set(lengths)) < len(lengths),
        sum(length & -length for length in lengths),
        prod(lengths),
    )


def _dynamic_shapes(signature: Signature) -> dict[str, dict[int, object]]:
    """Input -> axis -> how it varies."""
    lanes = Dim(LANES, min=1, max=LARGEST_LANES)
    return {
        port.name: {
            axis: lanes if size == LANES else Dim.DYNAMIC
            for axis, size in enumerate(port.dims)
            if isinstance(size, str)
        }
        for port in signature.inputs
    }


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for the time of a block; every part's mode comes back."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _checked(
    program: torch.onnx.ONNXProgram | None, module: nn.Module, signature: Signature
) -> ir.Model:
    if program is None:
        raise ExportError(f"torch exported nothing for {type(module).__name__}.")
    model: ir.Model = program.model
    found = len(model.graph.outputs)
    if found != len(signature.output_names):
        raise ExportError(
            f"{type(module).__name__} returns {found} tensors, the card names "
            f"{list(signature.output_names)}. Return exactly those tensors, in that order."
        )
    check_names(model, signature)
    unify_dims(model, signature)
    lanes = graph_lanes(signature, read_ports(model.graph.inputs))
    if lanes != LANES:
        raise ExportError(
            f"{type(module).__name__} only works for a batch of {lanes}, so torch exported that "
            "one. Remove code that depends on the batch size."
        )
    return model


def _check_module(module: nn.Module, signature: Signature) -> None:
    if any(not port.dims for port in signature.inputs):
        raise InvalidInput(
            'the card says time_shape "scalar"; a torch module is exported with one time per lane. '
            'Let its forward take times (B,) and set time_shape to "lanes".'
        )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        is_wide = tensor.is_floating_point() and tensor.dtype is not torch.float32
        if is_wide or tensor.device.type != "cpu" or tensor.is_complex():
            raise ExportError(
                f"{name} is {tensor.dtype} on {tensor.device}; a module is exported in float32 on "
                "the CPU. Call module.float().cpu() first."
            )


def _argument_order(module: nn.Module, signature: Signature) -> list[str]:
    """The signature's inputs in the order of the forward's parameters."""
    parameters = inspect.signature(module.forward).parameters
    wanted = {port.name for port in signature.inputs}
    needed = {
        name
        for name, entry in parameters.items()
        if entry.default is entry.empty
        and entry.kind not in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)
    }
    if wanted - set(parameters) or needed - wanted:
        raise InvalidInput(
            f"the card names the inputs {sorted(wanted)}; {type(module).__name__}.forward takes "
            f"{list(parameters)}. Use the same names in both."
        )
    return [name for name in parameters if name in wanted]


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Silence what torch.onnx says about itself, and nothing else."""

    def is_news(record: logging.LogRecord) -> bool:
        return "torchvision is not installed" not in record.getMessage()

    log = logging.getLogger(REGISTRY_LOG)
    log.addFilter(is_news)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        log.removeFilter(is_news)


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause that says anything."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
