"""A network of diffusers as an exporter can take it: with our attention, patches and positions.

Nothing is computed otherwise; weights are shared.
"""

from __future__ import annotations

from torch import nn

from denoisert.export.modules.attention import use_own_attention
from denoisert.export.modules.patches import Patches
from denoisert.export.modules.rotary import rotary_of


def make_traceable(network: nn.Module) -> nn.Module:
    """Replace what cannot be traced at several sizes, in place.

    Args:
        network: of diffusers, or any other, which is left alone.

    Returns:
        The network.
    """
    from diffusers.models.embeddings import PatchEmbed
    from diffusers.models.transformers.transformer_flux import FluxPosEmbed

    use_own_attention(network)
    embed = getattr(network, "pos_embed", None)
    if isinstance(embed, PatchEmbed):
        network.pos_embed = Patches(embed)
    if isinstance(embed, FluxPosEmbed):
        network.pos_embed = rotary_of(embed)
    return network
