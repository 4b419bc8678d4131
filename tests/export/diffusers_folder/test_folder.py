"""A folder becomes data or is refused by name; nothing in it runs, nothing is written."""

import json
import os

import pytest

from denoisert.export.sources.diffusers.folder import is_diffusers_folder, read_folder
from denoisert.export.sources.diffusers.tokenizer import read_tokenizer
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.clip import train, write_files
from tests.export.diffusers_folder.folders import (
    CONFIGS,
    STEM,
    save,
    save_shards,
    tensors,
    write,
    write_folder,
)

COMPONENTS = ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]


def refused(root, *reasons):
    """Read a folder that must be refused, with all of these texts in the message."""
    with pytest.raises(ExportError) as caught:
        read_folder(root)
    message = str(caught.value)
    assert all(reason in message for reason in reasons), message
    assert len(message) < 700
    assert message.isprintable()


def test_a_whole_folder(tmp_path):
    folder = read_folder(write_folder(tmp_path / "model"))
    assert folder.class_name == "StableDiffusionPipeline"
    assert sorted(folder.components) == COMPONENTS
    unet = folder.components["unet"]
    assert (unet.name, unet.library) == ("unet", "diffusers")
    assert unet.class_name == "UNet2DConditionModel"
    assert unet.folder == (tmp_path / "model" / "unet").resolve()
    assert unet.config == CONFIGS["unet/config.json"]
    assert folder.settings["requires_safety_checker"] is False
    assert folder.notes == ()
    assert is_diffusers_folder(folder.root)
    assert not is_diffusers_folder(tmp_path)


def test_a_folder_for_classes_keeps_their_names(tmp_path):
    index = {
        "_class_name": "DiTPipeline",
        "id2label": {"0": "tench", "1": "goldfish"},
        "text_encoder": ...,
        "tokenizer": ...,
        "unet": ...,
        "transformer": ["diffusers", "DiTTransformer2DModel"],
    }
    config = {"transformer/config.json": {"_class_name": "DiTTransformer2DModel"}}
    folder = read_folder(write_folder(tmp_path / "dit", index, config))
    assert sorted(folder.components) == ["scheduler", "transformer", "vae"]
    assert folder.settings["id2label"] == {"0": "tench", "1": "goldfish"}


def test_what_a_bundle_leaves_out_is_noted(tmp_path):
    index = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    folder = read_folder(write_folder(tmp_path / "model", index))
    assert sorted(folder.components) == COMPONENTS
    assert [note.split()[0] for note in folder.notes] == ["feature_extractor", "safety_checker"]


def test_a_folder_reached_by_a_link_is_its_target(tmp_path):
    write_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    assert read_folder(tmp_path / "link").root == (tmp_path / "model").resolve()


def test_a_snapshot_of_a_cache_is_read_through_its_links(tmp_path):
    """Folder, weights and tokenizer, as `huggingface_hub` lays them out."""
    plain = write_folder(tmp_path / "plain", configs={"tokenizer/tokenizer_config.json": ...})
    write_files(plain / "tokenizer", *train(300))
    save(plain / "unet" / f"{STEM}.safetensors", tensors("a"))
    save_shards(plain / "vae", tensors("a"), tensors("b"))
    cache = tmp_path / "hub" / "models--anyone--tiny"
    snapshot = cache / "snapshots" / "0f1e2d"
    (cache / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in plain.rglob("*") if p.is_file())):
        blob = path.rename(cache / "blobs" / f"{number:040x}")
        link = snapshot / path.relative_to(plain)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    parts = read_folder(snapshot).components
    assert sorted(parts) == COMPONENTS
    assert len(find_weights(parts["unet"].folder, STEM)) == 1
    assert len(find_weights(parts["vae"].folder, STEM)) == 2
    assert read_tokenizer(parts["tokenizer"].folder).length == 77


def test_no_folder_at_all(tmp_path):
    refused(tmp_path / "nowhere", "model_index.json cannot be read", "No such file")
    refused(write(tmp_path / "file", "{}"), "model_index.json cannot be read")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_that_the_index_lacks(tmp_path, name):
    refused(write_folder(tmp_path / "a", {name: ...}), f"has no {name}", "save_pretrained")
    refused(write_folder(tmp_path / "b", {name: [None, None]}), f"has no {name}")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_whose_folder_is_missing(tmp_path, name):
    config = next(key for key in CONFIGS if key.startswith(f"{name}/"))
    root = write_folder(tmp_path / "model", configs={config: ...})
    refused(root, f"no folder {name}/", "download complete", "found")
    (root / name).mkdir()
    refused(root, f"{config} cannot be read")


@pytest.mark.parametrize(
    "pair",
    [
        ["os", "system"],
        ["builtins", "eval"],
        ["subprocess", "Popen"],
        ["diffusers", "UNet3DConditionModel"],
        ["transformers", "UNet2DConditionModel"],
        ["./unet", "UNet2DConditionModel"],
        ["diffusers", None],
        [None, "UNet2DConditionModel"],
        ["diffusers.models", "UNet2DConditionModel"],
        ["diffusers", "UNet2DConditionModel\n"],
    ],
    ids=str,
)
def test_a_class_outside_the_table(tmp_path, pair):
    root = write_folder(tmp_path / "model", {"unet": pair})
    refused(root, "component unet asks for", "[diffusers, UNet2DConditionModel]", "Nothing was")


@pytest.mark.parametrize("name", ["safety_checker", "feature_extractor", "image_encoder"])
def test_a_class_outside_the_table_in_what_is_left_out(tmp_path, name):
    refused(write_folder(tmp_path / "model", {name: ["os", "system"]}), f"component {name} asks")


@pytest.mark.parametrize("name", ["evil", "unet_2", "../unet", "", "text_encoder_2", "controlnet"])
@pytest.mark.parametrize("pair", [["os", "system"], ["diffusers", "AutoencoderKL"], [None, None]])
def test_an_extra_component(tmp_path, name, pair):
    root = write_folder(tmp_path / "model", {name: pair})
    refused(root, repr(name), "is no component of StableDiffusionPipeline", "vae")


@pytest.mark.parametrize("value", [["diffusers"], [1, 2], ["a", "b", "c"], [], [["a"], "b"]])
def test_an_entry_that_is_no_pair(tmp_path, value):
    refused(write_folder(tmp_path / "model", {"unet": value}), "a component is [library, class]")


@pytest.mark.parametrize(
    "name",
    ["WanPipeline", "KandinskyV22Pipeline", "os.system", None, 3, ["a", "b"], "x" * 10**5],
)
def test_another_pipeline(tmp_path, name):
    root = write_folder(tmp_path / "model", {"_class_name": name})
    refused(root, "pipeline of the class", "StableDiffusionPipeline", "torch module")


def test_broken_json_names_its_file(tmp_path):
    root = write_folder(tmp_path / "model")
    write(root / "vae" / "config.json", '{"scaling_factor": 0.2')
    refused(root, "vae/config.json is not valid JSON", "Save the model again")
    write(root / "model_index.json", '{"_class_name": "StableDiffusionPipeline", "unet"}')
    refused(root, "model_index.json is not valid JSON")


@pytest.mark.parametrize("name", ["model_index.json", *CONFIGS])
def test_ten_megabytes_of_json(tmp_path, name):
    root = write_folder(tmp_path / "model")
    write(root / name, json.dumps({"a": "x" * 10 * 2**20}))
    refused(root, f"{name} has 104857", "at most 1048576 are read")


def test_deep_json(tmp_path):
    root = write_folder(tmp_path / "model")
    write(root / "unet" / "config.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    refused(root, "unet/config.json is nested deeper")


@pytest.mark.parametrize(
    ("name", "config", "found"),
    [
        ("unet/config.json", {"_class_name": "UNet3DConditionModel"}, "UNet3DConditionModel"),
        ("vae/config.json", {"_class_name": 7}, "7"),
        ("scheduler/scheduler_config.json", {"_class_name": "PNDMScheduler"}, "PNDMScheduler"),
        ("text_encoder/config.json", {"architectures": ["CLIPModel"]}, "CLIPModel"),
        ("text_encoder/config.json", {"architectures": "CLIPModel"}, "CLIPModel"),
        ("text_encoder/config.json", {"architectures": {"a": []}}, "{'a': []}"),
    ],
)
def test_a_configuration_of_another_class(tmp_path, name, config, found):
    root = write_folder(tmp_path / "model", configs={name: config})
    refused(root, name.split("/", maxsplit=1)[0], found, "Make the two agree")


@pytest.mark.parametrize(
    "config", [{}, {"architectures": None}, {"architectures": ["CLIPTextModel"]}]
)
def test_a_configuration_may_leave_its_class_out(tmp_path, config):
    root = write_folder(tmp_path / "model", configs={"text_encoder/config.json": config})
    assert read_folder(root).components["text_encoder"].config == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModel": "someone/code--model.Model"}),
        ("trust_remote_code", True),
        ("custom_pipelines", {"a": "b"}),
        ("attn_implementation", "someone/kernel"),
        ("_attn_implementation", "someone/kernel"),
        ("_attn_implementation_internal", "someone/kernel:function"),
        ("use_kernels", True),
    ],
)
@pytest.mark.parametrize("name", ["text_encoder/config.json", "tokenizer/tokenizer_config.json"])
def test_a_configuration_that_names_code(tmp_path, name, key, value):
    root = write_folder(tmp_path / "model", configs={name: {key: value}})
    refused(root, key, "nothing of it is fetched or run")


@pytest.mark.parametrize("value", ["eager", "sdpa", None, False])
def test_attention_that_torch_has_is_no_foreign_code(tmp_path, value):
    configs = {"text_encoder/config.json": {"_attn_implementation": value}}
    folder = read_folder(write_folder(tmp_path / "model", configs=configs))
    assert "text_encoder" in folder.components


def test_a_quantised_component(tmp_path):
    config = {"quantization_config": {"quant_method": "bitsandbytes"}}
    refused(write_folder(tmp_path / "model", configs={"unet/config.json": config}), "quantised")


def test_messages_do_not_repeat_control_characters(tmp_path):
    root = write_folder(tmp_path / "model", {"unet": ["\x1b[31m\u202e", "x" * 10_000]})
    refused(root, "component unet asks for")
