"""Transformers of Stable Diffusion 3 and FLUX under their authors' names, walked from modules."""

import torch

from tests.export.original.latent import put


def put_joined(found, name, *layers):
    """Layers whose outputs lie one after the other."""
    for kind in ("weight", "bias"):
        found[f"{name}.{kind}"] = torch.cat([getattr(layer, kind) for layer in layers])


def put_swapped(found, name, layer):
    """A modulation of shift and scale: the authors' shift comes first, diffusers' scale."""
    for kind in ("weight", "bias"):
        scale, shift = getattr(layer, kind).chunk(2)
        found[f"{name}.{kind}"] = torch.cat([shift, scale])


def joint(network):
    """mmdit.py of Stable Diffusion 3: a block has a side for the picture and one for the text."""
    embedder, time = network.pos_embed, network.time_text_embed
    found = {"pos_embed": embedder.pos_embed}
    put(found, "x_embedder.proj", embedder.proj)
    put(found, "t_embedder.mlp.0", time.timestep_embedder.linear_1)
    put(found, "t_embedder.mlp.2", time.timestep_embedder.linear_2)
    put(found, "y_embedder.mlp.0", time.text_embedder.linear_1)
    put(found, "y_embedder.mlp.2", time.text_embedder.linear_2)
    put(found, "context_embedder", network.context_embedder)
    put(found, "final_layer.linear", network.proj_out)
    put_swapped(found, "final_layer.adaLN_modulation.1", network.norm_out.linear)
    for number, block in enumerate(network.transformer_blocks):
        put_joint(found, f"joint_blocks.{number}", block)
    return found


def put_joint(found, name, block):
    attention, picture, text = block.attn, f"{name}.x_block", f"{name}.context_block"
    put(found, f"{picture}.adaLN_modulation.1", block.norm1.linear)
    put_joined(found, f"{picture}.attn.qkv", attention.to_q, attention.to_k, attention.to_v)
    put(found, f"{picture}.attn.proj", attention.to_out[0])
    put(found, f"{picture}.mlp.fc1", block.ff.net[0].proj)
    put(found, f"{picture}.mlp.fc2", block.ff.net[2])
    three = (attention.add_q_proj, attention.add_k_proj, attention.add_v_proj)
    put_joined(found, f"{text}.attn.qkv", *three)
    if attention.norm_q is not None:
        put(found, f"{picture}.attn.ln_q", attention.norm_q)
        put(found, f"{picture}.attn.ln_k", attention.norm_k)
        put(found, f"{text}.attn.ln_q", attention.norm_added_q)
        put(found, f"{text}.attn.ln_k", attention.norm_added_k)
    if block.attn2 is not None:
        other = block.attn2
        put_joined(found, f"{picture}.attn2.qkv", other.to_q, other.to_k, other.to_v)
        put(found, f"{picture}.attn2.proj", other.to_out[0])
        put(found, f"{picture}.attn2.ln_q", other.norm_q)
        put(found, f"{picture}.attn2.ln_k", other.norm_k)
    if block.context_pre_only:
        put_swapped(found, f"{text}.adaLN_modulation.1", block.norm1_context.linear)
        return
    put(found, f"{text}.adaLN_modulation.1", block.norm1_context.linear)
    put(found, f"{text}.attn.proj", attention.to_add_out)
    put(found, f"{text}.mlp.fc1", block.ff_context.net[0].proj)
    put(found, f"{text}.mlp.fc2", block.ff_context.net[2])


def double_and_single(network):
    """model.py of FLUX."""
    found, time = {}, network.time_text_embed
    put(found, "img_in", network.x_embedder)
    put(found, "txt_in", network.context_embedder)
    embedders = {"time_in": time.timestep_embedder, "vector_in": time.text_embedder}
    if hasattr(time, "guidance_embedder"):
        embedders["guidance_in"] = time.guidance_embedder
    for name, embedder in embedders.items():
        put(found, f"{name}.in_layer", embedder.linear_1)
        put(found, f"{name}.out_layer", embedder.linear_2)
    put(found, "final_layer.linear", network.proj_out)
    put_swapped(found, "final_layer.adaLN_modulation.1", network.norm_out.linear)
    for number, block in enumerate(network.transformer_blocks):
        put_double(found, f"double_blocks.{number}", block)
    for number, block in enumerate(network.single_transformer_blocks):
        name, attention = f"single_blocks.{number}", block.attn
        put(found, f"{name}.modulation.lin", block.norm.linear)
        three = (attention.to_q, attention.to_k, attention.to_v)
        put_joined(found, f"{name}.linear1", *three, block.proj_mlp)
        put(found, f"{name}.linear2", block.proj_out)
        found[f"{name}.norm.query_norm.scale"] = attention.norm_q.weight
        found[f"{name}.norm.key_norm.scale"] = attention.norm_k.weight
    return found


def put_double(found, name, block):
    attention = block.attn
    put(found, f"{name}.img_mod.lin", block.norm1.linear)
    put(found, f"{name}.txt_mod.lin", block.norm1_context.linear)
    put_joined(found, f"{name}.img_attn.qkv", attention.to_q, attention.to_k, attention.to_v)
    three = (attention.add_q_proj, attention.add_k_proj, attention.add_v_proj)
    put_joined(found, f"{name}.txt_attn.qkv", *three)
    put(found, f"{name}.img_attn.proj", attention.to_out[0])
    put(found, f"{name}.txt_attn.proj", attention.to_add_out)
    for side, net in (("img", block.ff.net), ("txt", block.ff_context.net)):
        put(found, f"{name}.{side}_mlp.0", net[0].proj)
        put(found, f"{name}.{side}_mlp.2", net[2])
    norms = {
        "img_attn.norm.query_norm": attention.norm_q,
        "img_attn.norm.key_norm": attention.norm_k,
        "txt_attn.norm.query_norm": attention.norm_added_q,
        "txt_attn.norm.key_norm": attention.norm_added_k,
    }
    found.update({f"{name}.{key}.scale": norm.weight for key, norm in norms.items()})
