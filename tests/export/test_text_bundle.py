"""The bundle of a text-to-image folder: its parts, and each graph against diffusers' pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tokenizers import Tokenizer

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.parity import relative_error
from denoisert.export.sources.diffusers.readout import estimate_readout
from denoisert.export.targets.session import open_graph
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli.inspect import describe
from tests.export.diffusers_tiny import SCALING

BOUND = 1e-4
COMPONENTS = ("denoiser", "text_encoder", "decoder", "encoder")
PROMPTS = ("red apple", "", "Two blue cars of smiling cats, and more", "été 🍎")

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def bundle(text_bundle: Path) -> Bundle:
    return Bundle.open(text_bundle)


@pytest.fixture(scope="module")
def pipe(tiny_text_folder: Path) -> Any:
    loaded = StableDiffusionPipeline.from_pretrained(tiny_text_folder, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def run(bundle: Bundle, component: str, inputs: Arrays) -> Arrays:
    entry = bundle.manifest.engines["onnxruntime"].graphs[component]
    graph = bundle.verified(entry.path).read_bytes()
    return open_graph(graph, bundle.root, entry.path)(inputs)


def tokens(bundle: Bundle, prompt: str) -> np.ndarray:
    """As the card says: start, the prompt's tokens, end, pad."""
    (text,) = bundle.card.texts
    tokenizer = Tokenizer.from_file(str(bundle.verified(text.tokenizer)))
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids[: text.room]
    ids = [*text.start, *ids, *text.end]
    return np.array([ids + [text.pad] * (text.tokens - len(ids))])


def assert_near(found: np.ndarray, expected: torch.Tensor) -> None:
    assert relative_error(found, expected.detach().numpy()) < BOUND


def test_a_bundle_has_a_graph_and_an_engine_of_every_component(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.format == 2
    assert set(manifest.graphs) == set(COMPONENTS) == set(bundle.card.components)
    engines = manifest.engines["onnxruntime"]
    assert engines.buckets == ()
    for name in COMPONENTS:
        graph, engine = manifest.graphs[name], engines.graphs[name]
        assert graph.path == f"graphs/{name}.onnx"
        assert graph.weights == engine.weights
        assert (graph.inputs, graph.outputs) == (engine.inputs, engine.outputs)
        assert all(port.dims[0] == "lanes" for port in (*graph.inputs, *graph.outputs))
    weights = {path for entry in manifest.graphs.values() for path in entry.weights}
    stored = {path for path in manifest.files if path.startswith("weights/")}
    assert weights == stored
    bundle.verify_all()


def test_no_weight_is_stored_twice(bundle: Bundle, tiny_text_folder: Path) -> None:
    stored = sum(
        entry.size for path, entry in bundle.manifest.files.items() if path.startswith("weights/")
    )
    source = sum(path.stat().st_size for path in tiny_text_folder.rglob("*.safetensors"))
    assert stored < 1.02 * source


def test_no_file_names_this_machine(bundle: Bundle, tiny_text_folder: Path) -> None:
    for path in bundle.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(tiny_text_folder).encode() not in content
            assert b"site-packages" not in content


def test_the_tokenizer_lies_where_the_card_says(bundle: Bundle) -> None:
    (text,) = bundle.card.texts
    assert text.tokenizer == "tokenizers/text_encoder.json"
    assert json.loads(bundle.verified(text.tokenizer).read_bytes())["model"]["type"] == "BPE"
    assert tokens(bundle, "red apple").shape == (1, text.tokens)


def test_inspect_shows_all_parts(bundle: Bundle) -> None:
    lines = "\n".join(describe(bundle.manifest))
    assert "hidden_states from encoder_output, float32 [16, 32] of text_encoder" in lines
    assert "text_encoder: 16 tokens, 14 of them the prompt's" in lines
    assert "32x32 pixels in tiles of 32x32, decoder and encoder, previews" in lines
    for name in COMPONENTS:
        assert f"graph       {name}: opset 23" in lines


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_encoder_equals_the_pipeline_s(bundle: Bundle, pipe: Any, prompt: str) -> None:
    expected, _ = pipe.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
    found = run(bundle, "text_encoder", {"token_ids": tokens(bundle, prompt)})["hidden_states"]
    assert_near(found, expected)
    other = run(bundle, "text_encoder", {"token_ids": tokens(bundle, "green car")})
    assert relative_error(other["hidden_states"], expected.detach().numpy()) > 0.1


@pytest.mark.parametrize("lanes", [1, 3])
def test_denoiser_equals_the_pipeline_s_at_a_time_of_each_lane(
    bundle: Bundle, pipe: Any, lanes: int
) -> None:
    generator = np.random.default_rng(40 + lanes)
    inputs = {
        "latent": generator.standard_normal((lanes, 4, 8, 8)).astype(np.float32),
        "time": generator.integers(0, 1000, lanes).astype(np.float32),
        "hidden_states": generator.standard_normal((lanes, 16, 32)).astype(np.float32),
    }
    found = run(bundle, "denoiser", inputs)["prediction"]
    for lane in range(lanes):
        one = {key: torch.from_numpy(value[lane : lane + 1]) for key, value in inputs.items()}
        with torch.no_grad():
            states = one["hidden_states"]
            expected = pipe.unet(one["latent"], int(one["time"]), encoder_hidden_states=states)[0]
        assert_near(found[lane : lane + 1], expected)


@pytest.mark.parametrize("name", ["latent", "time", "hidden_states"])
def test_every_input_of_the_denoiser_counts(bundle: Bundle, name: str) -> None:
    generator = np.random.default_rng(3)
    inputs = {
        "latent": generator.standard_normal((2, 4, 8, 8)).astype(np.float32),
        "time": np.array([900.0, 100.0], np.float32),
        "hidden_states": generator.standard_normal((2, 16, 32)).astype(np.float32),
    }
    base = run(bundle, "denoiser", inputs)["prediction"]
    swapped = run(bundle, "denoiser", {**inputs, name: inputs[name][::-1].copy()})["prediction"]
    assert relative_error(swapped, base) > 0.01


def test_decoder_equals_the_pipeline_s(bundle: Bundle, pipe: Any) -> None:
    latent = np.random.default_rng(5).standard_normal((2, 4, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = pipe.vae.decode(torch.from_numpy(latent) / SCALING).sample
    assert_near(run(bundle, "decoder", {"latent": latent})["picture"], expected)


def test_encoder_equals_the_pipeline_s(bundle: Bundle, pipe: Any) -> None:
    picture = np.random.default_rng(6).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    found = run(bundle, "encoder", {"picture": picture})
    with torch.no_grad():
        expected = pipe.vae.encode(torch.from_numpy(picture)).latent_dist
    assert_near(found["mean"], expected.mean * SCALING)
    assert_near(found["std"], expected.std * SCALING)


def test_the_readout_is_that_of_the_decoder(bundle: Bundle) -> None:
    def decode(latents: np.ndarray) -> np.ndarray:
        return run(bundle, "decoder", {"latent": latents})["picture"]

    coder = bundle.card.autoencoder
    assert coder is not None
    np.testing.assert_allclose(coder.readout, estimate_readout(decode, (4, 8, 8)), atol=1e-4)


@pytest.mark.slow
def test_another_size_with_tiles(tiny_text_folder: Path, tmp_path: Path, pipe: Any) -> None:
    options = CompileOptions(sizes=((36, 64),), tile=(6, 8))
    compiled = compile_bundle(tiny_text_folder, tmp_path / "a.bundle", options=options)
    assert {figure.component for figure in compiled.parity} == set(COMPONENTS)
    bundle = Bundle.open(compiled.path)
    assert bundle.card.layout.parts[0].shape == (4, 9, 16)
    latent = np.random.default_rng(9).standard_normal((1, 4, 6, 8)).astype(np.float32)
    with torch.no_grad():
        expected = pipe.vae.decode(torch.from_numpy(latent) / SCALING).sample
    assert_near(run(bundle, "decoder", {"latent": latent})["picture"], expected)
