"""Folders that cannot be compiled: refused before anything is traced, with a whole message.

Each message says what was asked, what was found and what to do. Finding the source reads
configurations and headers, `load` compares headers with networks; neither traces a graph.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.compile import find_source
from denoisert.export.families.table import PIPELINES
from denoisert.export.lora.lora import Lora
from denoisert.export.sources.diffusers.networks import build_network
from denoisert.export.sources.diffusers.source import DiffusersFolder
from denoisert.runtime.errors import ExportError
from tests.export.refused import edit, refused

UNET = Path("unet", "diffusion_pytorch_model.safetensors")
VAE = Path("vae", "diffusion_pytorch_model.safetensors")
TEXT = Path("text_encoder", "model.safetensors")
FIRST, SECOND = (f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2))
REMEDY = "parts of two models. Take all parts from one."
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tiny_text_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_text_folder, tmp_path / "copy"))


def shard(folder: Path, drop: str | None = None) -> None:
    """The UNet in two files and an index; `drop` is a tensor that the index alone has."""
    tensors = load_file(folder / UNET)
    names = sorted(tensors)
    places = {name: (FIRST, SECOND)[number % 2] for number, name in enumerate(names)}
    for shard_name in (FIRST, SECOND):
        kept = {n: tensors[n] for n in names if places[n] == shard_name and n != drop}
        save_file(kept, folder / "unet" / shard_name)
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    (folder / UNET).unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def as_file(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    (folder / name).write_text("unet", encoding="utf-8")


PARTS: list[tuple[Spoil, tuple[str, ...]]] = [
    (
        lambda folder: shutil.rmtree(folder / "vae"),
        ("lists the component vae", "no folder vae/; found scheduler, text_encoder", "complete?"),
    ),
    (
        lambda folder: as_file(folder, "unet"),
        ("lists the component unet", "found a file unet, and scheduler", "complete?"),
    ),
    (
        lambda folder: (folder / "vae" / "config.json").unlink(),
        ("vae/config.json cannot be read", "No such file", "Is the folder whole?"),
    ),
    (
        lambda folder: (folder / VAE).unlink(),
        ("vae has no weights", "looked for diffusion_pytorch_model.safetensors", "found config"),
    ),
    (
        lambda folder: edit(folder / "model_index.json", vae=[None, None]),
        ("StableDiffusionPipeline needs", "has no vae", "Save the whole pipeline"),
    ),
    (
        lambda folder: truncate(folder / TEXT),
        ("text_encoder: weights 'model.safetensors'", "end at byte", "Download or save it again"),
    ),
]


@pytest.mark.parametrize(("spoil", "pieces"), PARTS)
def test_a_part_that_is_not_whole(folder: Path, spoil: Spoil, pieces: tuple[str, ...]) -> None:
    spoil(folder)
    refused(folder, *pieces)


def test_a_missing_shard(folder: Path) -> None:
    shard(folder)
    find_source(folder).load()
    (folder / "unet" / SECOND).unlink()
    refused(folder, "lists 2 shards", "1 are missing", SECOND, "Complete the download.")


def test_a_shard_that_lacks_what_its_index_says(folder: Path) -> None:
    shard(folder, drop="conv_in.bias")
    refused(
        folder,
        "index.json and its shards disagree",
        "1 tensors are absent, such as 'conv_in.bias'",
        f"should be in {FIRST} and is in none",
        "Download them again.",
    )


@pytest.mark.parametrize(
    ("component", "entries", "pieces"),
    [
        ("unet", {"block_out_channels": [32, 128]}, ("is (", "and (128,", "by the config")),
        ("unet", {"layers_per_block": 2}, ("tensors are missing ('down_blocks", "0 unknown")),
        ("vae", {"layers_per_block": 2}, ("tensors are missing ('decoder", "0 unknown")),
        ("text_encoder", {"num_hidden_layers": 1}, ("0 tensors are missing", "unknown ('encoder")),
        ("text_encoder", {"vocab_size": 10**12}, ("'embeddings.token_embedding", "1000000000000")),
    ],
)
def test_weights_of_other_shapes_than_the_configuration_says(
    folder: Path, component: str, entries: dict[str, object], pieces: tuple[str, ...]
) -> None:
    edit(folder / component / "config.json", **entries)
    remedy = "Use the configuration that the model was saved with."
    refused(folder, component, *pieces, remedy)


@pytest.mark.parametrize(
    ("component", "entries"),
    [
        ("unet", {"layers_per_block": 2**31}),
        ("vae", {"layers_per_block": 10**12}),
        ("text_encoder", {"num_hidden_layers": 2**40}),
        ("unet", {"transformer_layers_per_block": [1, [1, 10**9]]}),
    ],
)
def test_more_layers_than_a_machine_has_room_for(
    folder: Path, component: str, entries: dict[str, object]
) -> None:
    edit(folder / component / "config.json", **entries)
    ((key, value),) = entries.items()
    asked = f"the configuration of {component} has {key} = {value}, and its weights have "
    refused(folder, asked, " tensors in all. Use the configuration that the model was saved with.")


def test_a_file_of_another_component(folder: Path) -> None:
    shutil.copy(folder / VAE, folder / UNET)
    refused(folder, "the weights of unet do not fit", "are missing ('conv_in", "unknown ('decoder")


def halve(path: Path) -> dict[str, torch.Tensor]:
    """Move weights to float16 in a file of that variant."""
    half = {name: value.to(torch.float16) for name, value in load_file(path).items()}
    save_file(half, path.with_name(path.name.replace(".safe", ".fp16.safe")))
    path.unlink()
    return half


def built(folder: Path, name: str) -> dict[str, torch.Tensor]:
    source = DiffusersFolder(folder)
    return build_network(source.folder.components[name], source._weights[name]).state_dict()


def test_weights_in_half_precision_alone_become_float32(folder: Path) -> None:
    half = {path.parts[0]: halve(folder / path) for path in (UNET, VAE, TEXT)}
    find_source(folder).load()
    for name, stored in half.items():
        found = built(folder, name)
        assert {value.dtype for value in found.values()} == {torch.float32}
        for key, value in found.items():
            twin = stored[key] if key in stored else stored[f"text_model.{key}"]
            assert torch.equal(value, twin.float())


def test_of_two_precisions_the_full_one_is_taken(folder: Path) -> None:
    whole = load_file(folder / UNET)
    halve(folder / UNET)
    save_file(whole, folder / UNET)
    assert all(torch.equal(value, whole[key]) for key, value in built(folder, "unet").items())


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    edit(folder / "tokenizer" / "vocab.json", **{f"q{n}</w>": 542 + n for n in range(64)})
    refused(folder, "tokenizer has 606 tokens, text_encoder knows 542", REMEDY)


def test_a_text_encoder_of_another_model(folder: Path) -> None:
    edit(folder / "text_encoder" / "config.json", hidden_size=64)
    refused(folder, "unet attends to states of width 32, text_encoder gives 64", REMEDY)


def test_a_lora_for_another_model(folder: Path, tmp_path: Path) -> None:
    name = "lora_transformer_double_blocks_0_img_attn_proj"
    tensors = {f"{name}.lora_down.weight": torch.ones(2, 8), f"{name}.alpha": torch.tensor(2.0)}
    save_file(
        tensors | {f"{name}.lora_up.weight": torch.ones(8, 2)}, tmp_path / "style.safetensors"
    )
    refused(
        folder,
        "LoRA style.safetensors is for another model",
        f"'{name}.lora_down.weight' means",
        "The model has text_encoder (CLIPTextModel), unet (UNet2DConditionModel)",
        "Use a LoRA that was trained on this family.",
        options=CompileOptions(loras=(Lora(tmp_path / "style.safetensors"),)),
    )


def test_a_pipeline_that_is_not_served(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="WanPipeline")
    refused(folder, "a pipeline of the class 'WanPipeline'", *PIPELINES, "as a torch module.")


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("unet", "'UNet2DConditionModel'"),
        ("text_encoder", "['CLIPTextModel']"),
        ("scheduler", "'DDIMScheduler'"),
        ("tokenizer", "'CLIPTokenizer'"),
    ],
)
def test_a_component_alone(folder: Path, name: str, class_name: str) -> None:
    asked = f"{folder / name} has no model_index.json, so it is no pipeline of diffusers"
    looks = f"it looks like one component, {class_name}"
    refused(folder / name, asked, looks, f"Give the folder above it, {folder}.")
    (folder / "model_index.json").unlink()
    refused(folder / name, asked, looks, "Give the folder of the whole pipeline", "save_pretrained")


def test_a_pipeline_without_its_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()
    refused(
        folder,
        f"{folder} has no model_index.json",
        "it has the components scheduler, text_encoder, tokenizer, unet, vae",
        "Complete the download: model_index.json says which pipeline they belong to.",
    )


def test_a_folder_around_a_checkpoint(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "painter.safetensors")
    refused(tmp_path, "no model_index.json", "holds painter.safetensors", "with --config FOLDER.")


def test_the_index_itself(folder: Path) -> None:
    refused(folder / "model_index.json", "is the index of a pipeline", f"lies in, {folder}.")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("text", encoding="utf-8")
    refused(tmp_path / "model", "model is not a kind of model that is read", "give an .onnx file")


def test_nothing_is_written_for_what_is_refused_late(folder: Path, tmp_path: Path) -> None:
    """Configurations agree with one another; only the weights' headers do not."""
    edit(folder / "vae" / "config.json", layers_per_block=2)
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match="vae"):
        compile_bundle(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
