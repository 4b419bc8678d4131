"""A file that is not what its configuration folder says: asked, found and what to do, by key."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.compile import find_source
from denoisert.runtime.cli import main
from denoisert.runtime.errors import DenoiseRTError, ExportError, InvalidInput
from tests.export.families.folders import family_folder
from tests.export.networks import ConvDenoiser, card_of

pytestmark = pytest.mark.filterwarnings("ignore")

UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.1.0.in_layers.2.weight"
REMEDY = "Give --config the configuration folder of the model that the file is of."


@pytest.fixture
def folder(once, tmp_path):
    """(family, component -> changed entries of its configuration) -> a folder without weights."""

    def of(name, **configs):
        path = tmp_path / f"{name}-folder"
        shutil.copytree(family_folder(once, name), path)
        for weights in path.rglob("*.safetensors"):
            weights.unlink()
        for component, entries in configs.items():
            for config in path.glob(f"{component}/*config.json"):
                config.write_text(json.dumps(json.loads(config.read_text()) | entries))
        return path

    return of


def refused(act, *reasons, kind=ExportError):
    with pytest.raises(DenoiseRTError) as caught:
        act()
    message = str(caught.value)
    assert isinstance(caught.value, kind), message
    assert all(reason in message for reason in reasons), message
    assert len(message) < 900
    assert message.isprintable()


def test_configurations_are_enough(original, source, folder):
    found = source(original("sd1"), folder("sd1"))
    assert found.card.name == "sd1"
    assert any("sd1.safetensors holds" in note for note in found.load().notes)


def test_the_name_is_the_file_s_and_the_licence_not_the_folder_s(original, source, folder):
    path = folder("sd1")
    (path / "README.md").write_text("---\nlicense: mit\nnum_inference_steps: 7\n---\n")
    card = source(original("sd1"), path).card
    assert (card.name, card.licence, card.sampler.steps) == ("sd1", "unknown", 7)


@pytest.mark.parametrize(
    "key",
    [
        FIRST,
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    ],
)
def test_a_missing_key_is_named_as_the_file_would_have_it(changed, source, key):
    refused(
        lambda: source(changed("sd1", {key: None}), "sd1").load(),
        "changed.safetensors does not fit the configuration of",
        f"1 tensors are missing ({key!r})",
        "0 are left over (none)",
        REMEDY,
    )


@pytest.mark.parametrize(
    "key", [f"{UNET}label_emb.0.0.weight", "first_stage_model.decoder.up.7.upsample.conv.bias"]
)
def test_a_key_too_many_is_named(changed, source, key):
    refused(
        lambda: source(changed("sd1", {key: torch.ones(2)}), "sd1").load(),
        "0 tensors are missing (none)",
        f"1 are left over ({key!r})",
        REMEDY,
    )


def test_a_key_of_no_component(changed, source):
    refused(
        lambda: source(changed("sd1", {"embedding_manager.x": torch.ones(2)}), "sd1"),
        "holds 1 tensors that no part of sd1, a StableDiffusionPipeline, takes",
        "'embedding_manager.x'",
        REMEDY,
    )


@pytest.mark.parametrize(
    ("component", "entries", "shapes"),
    [
        ("unet", {"block_out_channels": [16, 64]}, "and (64, 16, 3, 3) by the configuration of"),
        ("vae", {"block_out_channels": [16, 32, 64]}, "does not fit"),
        ("text_encoder", {"intermediate_size": 80}, "(80,"),
    ],
)
def test_a_folder_of_other_widths(original, source, folder, component, entries, shapes):
    path = folder("sd1", **{component: entries})
    refused(
        lambda: source(original("sd1"), path).load(),
        "sd1.safetensors",
        shapes,
        f"configuration of {component}",
        REMEDY,
    )


def test_a_folder_of_fewer_layers(original, source, folder):
    """One layer more than its configuration has is Stable Diffusion 2's alone."""
    path = folder("sd1", text_encoder={"num_hidden_layers": 1})
    refused(
        lambda: source(original("sd1"), path).load(),
        "16 are left over ('cond_stage_model.transformer.text_model.encoder.layers.1.",
        REMEDY,
    )


def test_a_folder_of_another_model(original, source):
    refused(
        lambda: source(original("sd1"), "dit"),
        "sd1.safetensors holds no denoiser of dit, a DiTPipeline",
        "there is no file of this kind for a DiTPipeline",
        "it holds AutoencoderKL, CLIPTextModel, UNet2DConditionModel",
        REMEDY,
    )


@pytest.mark.slow
def test_a_folder_of_another_model_with_a_unet(original, source):
    refused(
        lambda: source(original("sdxl"), "sd1"),
        "tensors that no part of sd1, a StableDiffusionPipeline, takes ('conditioner.embedders.1.",
        REMEDY,
    )
    refused(
        lambda: source(original("flux_dev"), "sd3"),
        "no key begins with 'model.diffusion_model.joint_blocks.' or 'joint_blocks.'",
        "it holds FluxTransformer2DModel",
    )


def test_what_the_file_lacks_comes_from_the_folder(changed, source, folder, original):
    lacking = {key: None for key in load_file(original("sd1")) if key.startswith("first_stage")}
    path = changed("sd1", lacking)
    source(path, "sd1").load()
    refused(
        lambda: source(path, folder("sd1")),
        "changed.safetensors has no vae, so it must come from sd1-folder",
        "looked for diffusion_pytorch_model.safetensors",
    )


@pytest.mark.slow
def test_a_component_that_the_folder_does_without_is_noted(original, source, once):
    found = source(original("sd3"), "sd3_without_t5").load()
    assert any("T5EncoderModel" in note and "left out" in note for note in found.notes)


def test_averages_are_left_out_and_noted(changed, source):
    averages = {f"model_ema.a{n}": torch.ones(2) for n in range(3)}
    found = source(changed("sd1", averages), "sd1")
    assert any("3 averaged tensors (model_ema...)" in note for note in found.load().notes)


def test_marks_must_agree_with_the_scheduler(changed, source, folder):
    path = changed("sd1", {"v_pred": torch.tensor([])})
    refused(
        lambda: source(path, "sd1"),
        "is marked 'v_pred'",
        "prediction_type = 'v_prediction'",
        "has 'epsilon'",
        "scheduler/scheduler_config.json",
    )
    source(path, folder("sd1", scheduler={"prediction_type": "v_prediction"})).load()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_types_that_are_not_read(changed, source, original, dtype):
    value = load_file(original("sd1"))[FIRST].to(dtype)
    refused(
        lambda: source(changed("sd1", {FIRST: value}), "sd1").load(),
        f"tensor {FIRST!r} is stored as",
        "float16, bfloat16, float32, float64 are read",
        "Save the model in one of them",
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["lora_unet_mid_block.lora_up.weight"], "It is a LoRA"),
        (["down_blocks.0.resnets.0.conv1.weight"], "Its names are those of diffusers"),
        (["some.tensor"], REMEDY),
    ],
)
def test_a_file_of_another_kind(source, tmp_path, keys, expected):
    path = tmp_path / "other.safetensors"
    save_file({key: torch.ones(2) for key in keys}, path)
    refused(
        lambda: source(path, "sd1"),
        "other.safetensors holds no denoiser of sd1, a StableDiffusionPipeline",
        "no key begins with 'model.diffusion_model.input_blocks.'",
        repr(keys[0]),
        expected,
    )


def test_a_cut_file(original, source, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(original("sd1").read_bytes()[:-10])
    refused(lambda: source(path, "sd1"), "cut.safetensors", "end at byte", "Download it again")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin"])
def test_pickled_checkpoints(source, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04pickle")
    refused(
        lambda: source(tmp_path / name, "sd1"),
        f"{name} is a pickled checkpoint",
        "any code",
        "safetensors.torch.save_file",
    )


def test_paths_that_do_not_go_with_a_configuration_folder(original, source, tmp_path, once):
    (tmp_path / "model.onnx").write_bytes(b"x")
    folder = family_folder(once, "sd1")
    wrong = [
        (tmp_path / "model.onnx", folder, "model.onnx is no .safetensors file", ExportError),
        (tmp_path / "none.safetensors", folder, "none.safetensors is none", InvalidInput),
        (folder, folder, "compiled without --config", InvalidInput),
        (original("sd1"), tmp_path / "none", "none is no folder. Give a local one", InvalidInput),
        (original("sd1"), tmp_path / "model.onnx", "model.onnx is no folder", InvalidInput),
        (original("sd1"), folder / "unet", "Give the folder above it", ExportError),
        (original("sd1"), tmp_path, "model_index.json cannot be read", ExportError),
    ]
    for path, config, reason, kind in wrong:
        refused(lambda path=path, config=config: source(path, config), reason, kind=kind)


def test_a_file_without_a_configuration_folder(original):
    refused(
        lambda: find_source(original("sd1")),
        "sd1.safetensors holds weights alone",
        "Add --config FOLDER",
        "model_index.json, configurations and tokenizers",
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "holds weights alone"),
        (["--config", "nowhere"], "--config nowhere is no folder"),
    ],
)
def test_the_command_says_the_same(original, tmp_path, capsys, words, reason):
    path = str(original("sd1"))
    assert main(["compile", path, "-o", str(tmp_path / "out"), *words]) != 0
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_models_take_no_configuration_folder(tmp_path):
    options = CompileOptions(config=tmp_path)
    refused(
        lambda: compile_bundle(ConvDenoiser(), tmp_path / "a", card=card_of(), options=options),
        "goes with the path of one safetensors file",
        kind=InvalidInput,
    )


def test_the_fingerprint_covers_file_and_configurations(original, changed, source, folder):
    path = folder("sd1")
    found = {
        source(original("sd1"), path).fingerprint(),
        source(original("sd1"), "sd1").fingerprint(),
    }
    assert len(found) == 1  # what is taken from the file is not looked for in the folder
    value = load_file(original("sd1"))[FIRST] + 1
    found.add(source(changed("sd1", {FIRST: value}), path).fingerprint())
    (path / "vae" / "config.json").write_text(
        json.dumps(json.loads((path / "vae" / "config.json").read_text()) | {"scaling_factor": 0.3})
    )
    found.add(source(original("sd1"), path).fingerprint())
    assert len(found) == 3
