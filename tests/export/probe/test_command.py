"""The verb `probe`: configurations, files of the user, and refusals."""

import json
import subprocess
import sys

import pytest
import torch

from denoisert.runtime.cli import main

EULER = '''
import torch


def sample_euler(model, x, sigmas, scale=1.0):
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i])
        x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i]) * scale
    return x


def sample_clamped(model, x, sigmas):
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i])
        if i == 2:
            denoised = denoised.clamp(-1, 1)
        x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i])
    return x


class Straight:
    """A flow scheduler of its own."""

    config = {}

    def set_timesteps(self, steps):
        self.sigmas = torch.linspace(1, 0, steps + 1)
        self.timesteps = self.sigmas[:-1]
        self.index = 0

    def step(self, output, time, x):
        x = x + (self.sigmas[self.index + 1] - self.sigmas[self.index]) * output
        self.index += 1
        return (x,)
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("samplers") / "mine.py"
    path.write_text(EULER, encoding="utf-8")
    return path


def configuration(folder, name, **config):
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": name, **config}), encoding="utf-8")
    return path


def test_a_configuration(tmp_path, capsys):
    path = configuration(tmp_path, "UniPCMultistepScheduler", solver_order=3)
    assert main(["probe", str(path), "--steps", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "UniPCMultistepScheduler: a table of 8 evaluations in 8 steps, 4 registers, 1 draws"
    )
    assert lines[1] == "registers needed before each evaluation: 1 2 3 4 4 3 2 1"
    assert lines[2] == "network output: eps; starts from noise; clean estimate: as it is"
    assert 0 < float(lines[3].split()[-1]) < 1e-12
    assert 1e-8 < float(lines[4].split()[-1]) < 1e-4


def test_a_folder_with_options(tmp_path, capsys):
    configuration(tmp_path, "DDIMScheduler", prediction_type="v_prediction")
    assert main(["probe", str(tmp_path), "--steps", "4", "--option", "eta=1.0"]) == 0
    out = capsys.readouterr().out
    assert "4 steps, 1 registers, 5 draws" in out
    assert "network output: v;" in out
    assert "clean estimate: Clip(low=-1.0, high=1.0, rederive=False)" in out


def test_an_inversion(tmp_path, capsys):
    path = configuration(tmp_path, "DDIMInverseScheduler", clip_sample=False)
    assert main(["probe", str(path), "--steps", "4", "--inverse"]) == 0
    assert "0 draws" in capsys.readouterr().out


def test_a_function_of_a_file(own, capsys):
    assert main(["probe", f"{own}:sample_euler", "--sigmas", "9,3,1,0"]) == 0
    assert "sample_euler: a table of 3 evaluations in 3 steps" in capsys.readouterr().out
    assert main(["probe", f"{own}:sample_euler", "--steps", "5", "--option", "scale=0.5"]) == 0
    assert "5 evaluations" in capsys.readouterr().out


def test_a_class_of_a_file(own, capsys):
    assert main(["probe", f"{own}:Straight", "--steps", "5"]) == 0
    assert "network output: flow;" in capsys.readouterr().out


def refused(words, capsys, match):
    assert main(["probe", *words]) != 0
    error = capsys.readouterr().err
    assert match in error
    assert "Traceback" not in error


def test_refusals(own, tmp_path, capsys):
    refused([f"{own}:sample_clamped"], capsys, "sample_clamped, stage 2: torch's `clamp`")
    refused([f"{own}:nothing"], capsys, "has no 'nothing'")
    refused([str(tmp_path / "absent.py") + ":x"], capsys, "there is no Python file")
    refused([str(tmp_path / "absent.json")], capsys, "is no scheduler configuration")
    refused([str(configuration(tmp_path, "HomeMadeScheduler"))], capsys, "'HomeMadeScheduler'")
    path = configuration(tmp_path, "DDIMScheduler")
    refused([str(path), "--steps", "0"], capsys, "must be at least 1")
    path.write_text("[]", encoding="utf-8")
    refused([str(path)], capsys, "names the class ''")


@pytest.mark.parametrize("words", [["--sigmas", "a,b"], ["--option", "eta=x y"]])
def test_arguments_that_cannot_be_read(own, words, capsys):
    with pytest.raises(SystemExit):
        main(["probe", f"{own}:sample_euler", *words])
    assert "error: argument" in capsys.readouterr().err


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom denoisert.runtime.cli import main\n"
        "try:\n    main(['probe', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "FILE.py:NAME" in done.stdout


def test_torch_is_left_as_it_was():
    assert torch.get_default_dtype() is torch.float32
