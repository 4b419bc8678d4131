"""The specialisations of the step kernels: form, element type, alignment, order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import torch
import triton.language as tl

from denoisert.kernels.step.form import Form
from denoisert.kernels.step.record import FORMS, Record
from denoisert.kernels.variant import Variant

DTYPES: Mapping[torch.dtype, tuple[str, tl.dtype]] = {
    torch.float32: ("fp32", tl.float32),
    torch.float16: ("fp16", tl.float16),
    torch.bfloat16: ("bf16", tl.bfloat16),
}
"""What engines may compute in."""

BLOCK = 512
"""Elements of a tile: four a thread, so that every access is 16 bytes of float32."""

_PLACES = dict.fromkeys(("lanes_ptr", "pages_ptr", "integers_ptr"), "*i64") | {
    "floats_ptr": "*fp32",
    "states_ptr": "*i32",
}
_HEAD = {"registers_ptr": "*fp32", **_PLACES}
_STEP = {**_HEAD, "weights_ptr": "*fp32", "thresholds_ptr": "*fp32", "tiles_ptr": "*i32"}
_RULE = {"rule_args_ptr": "*fp64", "tiles_ptr": "*i32", "vectors_ptr": "*fp32"}
_RULE |= {"counts_ptr": "*i32", "rules_ptr": "*i32", "args_ptr": "*fp64"}
_SIZES = {"pitch": "i32", "parts": "i32"}
_ANYWHERE = {"counts_ptr", "rules_ptr", "ratios_ptr"}
"""One number a slot: callers may keep several of them in one tensor, so it lies anywhere."""

TYPES: Mapping[str, Mapping[str, str]] = {
    "step_kernel": {**_STEP, **_SIZES, "channels": "i32", "first_slot": "i32"},
    "feed_kernel": {**_HEAD, "tiles_ptr": "*i32", **_SIZES},
    "vectors_kernel": {**_HEAD, **_RULE, **_SIZES},
    "argument_kernel": {
        **_STEP,
        "values_ptr": "*fp32",
        "ratios_ptr": "*fp32",
        **_SIZES,
        "channels": "i32",
    },
}


def _variant(name: str, form: Form, dtype: torch.dtype, choice: int) -> Variant:
    """Where a step differs by alignment, an argument differs by its order."""
    short, element = DTYPES[dtype]
    own = {"step_kernel": ("ALIGNED", bool(choice)), "argument_kernel": ("ORDER", choice)}
    constants: dict[str, object] = dict([own[name]] if name in own else [])
    # What comes before a rule or a quantile takes latents of any alignment: it is rare and small.
    constants = {"ALIGNED": False, **constants, "R": Record(form), "DTYPE": element}
    aligned = (key for key, kind in TYPES[name].items() if kind[0] == "*")
    return Variant(
        f"{FORMS.index(form)} {short} {choice}",
        name,
        TYPES[name],
        {**constants, "BLOCK": BLOCK},
        aligned=("pitch", *(key for key in aligned if key not in _ANYWHERE)),
        # Without vectors every element has an address of its own: two a thread, else they spill.
        warps=4 if constants["ALIGNED"] or form == FORMS[0] else 8,
    )


TABLE = {
    key: _variant(*key)
    for key in (
        *product(("step_kernel",), FORMS, DTYPES, (0, 1)),
        *product(("feed_kernel", "vectors_kernel"), FORMS, DTYPES, (0,)),
        *product(("argument_kernel",), FORMS[1:], DTYPES, (0, 1)),
    )
}
