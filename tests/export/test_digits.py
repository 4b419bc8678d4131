"""The yardstick's network: what every `DigitsDiT` does, trained or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denoisert.export.zoo import ARCHITECTURES
from denoisert.export.zoo.digits.model import Block, DigitsConfig, DigitsDiT, TimeEmbedding
from denoisert.runtime.errors import InvalidInput

NULL = DigitsConfig().null_label


def redraw_zeros(model: DigitsDiT, seed: int) -> DigitsDiT:
    """Give every zero-initialised parameter random values: a zero branch proves nothing."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if not parameter.detach().any():
            parameter.data.normal_(0.0, 0.2, generator=generator)
    return model.eval().requires_grad_(False)


def inputs(batch: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(batch, 1, 16, 16, generator=generator)
    label = torch.randint(0, NULL + 1, (batch,), generator=generator)
    return latent, torch.rand(batch, generator=generator), label


def relative_error(found: torch.Tensor, reference: torch.Tensor) -> float:
    return float((found - reference).abs().max() / reference.abs().max())


@pytest.fixture
def random_model() -> DigitsDiT:
    torch.manual_seed(5)
    return redraw_zeros(DigitsDiT(), 6)


class TestConfig:
    def test_the_sizes_are_the_ones_of_the_card(self):
        assert (DigitsConfig().grid, DigitsConfig().null_label) == (4, 10)
        assert sum(p.numel() for p in DigitsDiT().parameters()) < 1_300_000

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"token_px": 5}, "not a multiple"),
            ({"heads": 3}, "even and a multiple"),
            ({"width": 33, "heads": 3}, "even and a multiple"),
            ({"depth": 0}, "size below 1"),
            ({"heads": 0}, "at least one head"),
            ({"classes": 0}, "at least one head"),
            ({"breadth": 8}, "does not know"),
        ],
    )
    def test_sizes_that_do_not_fit_are_refused(self, change: dict[str, int], message: str):
        with pytest.raises(InvalidInput, match=message):
            DigitsDiT.from_config(change)

    def test_the_table_of_architectures_cannot_be_changed(self):
        assert dict(ARCHITECTURES) == {"digits-dit": DigitsDiT}
        with pytest.raises(TypeError):
            ARCHITECTURES["other"] = DigitsDiT

    def test_other_sizes_work(self):
        config = {"channels": 3, "size_px": 8, "token_px": 2, "width": 16, "depth": 1, "heads": 2}
        model = redraw_zeros(DigitsDiT.from_config(config), 1)
        latent = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        velocity = model(latent, torch.tensor([0.1, 0.9]), torch.tensor([0, 10]))
        assert velocity.shape == latent.shape
        assert velocity.std() > 0


class TestNetwork:
    def test_a_new_network_predicts_zero_and_a_redrawn_one_does_not(self):
        torch.manual_seed(11)
        model = DigitsDiT()
        zeros = [name for name, value in model.named_parameters() if not value.detach().any()]
        assert len(zeros) == 2 * (4 + 1 + 1)
        assert not model(*inputs(2, 12)).any()
        redraw_zeros(model, 13)
        assert all(value.any() for value in model.parameters())
        assert model(*inputs(2, 12)).std() > 0.1

    def test_every_input_matters(self, random_model: DigitsDiT):
        model = random_model
        latent, time, _ = inputs(10, 21)
        label = torch.arange(10)
        reference = model(latent, time, label)
        assert relative_error(model(latent, time, label.roll(1)), reference) > 0.1
        assert relative_error(model(latent, time.roll(1), label), reference) > 0.1
        assert relative_error(model(latent.roll(1, 0), time, label), reference) > 0.1
        assert relative_error(model(latent, time, torch.full_like(label, NULL)), reference) > 0.1

    def test_a_lane_does_not_see_its_neighbours(self, random_model: DigitsDiT):
        latent, time, label = inputs(5, 31)
        together = random_model(latent, time, label)
        alone = torch.cat(
            [random_model(latent[i, None], time[i, None], label[i, None]) for i in range(5)]
        )
        assert relative_error(alone, together) < 1e-5
        order = torch.tensor([3, 0, 4, 2, 1])
        permuted = random_model(latent[order], time[order], label[order])
        assert relative_error(permuted, together[order]) < 1e-5

    def test_without_attention_a_square_of_pixels_only_reaches_itself(
        self, random_model: DigitsDiT
    ):
        for block in random_model.blocks:
            block.out.weight.zero_()
        latent, time, label = inputs(1, 41)
        changed = latent.clone()
        changed[:, :, 4:8, 8:12] += 1.0
        difference = (random_model(changed, time, label) - random_model(latent, time, label)).abs()
        assert difference[:, :, 4:8, 8:12].min() > 0
        difference[:, :, 4:8, 8:12] = 0
        assert difference.max() == 0

    def test_with_attention_it_reaches_every_pixel(self, random_model: DigitsDiT):
        latent, time, label = inputs(1, 42)
        changed = latent.clone()
        changed[:, :, 4:8, 8:12] += 1.0
        difference = random_model(changed, time, label) - random_model(latent, time, label)
        assert difference.abs().min() > 0

    def test_positions_are_told_apart(self, random_model: DigitsDiT):
        """Without positions, rolling the latent by whole tokens would only roll the result."""
        latent, time, label = inputs(1, 43)
        random_model.position.normal_(generator=torch.Generator().manual_seed(44))
        rolled = random_model(latent.roll(4, -1), time, label).roll(-4, -1)
        assert relative_error(rolled, random_model(latent, time, label)) > 0.1
        random_model.position.zero_()
        rolled = random_model(latent.roll(4, -1), time, label).roll(-4, -1)
        assert relative_error(rolled, random_model(latent, time, label)) < 1e-4

    def test_it_can_be_traced_with_any_batch(self, random_model: DigitsDiT):
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(random_model, inputs(2, 51), dynamic_shapes=(batch,) * 3)
        other = inputs(7, 52)
        assert relative_error(program.module()(*other), random_model(*other)) < 1e-5


class TestLayers:
    def test_attention_equals_its_formula(self):
        torch.manual_seed(61)
        block = Block(8, 2).double().requires_grad_(False)
        block.modulation.linear.bias[16:24] = 1.0  # gate of the attention; the other gate stays 0
        tokens = torch.randn(1, 3, 8, dtype=torch.float64)
        centred = tokens - tokens.mean(-1, keepdim=True)
        normed = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-6)
        query, key, value = (normed @ block.qkv.weight.T + block.qkv.bias)[0].split(8, dim=-1)
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            weight = torch.softmax(query[:, head] @ key[:, head].T / 2.0, dim=-1)
            heads.append(weight @ value[:, head])
        expected = tokens[0] + torch.cat(heads, -1) @ block.out.weight.T + block.out.bias
        found = block(tokens, torch.zeros(1, 8, dtype=torch.float64))[0]
        assert relative_error(found, expected) < 1e-12

    def test_a_new_block_is_the_identity(self):
        tokens, condition = torch.randn(2, 3, 8), torch.randn(2, 8)
        assert torch.equal(Block(8, 2)(tokens, condition), tokens)

    def test_time_is_embedded_as_sines_of_a_thousand_t(self):
        embedding = TimeEmbedding(6)
        embedding.net = torch.nn.Identity()
        time = np.array([0.0, 0.25, 1.0])
        angle = 1000.0 * time[:, None] * 10_000.0 ** (-np.arange(3) / 3)
        expected = np.concatenate((np.cos(angle), np.sin(angle)), axis=-1)
        found = embedding(torch.tensor(time, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-4)
