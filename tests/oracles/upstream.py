"""Every scheduler file of the installed diffusers: which table it is, or why it is none.

`outcomes()` is the material of the parity table in the documents. A file that nobody has looked at
is an error of `unknown()`, so a newer diffusers cannot add one unnoticed.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from denoisert.export.probe import Convention, Start
from denoisert.export.probe.probe import probe_source
from denoisert.export.probe.scheduler import SchedulerSource
from denoisert.runtime.errors import DenoiseRTError
from denoisert.runtime.sampling.parametrisation import Parametrisation

PACKAGE = "diffusers.schedulers"
FOLDER = Path(importlib.util.find_spec(PACKAGE).origin).parent
NOT_SCHEDULERS = {"utils"}
STEPS = 8


class Outcome(NamedTuple):
    """One line of the table.

    Args:
        file: scheduling_<file>.py.
        scheduler: the class.
        registers: K, or 0 for no table.
        stages: S at 8 steps where the scheduler takes that many.
        draws: normal draws, the start among them.
        note: what the operation on the clean estimate is, or why there is no table.
    """

    file: str
    scheduler: str
    registers: int = 0
    stages: int = 0
    draws: int = 0
    note: str = ""


def _steps(kind, steps, **config):
    scheduler = kind(**config)
    scheduler.set_timesteps(steps)
    return scheduler


@dataclass(frozen=True)
class Case:
    """How a scheduler is made and run.

    Args:
        build: (class, steps) -> scheduler with its timesteps.
        options, levels, convention, start: as `probe_scheduler` has them.
        reason: why it is no table; empty for a table. It is shown with what the probe says.
        refusal: words in what the probe says.
    """

    build: Callable = _steps
    options: Mapping = field(default_factory=dict)
    levels: Callable | None = None
    convention: Convention | None = None
    start: Start = Start.NOISE
    reason: str = ""
    refusal: str = ""


class Adapter:
    """A scheduler with another way to call its step, as its pipeline has it."""

    init_noise_sigma = 1.0
    state_in_first_order = True

    def __init__(self, inner):
        self.inner, self.timesteps, self.config = inner, inner.timesteps, inner.config
        self.num_inference_steps = len(self.timesteps)

    def add_noise(self, *arguments):
        return self.inner.add_noise(*arguments)

    def register_to_config(self, **values):
        self.inner.register_to_config(**values)


class Batched(Adapter):
    """Wuerstchen: one time per picture of the batch, and the last time is never asked at."""

    def __init__(self, inner):
        super().__init__(inner)
        self.timesteps = inner.timesteps[:-1]

    def step(self, output, time, x):
        return self.inner.step(output, time.reshape(1), x)


class Remembering(Adapter):
    """CogVideoX's DPM: the caller keeps the last clean estimate and its time."""

    def __init__(self, inner):
        super().__init__(inner)
        self.clean = self.time = None

    def step(self, output, time, x):
        back = None if self.time is None else int(self.time)
        before, self.time = self.clean, time
        x, self.clean = self.inner.step(output, before, int(time), back, x)
        return (x,)


class WithoutLast(Adapter):
    """SCM: the last of its times is the end, not a stage."""

    def __init__(self, inner):
        super().__init__(inner)
        self.timesteps = inner.timesteps[:-1]

    def step(self, output, time, x):
        return self.inner.step(output, time, x)


class Unmasked(Adapter):
    """RFD4: every token is updated."""

    def step(self, output, time, x):
        return self.inner.step(output, time, x, torch.ones(1, 1, 1, dtype=torch.bool))


class Corrected(Adapter):
    """Score SDE: one corrector before each predictor; the corrector asks the network, too."""

    def step(self, output, time, x):
        x = self.inner.step_correct(output, x).prev_sample
        return self.inner.step_pred(output, time, x)


def _score_sde(kind, steps):
    scheduler = kind()
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    return Corrected(scheduler)


def _listed(scheduler, time):
    """(alpha, sigma) in IPNDM's own lists."""
    index = int((scheduler.timesteps == time).nonzero()[0])
    return float(scheduler.alphas[index]), float(scheduler.betas[index])


def _circle(_, time):
    """(alpha, sigma) of an angle."""
    angle = torch.tensor(time, dtype=torch.float64)
    return float(angle.cos()), float(angle.sin())


V = Convention(Parametrisation.V)
CATEGORICAL = "its state is categorical: token numbers and their probabilities"
UNREAD = "its network's output is none of our parametrisations"
TORCHSDE = "it imports torchsde, whose Brownian tree makes its noise"  # here our draws do

PLAIN = """
ddim ddim_cogvideox ddim_parallel ddpm ddpm_parallel deis_multistep dpmsolver_multistep
dpmsolver_singlestep edm_dpmsolver_multistep edm_euler euler_ancestral_discrete
euler_discrete flow_map_euler_discrete flow_match_euler_discrete flow_match_heun_discrete
flow_match_lcm heun_discrete k_dpm_2_ancestral_discrete k_dpm_2_discrete lcm lms_discrete
ltx_euler_ancestral_rf minimax_h3 pndm sasolver tcd unclip unipc_multistep
"""
TABLES = {name: Case() for name in PLAIN.split()} | {
    # Its c_skip and c_out are EDM's with sigma - sigma_min for sigma.
    "consistency_models": Case(
        lambda kind, steps: _steps(kind, steps, clip_denoised=False),
        convention=Convention(Parametrisation.EDM),
    ),
    "ddim_inverse": Case(start=Start.SOURCE),
    "dpmsolver_multistep_inverse": Case(start=Start.SOURCE),
    "ddpm_wuerstchen": Case(
        lambda kind, steps: Batched(_steps(kind, steps)), convention=Convention(Parametrisation.EPS)
    ),
    "dpm_cogvideox": Case(lambda kind, steps: Remembering(_steps(kind, steps, clip_sample=False))),
    "helios": Case(lambda kind, steps: _steps(kind, steps, stages=1, stage_range=[0, 1])),
    "ipndm": Case(levels=_listed),
    "rfd4_proteina": Case(
        lambda kind, steps: Unmasked(
            _steps(
                kind,
                steps,
                schedule_mode="power",
                noise_mode="tan",
                tsr_k=1.0,
                tsr_sigma=1.0,
                tail_steps=0,
            )
        ),
        levels=lambda _, time: (time, 1.0 - time),
        convention=Convention(Parametrisation.FLOW, gain=-1.0),
    ),
    "scm": Case(lambda kind, _: WithoutLast(_steps(kind, 2)), levels=_circle, convention=V),
}
NO_TABLES = {
    "amused": Case(
        lambda kind, steps: _steps(kind, steps, mask_token_id=3),
        reason=CATEGORICAL,
        refusal="torch's `",
    ),
    "block_refinement": Case(reason=CATEGORICAL, refusal="torch's `softmax`"),
    "discrete_ddim": Case(reason=CATEGORICAL, refusal="torch's `softmax`"),
    "entropy_bound": Case(reason=CATEGORICAL, refusal="torch's `softmax`"),
    "vq_diffusion": Case(
        lambda kind, steps: _steps(kind, steps, num_vec_classes=4),
        reason=CATEGORICAL,
        refusal="torch's `",
    ),
    "sde_ve": Case(
        _score_sde,
        reason="its corrector's step depends on norms over the batch",
        refusal="torch's `norm`",
    ),
    "consistency_decoder": Case(
        lambda kind, _: _steps(kind, 2), reason=UNREAD, refusal="does not say"
    ),
    "repaint": Case(
        reason="it blends a masked picture: buffers from outside",
        refusal="'original_image' and 'mask'",
    ),
    "piflow": Case(
        reason="its network answers with several predictions per channel", refusal="n_grid"
    ),
    "helios_dmd": Case(
        lambda kind, steps: _steps(kind, steps, stages=1, stage_range=[0, 1]),
        reason="its step takes noise and schedules of its pipeline",
        refusal="raised",
    ),
    "cosine_dpmsolver_multistep": Case(reason=TORCHSDE, refusal="torchsde"),
    "dpmsolver_sde": Case(reason=TORCHSDE, refusal="torchsde"),
}
CASES = TABLES | NO_TABLES


def files() -> list[str]:
    """scheduling_<name>.py of the installed package."""
    found = {path.stem.removeprefix("scheduling_") for path in FOLDER.glob("scheduling_*.py")}
    return sorted(found - NOT_SCHEDULERS)


def unknown() -> tuple[list[str], list[str]]:
    """Files without a case, and cases without a file."""
    return sorted(set(files()) - set(CASES)), sorted(set(CASES) - set(files()))


def outcome(name: str, steps: int = STEPS) -> Outcome:
    """What the probe makes of one file."""
    case = CASES[name]
    try:
        kind = scheduler_class(name)
    except ImportError as error:
        return Outcome(name, written_class(name), note=f"{case.reason} ({error})")
    source = SchedulerSource(
        lambda: case.build(kind, steps), dict(case.options), case.levels, case.convention
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            probed = probe_source(source, start=case.start)
        except DenoiseRTError as error:
            return Outcome(name, kind.__name__, note=f"{case.reason} ({error})")
    bound = "" if probed.pinned.bound is None else repr(probed.pinned.bound)
    return Outcome(name, kind.__name__, probed.registers, probed.stages, probed.draws, bound)


def scheduler_class(name: str) -> type:
    """The one scheduler of a file."""
    module = importlib.import_module(f"{PACKAGE}.scheduling_{name}")
    (kind,) = [
        value
        for key, value in vars(module).items()
        if key.endswith("Scheduler") and getattr(value, "__module__", "") == module.__name__
    ]
    return kind


def written_class(name: str) -> str:
    """The name of a file's scheduler, read without importing it."""
    text = (FOLDER / f"scheduling_{name}.py").read_text(encoding="utf-8")
    return re.findall(r"^class (\w+Scheduler)\b", text, re.MULTILINE)[0]


def outcomes(steps: int = STEPS) -> list[Outcome]:
    """Every file, in order."""
    return [outcome(name, steps) for name in files()]
