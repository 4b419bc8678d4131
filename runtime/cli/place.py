"""Where the verbs run a bundle: the options, and what they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.engines.target import Target

TARGETS = ("onnxruntime", "torch")
DTYPES = ("float32", "float16", "bfloat16")


def add_options(group: argparse._ActionsContainer) -> None:
    """Add --device, --target and --dtype."""
    group.add_argument(
        "--device", default="cpu", metavar="NAME", help='"cpu" (default), "cuda" or "cuda:1"'
    )
    group.add_argument(
        "--target",
        choices=TARGETS,
        help="what runs the graphs; default onnxruntime on the CPU, torch on CUDA",
    )
    group.add_argument(
        "--dtype", choices=DTYPES, help="that the denoiser computes in; halves need torch"
    )


def target(args: argparse.Namespace) -> Target:
    """What the options ask for.

    Args:
        args: with device, target and dtype.

    Raises:
        InvalidInput: a device that nobody knows, or a target that does not run there.
    """
    from denoisert.runtime.engines.target import FLOAT32, OnnxRuntime, Torch, target_of

    found = target_of(args.device)
    if args.target == Torch.name or isinstance(found, Torch):
        found = Torch(args.device, args.dtype or FLOAT32)
    if args.target in (None, found.name) and args.dtype in (None, found.dtype):
        return found
    raise InvalidInput(
        f"--device {args.device} --target {args.target or found.name} --dtype "
        f"{args.dtype or found.dtype}: {OnnxRuntime.name} runs on the CPU in "
        f"{OnnxRuntime.dtype}; take --target {Torch.name}."
    )
