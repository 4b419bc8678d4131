"""Names of FLUX's layers in the checkpoint that its authors published, which kohya and xlabs keep.

Some layers there are several of diffusers in one: their outputs lie one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

MARK: Final = "single_transformer_blocks."
"""What the paths of a FLUX transformer have and those of other transformers do not."""

DOUBLE: Final = {
    "img_attn_qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn_proj": ("attn.to_out.0",),
    "img_mlp_0": ("ff.net.0.proj",),
    "img_mlp_2": ("ff.net.2",),
    "img_mod_lin": ("norm1.linear",),
    "txt_attn_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn_proj": ("attn.to_add_out",),
    "txt_mlp_0": ("ff_context.net.0.proj",),
    "txt_mlp_2": ("ff_context.net.2",),
    "txt_mod_lin": ("norm1_context.linear",),
    "qkv_lora1": ("attn.to_q", "attn.to_k", "attn.to_v"),  # xlabs
    "qkv_lora2": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "proj_lora1": ("attn.to_out.0",),
    "proj_lora2": ("attn.to_add_out",),
}
SINGLE: Final = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation_lin": ("norm.linear",),
    "qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),  # xlabs
    "proj": ("proj_out",),
}
WHOLE: Final = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in_in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in_out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in_in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in_out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in_in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in_out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer_linear": "proj_out",
}
SWAPPED: Final = {"final_layer_adaLN_modulation_1": "norm_out.linear"}
"""Shift and scale, which diffusers has the other way round."""

_BLOCK: Final = re.compile(r"(single_)?transformer_blocks\.(\d+)\.")


def flux_names(paths: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (name, paths) of every layer that the published checkpoint has.

    Args:
        paths: of all layers, as diffusers names them; nothing is yielded for other networks.
    """
    if not any(path.startswith(MARK) for path in paths):
        return
    yield from ((name, (path,)) for name, path in WHOLE.items() if path in paths)
    for block in sorted({block[0] for block in map(_BLOCK.match, paths) if block}):
        kind, number, _ = block.split(".")
        side, table = ("single", SINGLE) if kind.startswith("single") else ("double", DOUBLE)
        for name, inner in table.items():
            found = tuple(f"{block}{path}" for path in inner)
            if all(path in paths for path in found):
                yield f"{side}_blocks_{number}_{name}", found
