"""`denoisert schedule optimise`, through `main`, and its file in `--schedule`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from denoisert.export.zoo.digits import quality
from denoisert.export.zoo.digits.model import DigitsConfig, DigitsDiT
from denoisert.kernels.philox import reference as philox
from denoisert.runtime import Euler, Levels, Rounded, Runtime, Start, Truncated
from denoisert.runtime.cli import main
from denoisert.runtime.cli.schedule import read_spacing
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.denoising import (
    bundle_curve,
    clean_latents,
    drawn,
    levels_of,
    of_oracle,
)
from denoisert.runtime.measure.oracles import oracle
from denoisert.runtime.request import Request
from denoisert.runtime.sampling.schedules import Trailing

WEIGHTS = Path(quality.__file__).parent / "weights.safetensors"
FEW = ("--samples", 4, "--levels", 6, "--sigma-min", 0.05, "--sigma-max", 20, "--steps", 4)


def optimise(*words: object) -> int:
    return main(["schedule", "optimise", *map(str, words)])


def numbers(text: str, word: str) -> list[float]:
    """The first number of every line that starts with a word."""
    return [float(line.split()[1].strip(",")) for line in text.splitlines() if line[:6] == word]


@pytest.mark.parametrize("name", ["gaussian", "mixture", "finite"])
@pytest.mark.parametrize("objective", ["klub", "variance"])
def test_an_oracles_levels_cost_less_than_others(
    name: str, objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "levels.json"
    words = ["--oracle", name, "--objective", objective, "--steps", 6, "--out", file]
    assert optimise(*words, "--samples", 500, "--levels", 60) == 0
    told = capsys.readouterr().out
    assert max(numbers(told, "after ")) < min(numbers(told, "before"))
    spacing = read_spacing(str(file))
    assert isinstance(spacing, Levels)
    assert (spacing.steps, spacing.levels[0], spacing.levels[-1]) == (6, 80.0, 0.0)
    assert f"--schedule {file} --steps 6" in told


def test_the_gaussian_levels_have_equal_angles(tmp_path: Path) -> None:
    file = tmp_path / "levels.json"
    words = ["--oracle", "gaussian", "--objective", "variance", "--keep-last", "--out", file]
    assert optimise(*words, "--sigma-max", 20, "--sigma-min", 0.01) == 0
    spacing = read_spacing(str(file))
    assert isinstance(spacing, Levels)
    steps = np.diff(np.arctan(np.array(spacing.levels) / 0.5))
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)


def test_a_bundles_levels_run_as_its_schedule(
    digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "levels.json"
    assert optimise(digits_bundle, 3, 7, *FEW, "--out", file) == 0
    told = capsys.readouterr().out
    assert "4 latents of its own making, 6 levels" in told
    assert max(numbers(told, "after ")) <= min(numbers(told, "before")) * 1.001
    latents = tmp_path / "latents.npz"
    words = ["--schedule", file, "--steps", 4, "--latents", latents, "--plan"]
    assert main(["generate", str(digits_bundle), "3", *map(str, words)]) == 0
    assert main(["generate", str(digits_bundle), "3", *map(str, words[:-1])]) == 0
    assert np.isfinite(np.load(latents)["latent"]).all()
    other = [*map(str, words[:2]), "--steps", "5", "--latents", str(latents)]
    assert main(["generate", str(digits_bundle), "3", *other]) == 2
    assert "pins 4 steps" in capsys.readouterr().err


def test_given_latents_are_measured(digits_bundle: Path, tmp_path: Path) -> None:
    with Runtime.open(digits_bundle) as runtime:
        clean = clean_latents(runtime, [Request(k, seed=k, steps=4) for k in range(3)])
    np.save(tmp_path / "clean.npy", clean.reshape(3, *runtime.card.layout.parts[0].shape))
    words = [*FEW[2:], "--data", tmp_path / "clean.npy", "--out", tmp_path / "levels.json"]
    assert optimise(digits_bundle, *words) == 0
    assert json.loads((tmp_path / "levels.json").read_text())["name"] == "levels"


def plain_error(clean: np.ndarray, seeds: list[int], level: float) -> float:
    """Mean square of x0 - D of the digits network in plain torch, on the runtime's noise."""
    model = DigitsDiT(DigitsConfig())
    model.load_state_dict(load_file(WEIGHTS), strict=True)
    t = level / (1.0 + level)
    noise = np.stack([philox.normals(seed, draw=0, image=0, count=256) for seed in seeds])
    x = torch.from_numpy(((1.0 - t) * clean + t * noise).astype(np.float32)).reshape(-1, 1, 16, 16)
    with torch.inference_mode():
        velocity = model.eval()(x, torch.full((len(x),), t), torch.arange(len(x)))
    denoised = (x - t * velocity).numpy().reshape(clean.shape)
    return float(np.mean(np.square(clean - denoised)))


def test_the_curve_is_the_error_of_the_networks_own_clean_estimates(digits_bundle: Path) -> None:
    """One step to 0 through the runtime ends in D."""
    with Runtime.open(digits_bundle) as runtime:
        requests = [Request(k, seed=k + 5, steps=6) for k in range(3)]
        clean = clean_latents(runtime, requests)
        levels = levels_of(runtime.card, 0.3, 3.0, 3)
        seen: list[tuple[int, int]] = []
        curve = bundle_curve(
            runtime, requests, clean, levels, lambda done, total: seen.append((done, total))
        )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    expected = [plain_error(clean, [5, 6, 7], float(level)) for level in levels]
    np.testing.assert_allclose(curve.error, expected, rtol=1e-3)
    assert curve.variance == pytest.approx(clean.var(axis=0, ddof=1).mean(), rel=1e-5)


def test_levels_of_a_card_need_ends(digits_bundle: Path) -> None:
    with Runtime.open(digits_bundle) as runtime:
        card = runtime.card
    with pytest.raises(InvalidInput, match="--sigma-min and --sigma-max"):
        levels_of(card, None, None, 8)
    np.testing.assert_allclose(levels_of(card, 0.1, 10.0, 3), [0.1, 1.0, 10.0])


def test_samples_of_an_oracle_have_its_moments() -> None:
    for name in ("gaussian", "mixture", "finite"):
        denoiser, width = oracle(name)
        found = drawn(denoiser, 4, 4000, width)
        assert found.shape == (4000, width)
        far = of_oracle(denoiser)(np.zeros_like(found), 1e6)
        np.testing.assert_allclose(found.mean(axis=0), far[0], atol=0.05)
    with pytest.raises(InvalidInput, match="no samples"):
        drawn(object(), 4, 10, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--oracle", "gaussian", "--steps", "0"], "from 1 to 100"),
        (["--oracle", "gaussian", "--data", "x.npy"], "belongs to a BUNDLE"),
        (["somewhere", "--oracle", "gaussian"], "leave --oracle out"),
        (["--samples", "1"], "outside 2"),
        (["--levels", "1"], "outside 2"),
        (["--seed", "-1"], "at least 0"),
        (["--sigma-min", "3", "--sigma-max", "2"], "rising"),
        (["--oracle", "gaussian", "--sigma-min", "0"], "above 0"),
        (["nowhere", "--steps", "101"], "from 1 to 100"),
        (["--out", "levels.txt"], ".json"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedule", "optimise", *words]) == 2
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "[", '{"name": "ddim"}', '{"levels": [1, 0]}', "3"])
def test_a_file_that_is_no_spacing_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "levels.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInput):
        read_spacing(str(file))


@pytest.mark.parametrize("data", [np.ones(3), np.ones((3, 2), int)])
def test_data_that_are_no_latents_are_refused(
    data: np.ndarray, digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "data.npy", data)
    assert optimise(digits_bundle, *FEW, "--data", tmp_path / "data.npy") == 2
    assert "give floats" in capsys.readouterr().err
    assert optimise(digits_bundle, *FEW, "--data", tmp_path / "absent.npy") == 2
    assert "absent.npy" in capsys.readouterr().err


def test_other_names_are_read_as_before() -> None:
    assert read_spacing("trailing") == Trailing()
    assert read_spacing("rounded(spacing=levels(levels=[2, 0]))") == Rounded(Levels((2.0, 0.0)))


def test_a_truncated_run_goes_on_from_the_latent_that_it_is_given(digits_bundle: Path) -> None:
    """The same as starting from the clean latent, whose noise the runtime adds by the seed."""
    with Runtime.open(digits_bundle) as runtime:
        clean = runtime.generate(Request(4, seed=2, steps=5)).flat[0]
        noised = 0.5 * clean + 0.5 * philox.normals(9, draw=0, image=0, count=256)
        by_seed = Request(
            4, seed=9, schedule=Levels((1.0, 0.3, 0.0)), solver=Euler(), start=Start(clean, 1.0)
        )
        by_latent = Request(
            4,
            seed=77,
            schedule=Truncated(Levels((6.0, 2.0, 0.3, 0.0)), 1.0),
            solver=Euler(),
            start=Start(noised, 1.0),
        )
        expected, found = (runtime.generate(each).flat for each in (by_seed, by_latent))
        assert runtime.plan(by_latent).nfe == runtime.plan(by_seed).nfe
    np.testing.assert_allclose(found, expected, atol=2e-5)
