"""Every tensor of a file is found, bit for bit, under the names of the network that reads it."""

import socket

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from safetensors.torch import load_file

from denoisert.export.sources.diffusers.networks import build_network
from tests.export.families import flux
from tests.export.families.folders import family_folder
from tests.export.families.oracles import opened
from tests.export.original.authors import DIFFUSION, SECOND
from tests.export.original.conftest import WRITERS
from tests.export.original.joint import double_and_single

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = [name if name == "sd1" else pytest.param(name, marks=pytest.mark.slow) for name in WRITERS]
UNIT = "text_projection.weight"


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_that_of_the_folder(name, original, source, once):
    found, pipeline = source(original(name), name), opened(family_folder(once, name))
    held = 0
    for component, stored in found._weights.items():
        held += stored.files == (original(name),)
        network = build_network(found.folder.components[component], stored)
        wanted = getattr(pipeline, component).state_dict()
        assert network.state_dict().keys() == wanted.keys()
        for key, value in network.state_dict().items():
            is_unit = name in ("sd3", "sd35") and (component, key) == ("text_encoder", UNIT)
            expected = torch.eye(value.shape[0]) if is_unit else wanted[key]
            assert torch.equal(value, expected), (component, key)
    assert held == (1 if name.startswith("flux") else len(found._weights))


def test_nothing_is_downloaded(original, source, monkeypatch):
    """Whoever asks for an address is told that there is none."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    found = source(original("sd1"), "sd1")
    found.load()
    for component, stored in found._weights.items():
        build_network(found.folder.components[component], stored)


def converted(name, pipeline, tensors):
    """Component -> its tensors as diffusers converts them."""
    parts = {}
    if hasattr(pipeline, "unet"):
        parts["unet"] = theirs.convert_ldm_unet_checkpoint(tensors, pipeline.unet.config)
    if name in ("sd3", "sd35"):
        below = {key: value for key, value in tensors.items() if key.startswith(DIFFUSION)}
        parts["transformer"] = theirs.convert_sd3_transformer_checkpoint_to_diffusers(below)
        parts["text_encoder_3"] = theirs.convert_sd3_t5_checkpoint_to_diffusers(tensors)
        prefix = "text_encoders.clip_g.transformer."
        parts["text_encoder_2"] = theirs.convert_ldm_clip_checkpoint(tensors, prefix)
    if name in ("sd1", "sdxl"):
        parts["text_encoder"] = theirs.convert_ldm_clip_checkpoint(tensors)
    openclips = {
        "sd2": ("text_encoder", "cond_stage_model.model."),
        "sdxl": ("text_encoder_2", SECOND),
        "sdxl_refiner": ("text_encoder_2", "conditioner.embedders.0.model."),
    }
    if name in openclips:
        component, prefix = openclips[name]
        encoder = getattr(pipeline, component)
        parts[component] = theirs.convert_open_clip_checkpoint(encoder, tensors, prefix=prefix)
    parts["vae"] = theirs.convert_ldm_vae_checkpoint(tensors, pipeline.vae.config)
    return parts


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if not name.startswith("flux")])
def test_diffusers_converts_the_file_to_the_same(name, original, once):
    """So what the tests write is what authors publish, as far as diffusers knows."""
    pipeline = opened(family_folder(once, name))
    for component, found in converted(name, pipeline, load_file(original(name))).items():
        wanted = getattr(pipeline, component).state_dict()
        bare = {key.removeprefix("text_model."): value for key, value in found.items()}
        for key, value in wanted.items():
            twin = bare.get(key.removeprefix("text_model."))
            if key == "encoder.embed_tokens.weight":
                twin = bare["shared.weight"]
            assert torch.equal(twin, value), (component, key)


def test_the_names_of_flux_are_those_that_diffusers_converts():
    """Its conversion knows one width, 3072; names and shapes are compared without memory."""
    fields = flux.TRANSFORMER | {"num_attention_heads": 24, "attention_head_dim": 128}
    fields |= {"axes_dims_rope": (16, 56, 56), "guidance_embeds": True}
    with torch.device("meta"):
        network = diffusers.FluxTransformer2DModel(**fields)
    found = theirs.convert_flux_transformer_checkpoint_to_diffusers(double_and_single(network))
    wanted = network.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}
