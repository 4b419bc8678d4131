"""What contradicts the configuration is named by tensor and shapes; old names are understood."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from denoisert.export.sources.diffusers.fit import check_fit, current_name, read_weights
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.folders import save, tensors

WANTED = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,)}


def arrays(**changes):
    found = {name: np.ones(shape, np.float32) for name, shape in WANTED.items()}
    return {k: v for k, v in (found | changes).items() if v is not None}


def refused(path, *reasons, wanted=WANTED):
    with pytest.raises(ExportError) as caught:
        check_fit(wanted, (path,), "unet")
    assert all(reason in str(caught.value) for reason in reasons), str(caught.value)
    with pytest.raises(ExportError):
        read_weights(wanted, (path,), "unet")


def test_what_fits(tmp_path):
    path = save(tmp_path / "a.safetensors", arrays())
    assert check_fit(WANTED, (path,), "unet") == {name: name for name in WANTED}


def test_another_shape_is_named_with_both(tmp_path):
    wide = {"conv.weight": np.ones((4, 5, 3, 3), np.float32)}
    path = save(tmp_path / "a.safetensors", arrays(**wide))
    refused(path, "unet: tensor 'conv.weight' is (4, 5, 3, 3) in the weights and (4, 3, 3, 3) by")


@pytest.mark.parametrize("shape", [(), (1, 4), (4, 1), (5,), (0,)])
def test_shapes_are_compared_exactly(tmp_path, shape):
    path = save(tmp_path / "a.safetensors", arrays(**{"conv.bias": np.ones(shape, np.float32)}))
    refused(path, "'conv.bias'", str(shape), "(4,)")


def test_missing_and_unknown_tensors_are_counted_and_named(tmp_path):
    extra = tensors("time.0.weight", "time.0.bias", "x", "y")
    path = save(tmp_path / "a.safetensors", arrays(**{"conv.bias": None}) | extra)
    refused(path, "1 tensors are missing ('conv.bias')", "4 unknown ('time.0.bias'", "'x')")


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.bool_])
def test_whole_numbers_are_no_weights(tmp_path, dtype):
    path = save(tmp_path / "a.safetensors", arrays(**{"conv.bias": np.ones(4, dtype)}))
    refused(path, "'conv.bias' is stored as", "float16, bfloat16, float32, float64")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_floats_are_refused(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    values = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.ones(4).to(dtype)}
    save_file(values, path)
    refused(path, "'conv.bias' is stored as float8")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type_becomes_float32(tmp_path, dtype):
    generator = torch.Generator().manual_seed(3)
    values = {
        name: torch.randn(shape, generator=generator).to(dtype) for name, shape in WANTED.items()
    }
    save_file(values, tmp_path / "a.safetensors")
    found = read_weights(WANTED, (tmp_path / "a.safetensors",), "unet")
    assert list(found) == list(WANTED)
    for name, value in values.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value.to(torch.float32), rtol=0, atol=0)


def test_shards_are_read_together(tmp_path):
    whole = arrays()
    paths = tuple(save(tmp_path / f"{name}.safetensors", {name: whole[name]}) for name in whole)
    assert set(read_weights(WANTED, paths, "unet")) == set(WANTED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "decoder.mid_block.attentions.0.query.weight",
            "decoder.mid_block.attentions.0.to_q.weight",
        ),
        ("encoder.mid_block.attentions.0.key.bias", "encoder.mid_block.attentions.0.to_k.bias"),
        ("decoder.mid_block.attentions.0.value.bias", "decoder.mid_block.attentions.0.to_v.bias"),
        (
            "decoder.mid_block.attentions.0.proj_attn.weight",
            "decoder.mid_block.attentions.0.to_out.0.weight",
        ),
        ("text_model.final_layer_norm.bias", "final_layer_norm.bias"),
        ("conv.query.weight", "conv.query.weight"),
        ("a.attentions.0.query.gain", "a.attentions.0.query.gain"),
        ("text_model", "text_model"),
    ],
)
def test_current_names(old, new):
    assert current_name(old) == new


def test_old_names_fit_new_networks(tmp_path):
    old = tensors("text_model.a", "mid.attentions.0.query.weight", "text_model.x.position_ids")
    path = save(tmp_path / "a.safetensors", old)
    wanted = {"a": (2, 3), "mid.attentions.0.to_q.weight": (2, 3)}
    found = read_weights(wanted, (path,), "vae")
    np.testing.assert_array_equal(found["a"], old["text_model.a"])
    np.testing.assert_array_equal(found["mid.attentions.0.to_q.weight"], old[list(old)[1]])


def test_a_network_with_the_prefix_takes_files_without(tmp_path):
    path = save(tmp_path / "a.safetensors", tensors("a", "text_model.b"))
    wanted = {"text_model.a": (2, 3), "text_model.b": (2, 3)}
    assert check_fit(wanted, (path,), "text_encoder") == {
        "text_model.a": "a",
        "text_model.b": "text_model.b",
    }


def test_a_wanted_name_wins_over_a_renamed_one(tmp_path):
    path = save(tmp_path / "a.safetensors", tensors("text_model.a", "a"))
    refused(path, "1 unknown ('text_model.a')", wanted={"a": (2, 3)})


def test_an_old_attention_with_a_wrong_shape_is_named(tmp_path):
    path = save(tmp_path / "a.safetensors", tensors("m.attentions.0.query.weight"))
    refused(path, "(2, 3)", "(3, 2)", wanted={"m.attentions.0.to_q.weight": (3, 2)})


def shapes_of(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(4)
    blocks = {"block_out_channels": (8,), "norm_num_groups": 2, "latent_channels": 2}
    return AutoencoderKL(**blocks)


def test_an_autoencoder_as_older_versions_saved_it(tmp_path, autoencoder):
    """The four matrices of its attention had other names; diffusers itself renames them."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, value in autoencoder.state_dict().items():
        before = name
        for new, former in old.items():
            before = before.replace(f".{new}.", f".{former}.")
        state[before] = value
    assert sum(name not in autoencoder.state_dict() for name in state) == 16
    save_file(state, tmp_path / "a.safetensors")
    found = read_weights(shapes_of(autoencoder), (tmp_path / "a.safetensors",), "vae")
    for name, value in autoencoder.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_a_text_encoder_with_and_without_its_prefix(tmp_path, prefix):
    torch.manual_seed(5)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    config = CLIPTextConfig(vocab_size=20, num_hidden_layers=1, max_position_embeddings=7, **sizes)
    network = CLIPTextModel(config)
    bare = {name.removeprefix("text_model."): v for name, v in network.state_dict().items()}
    state = {prefix + name: value for name, value in bare.items()}
    state[f"{prefix}embeddings.position_ids"] = torch.arange(7)[None]
    save_file(state, tmp_path / "a.safetensors")
    found = read_weights(shapes_of(network), (tmp_path / "a.safetensors",), "text_encoder")
    network.load_state_dict(found, strict=True)


def test_a_configuration_of_other_sizes_is_named(tmp_path, autoencoder):
    path = save(
        tmp_path / "a.safetensors", {k: v.numpy() for k, v in autoencoder.state_dict().items()}
    )
    wide = AutoencoderKL(block_out_channels=(16,), norm_num_groups=2, latent_channels=2)
    with pytest.raises(ExportError, match=r"vae: tensor '.*' is \(8.* in the weights and \(16"):
        check_fit(shapes_of(wide), (path,), "vae")


@pytest.mark.parametrize("name", ["position_ids", "a.caption_projection.y_embedding"])
def test_what_nothing_reads_may_lie_in_a_file(tmp_path, name):
    path = save(tmp_path / "a.safetensors", tensors("a", name))
    assert check_fit({"a": (2, 3)}, (path,), "transformer") == {"a": "a"}


def test_other_tensors_of_the_same_last_name_are_unknown(tmp_path):
    path = save(tmp_path / "a.safetensors", tensors("a", "other.y_embedding"))
    with pytest.raises(ExportError, match=r"1 unknown .'other.y_embedding'."):
        check_fit({"a": (2, 3)}, (path,), "transformer")
