"""UNet, autoencoder and OpenCLIP encoder under their authors' names, walked from the modules."""

import torch


def put(found, name, module):
    """All tensors of a module below a name."""
    found.update({f"{name}.{key}": value for key, value in module.state_dict().items()})


def unet(network):
    """openaimodel.py: both sides are lists of sequences of a residual block, attention, resize."""
    found = {}
    put(found, "time_embed.0", network.time_embedding.linear_1)
    put(found, "time_embed.2", network.time_embedding.linear_2)
    if getattr(network, "add_embedding", None) is not None:
        put(found, "label_emb.0.0", network.add_embedding.linear_1)
        put(found, "label_emb.0.2", network.add_embedding.linear_2)
    put(found, "input_blocks.0.0", network.conv_in)
    number = 1
    for block in network.down_blocks:
        for layer, resnet in enumerate(block.resnets):
            put_resnet(found, f"input_blocks.{number}.0", resnet)
            if hasattr(block, "attentions"):
                put(found, f"input_blocks.{number}.1", block.attentions[layer])
            number += 1
        if block.downsamplers is not None:
            put(found, f"input_blocks.{number}.0.op", block.downsamplers[0].conv)
            number += 1
    put_resnet(found, "middle_block.0", network.mid_block.resnets[0])
    put(found, "middle_block.1", network.mid_block.attentions[0])
    put_resnet(found, "middle_block.2", network.mid_block.resnets[1])
    put_up(found, network.up_blocks)
    put(found, "out.0", network.conv_norm_out)
    put(found, "out.2", network.conv_out)
    return found


def put_up(found, blocks):
    number = 0
    for block in blocks:
        for layer, resnet in enumerate(block.resnets):
            sequence = [resnet]
            put_resnet(found, f"output_blocks.{number}.0", resnet)
            if hasattr(block, "attentions"):
                put(found, f"output_blocks.{number}.1", block.attentions[layer])
                sequence.append(block.attentions[layer])
            if block.upsamplers is not None and layer == len(block.resnets) - 1:
                put(
                    found,
                    f"output_blocks.{number}.{len(sequence)}.conv",
                    block.upsamplers[0].conv,
                )
            number += 1


def put_resnet(found, name, resnet):
    put(found, f"{name}.in_layers.0", resnet.norm1)
    put(found, f"{name}.in_layers.2", resnet.conv1)
    put(found, f"{name}.emb_layers.1", resnet.time_emb_proj)
    put(found, f"{name}.out_layers.0", resnet.norm2)
    put(found, f"{name}.out_layers.3", resnet.conv2)
    if resnet.conv_shortcut is not None:
        put(found, f"{name}.skip_connection", resnet.conv_shortcut)


def vae(network):
    """model.py of the autoencoder; its attention's layers are convolutions."""
    found = {}
    for name in ("quant_conv", "post_quant_conv"):
        if getattr(network, name) is not None:
            put(found, name, getattr(network, name))
    for name, side in (("encoder", network.encoder), ("decoder", network.decoder)):
        put(found, f"{name}.conv_in", side.conv_in)
        put(found, f"{name}.norm_out", side.conv_norm_out)
        put(found, f"{name}.conv_out", side.conv_out)
        put_block(found, f"{name}.mid.block_1", side.mid_block.resnets[0])
        put_block(found, f"{name}.mid.block_2", side.mid_block.resnets[1])
        put_attention(found, f"{name}.mid.attn_1", side.mid_block.attentions[0])
    for level, block in enumerate(network.encoder.down_blocks):
        for layer, resnet in enumerate(block.resnets):
            put_block(found, f"encoder.down.{level}.block.{layer}", resnet)
        if block.downsamplers is not None:
            put(found, f"encoder.down.{level}.downsample.conv", block.downsamplers[0].conv)
    for level, block in enumerate(reversed(network.decoder.up_blocks)):
        for layer, resnet in enumerate(block.resnets):
            put_block(found, f"decoder.up.{level}.block.{layer}", resnet)
        if block.upsamplers is not None:
            put(found, f"decoder.up.{level}.upsample.conv", block.upsamplers[0].conv)
    return found


def put_block(found, name, resnet):
    for layer in ("norm1", "conv1", "norm2", "conv2"):
        put(found, f"{name}.{layer}", getattr(resnet, layer))
    if resnet.conv_shortcut is not None:
        put(found, f"{name}.nin_shortcut", resnet.conv_shortcut)


def put_attention(found, name, attention):
    put(found, f"{name}.norm", attention.group_norm)
    layers = {
        "q": attention.to_q,
        "k": attention.to_k,
        "v": attention.to_v,
        "proj_out": attention.to_out[0],
    }
    for layer, linear in layers.items():
        found[f"{name}.{layer}.weight"] = linear.weight[:, :, None, None]
        found[f"{name}.{layer}.bias"] = linear.bias


def open_clip(encoder):
    """model.py of open_clip: one matrix for query, key and value, the projection from the right."""
    text = getattr(encoder, "text_model", encoder)
    found = {
        "positional_embedding": text.embeddings.position_embedding.weight,
        "token_embedding.weight": text.embeddings.token_embedding.weight,
    }
    put(found, "ln_final", text.final_layer_norm)
    for number, layer in enumerate(text.encoder.layers):
        name, attention = f"transformer.resblocks.{number}", layer.self_attn
        put(found, f"{name}.ln_1", layer.layer_norm1)
        put(found, f"{name}.ln_2", layer.layer_norm2)
        put(found, f"{name}.mlp.c_fc", layer.mlp.fc1)
        put(found, f"{name}.mlp.c_proj", layer.mlp.fc2)
        put(found, f"{name}.attn.out_proj", attention.out_proj)
        three = (attention.q_proj, attention.k_proj, attention.v_proj)
        found[f"{name}.attn.in_proj_weight"] = torch.cat([each.weight for each in three])
        found[f"{name}.attn.in_proj_bias"] = torch.cat([each.bias for each in three])
    if hasattr(encoder, "text_projection"):
        found["text_projection"] = encoder.text_projection.weight.T
    return found
