"""What no table can do is refused, with the sampler, the stage and the torch function."""

import numpy as np
import pytest
import torch

from denoisert.export.probe import probe_function
from denoisert.runtime.errors import DenoiseRTError, ExportError, ParityError, UnsupportedOperator

SIGMAS = [10.0, 3.0, 1.0, 0.3, 0.0]


def sampler(change):
    """A sound sampler whose clean estimate goes through `change(denoised, i)`."""

    def planted(model, x, sigmas):
        for i in range(len(sigmas) - 1):
            denoised = change(model(x, sigmas[i]), i)
            x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i])
        return x

    return planted


def from_stage(stage, function):
    return lambda denoised, i: function(denoised) if i >= stage else denoised


def test_the_sampler_without_a_plant_is_sound():
    assert probe_function(sampler(lambda denoised, _: denoised), SIGMAS).error < 1e-14


PLANTS = {
    "clamp": lambda d: d.clamp(-1, 1),
    "clip": lambda d: torch.clip(d, -1, 1),
    "quantile": lambda d: d / torch.quantile(d.flatten(1), 0.995),
    "linalg_norm": lambda d: d * (3.0 / torch.linalg.norm(d)),
    "tanh": lambda d: torch.tanh(d),
    "abs": lambda d: d.abs() * d.sign(),
    "round": lambda d: d.round(decimals=2),
    "nan_to_num": lambda d: torch.nan_to_num(d),
    "pow": lambda d: d**2,
    "std": lambda d: d / d.std(),
    "mean": lambda d: d - d.mean(dim=(1, 2, 3), keepdim=True),
    "fft_fftn": lambda d: torch.fft.ifftn(torch.fft.fftn(d)).real,
    "maximum": lambda d: torch.maximum(d, torch.zeros_like(d)),
    "roll": lambda d: d.roll(1, -1),
    "softmax": lambda d: d.softmax(-1),
    "exp": lambda d: d.exp(),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_function_is_named_with_its_stage(name):
    with pytest.raises(UnsupportedOperator, match=rf"planted, stage 2: torch's `_*{name}\w*` "):
        probe_function(sampler(from_stage(2, PLANTS[name])), SIGMAS)


def test_also_where_it_would_do_nothing():
    """A clamp at a million does nothing on small latents and is still no part of a table."""
    wide = from_stage(1, lambda d: d.clamp(-1e6, 1e6))
    with pytest.raises(UnsupportedOperator, match="stage 1: torch's `clamp`"):
        probe_function(sampler(wide), SIGMAS)


READS = {
    "item": lambda d: d * (1 + 0 * d[0, 0, 0].sum(-1).item()),
    "numpy": lambda d: torch.from_numpy(d.numpy() * 1.0),
    "tolist": lambda d: torch.tensor(d.tolist()),
    "__bool__": lambda d: d * 2 if d.narrow(-1, 0, 1) else d,
    "__float__": lambda d: d * float(d.narrow(-1, 0, 1)),
    "allclose": lambda d: d if torch.allclose(d, d) else 2 * d,
}


@pytest.mark.parametrize("name", READS)
def test_reading_a_value_is_named(name):
    with pytest.raises(UnsupportedOperator, match=r"stage 1: torch's `"):
        probe_function(sampler(from_stage(1, READS[name])), SIGMAS)


def test_a_branch_on_the_data_is_named():
    def branch(denoised):
        return denoised * 0.5 if (denoised > 3).any() else denoised

    with pytest.raises(UnsupportedOperator, match=r"stage 0: torch's `(gt|__gt__)`"):
        probe_function(sampler(from_stage(0, branch)), SIGMAS)


FORMS = {
    "adds a constant": lambda d: d + 0.1,
    "adds what is not finite": lambda d: d + float("inf") * torch.zeros(1),
    "multiplies two latents": lambda d: d * d,
    "divides by a latent": lambda d: torch.ones(1) / d,
    "mixes the elements": lambda d: d - d.sum(dim=-1, keepdim=True),
    "chooses by the values": lambda d: torch.where(d, d, d),
    "weighs latents by a latent": lambda d: torch.lerp(d, 2 * d, d),
    "writes a latent into a plain tensor": lambda d: torch.zeros(d.shape).copy_(d),
    "draws noise that a table has no column for": lambda d: d + torch.rand_like(d),
    "draws \\(3,\\) where a latent is": lambda d: d + torch.randn(3).sum(),
}


@pytest.mark.parametrize("words", FORMS)
def test_linear_functions_in_a_form_that_is_not(words):
    with pytest.raises(UnsupportedOperator, match=rf"stage 0: torch's `\w+` {words}"):
        probe_function(sampler(from_stage(0, FORMS[words])), SIGMAS)


LINEAR = {
    "lerp": lambda d: torch.lerp(d, 3 * d, 0.5),
    "stack": lambda d: torch.stack([d, 2 * d], 1).sum(dim=1),
    "einsum": lambda d: torch.einsum("k,bkc...->bc...", torch.ones(2), torch.stack([d, d], 1)),
    "tensordot": lambda d: torch.tensordot(torch.ones(2), torch.stack([d, d]), dims=1),
    "in place": lambda d: d.clone().mul_(2.0).sub_(0.5 * d).div_(1.5),
    "chunk": lambda d: sum(torch.cat([d, 2 * d]).chunk(2)),
    "where": lambda d: torch.where(torch.tensor(True), d, torch.zeros_like(d)),
    "buffer": lambda d: torch.zeros_like(d) + 2 * torch.zeros_like(d).copy_(d),
    "halves": lambda d: d.to(torch.float16).float().to(torch.bfloat16) * 0.3,
    "number first": lambda d: 2 * d - d / 3 - (-d) + 0,
    "shapes": lambda d: d.reshape(-1).view(d.shape).unsqueeze(0).squeeze(0).contiguous(),
    "loop": lambda d: sum(row for row in torch.stack([d, d, d])),
    "index": lambda d: torch.stack([d, 5 * d])[1],
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions_pass(name):
    assert probe_function(sampler(from_stage(1, LINEAR[name])), SIGMAS).error < 1e-12


def test_an_error_that_the_sampler_swallows_still_counts():
    def swallowed(denoised):
        try:
            return denoised.clamp(-1, 1)
        except DenoiseRTError:
            return denoised

    with pytest.raises(UnsupportedOperator, match="torch's `clamp`"):
        probe_function(sampler(from_stage(0, swallowed)), SIGMAS)


def test_what_hides_from_the_probe_is_found_by_the_random_network():
    """The second net: it behaves well on coordinate vectors and clamps plain tensors."""

    def hidden(denoised):
        return denoised.clamp(-0.1, 0.1) if type(denoised) is torch.Tensor else denoised

    with pytest.raises(ParityError, match=r"planted: the input of stage 3 deviates by \d"):
        probe_function(sampler(from_stage(2, hidden)), SIGMAS)


def test_noise_that_is_not_torchs_is_found_by_the_random_network():
    generator = np.random.default_rng()
    with pytest.raises(ParityError, match=r"the input of stage 2 deviates.*does not see"):
        probe_function(sampler(from_stage(1, lambda d: d * generator.normal())), SIGMAS)


def test_a_number_of_evaluations_that_depends_on_the_data():
    def adaptive(model, x, sigmas):
        for i in range(len(sigmas) - 1):
            x = model(x, sigmas[i])
            if type(x) is torch.Tensor:
                x = model(x, sigmas[i])
        return x

    with pytest.raises(ParityError, match="asked its network 8 times, and 4 times when"):
        probe_function(adaptive, SIGMAS)


def test_a_sampler_that_never_asks_or_never_ends():
    with pytest.raises(ExportError, match="never asked the network"):
        probe_function(lambda model, x, sigmas: x, SIGMAS)

    def endless(model, x, sigmas):
        while True:
            x = model(x, sigmas[0]) * 0.5

    with pytest.raises(ExportError, match="more than 4096 evaluations and draws"):
        probe_function(endless, SIGMAS)


def test_a_sampler_that_changes_the_shape():
    with pytest.raises(ExportError, match="keeps the latent's shape"):
        probe_function(sampler(from_stage(1, lambda d: torch.cat([d, d]))), SIGMAS)


def test_a_sampler_that_is_not_finite_by_itself():
    def infinite(model, x, sigmas):
        return model(x, sigmas[0]) * (sigmas[0] / sigmas[-1])

    with pytest.raises(ExportError, match=r"infinite: its sample is not finite"):
        probe_function(infinite, SIGMAS)


def test_what_the_function_raises_is_told():
    def broken(model, x, sigmas):
        return {}["missing"]

    with pytest.raises(ExportError, match="the sampler itself raised KeyError: 'missing'"):
        probe_function(broken, SIGMAS)


def test_torch_is_left_as_it_was():
    before = torch.get_default_dtype()
    with pytest.raises(UnsupportedOperator):
        probe_function(sampler(from_stage(0, lambda d: d.clamp(0, 1))), SIGMAS)
    assert torch.get_default_dtype() is before
    assert torch.zeros(1).dtype is before
    assert torch.is_grad_enabled()
