"""Where the verbs run a bundle: the options, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.engines.target import Target

TARGETS = ("onnxruntime", "openvino", "tensorrt-rtx", "tensorrt", "torch")
DTYPES = ("float32", "float16", "bfloat16", "int8")


def add_options(group: argparse._ActionsContainer) -> None:
    """Add --device, --target and --dtype."""
    group.add_argument("--device", metavar="NAME", help='"cpu" (default), "cuda" or "cuda:1"')
    group.add_argument(
        "--target",
        choices=TARGETS,
        help="what runs the graphs; default: the best of the bundle's that runs there",
    )
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        help="that it computes in, with --target, or on CUDA torch's; default: float32, or the "
        "target's own",
    )


def target(args: argparse.Namespace) -> str | Target:
    """What the options ask for.

    Args:
        args: with device, target and dtype.

    Returns:
        A device's name, which leaves the target open, or a target.

    Raises:
        InvalidInput: a device that nobody knows, or a target that does not run there or not so.
    """
    from denoisert.runtime.engines.target import (
        CPU,
        KINDS,
        OnnxRuntime,
        OpenVino,
        Torch,
        check_device,
    )

    device = None if args.device is None else check_device(args.device)
    if args.target is None and args.dtype is None:
        return device or CPU
    if args.target is None and (device is None or device == CPU):
        raise InvalidInput(
            f"--dtype {args.dtype} needs a --target, one of {', '.join(TARGETS)}; `inspect` shows "
            "which engines a bundle has."
        )
    kind = KINDS[args.target or Torch.name]
    if device is None and kind in (OnnxRuntime, Torch):
        device = CPU
    if device == CPU and kind is OpenVino:
        device = None  # it has no other
    told = {"dtype": args.dtype, "device": device}
    try:
        return kind(**{name: value for name, value in told.items() if value is not None})
    except (InvalidInput, TypeError) as error:
        raise InvalidInput(
            f"--device {device or CPU} --target {kind.name} --dtype {args.dtype or 'not given'}: "
            f"{kind.name} does not run so. {error}"
        ) from error
