import pytest
import torch
from torch import nn

from vqspeech.nn.quantizer import Quantizer, codebook_usage, time_jitter


def quantizer(learning: str = "ema", codes: int = 8, **options) -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(
        codes, 3, learning, **{"commitment_weight": 0.25, "ema_decay": 0.9, "dead_code_threshold": 0.0, **options}
    )


def test_the_code_is_that_of_the_nearest_vector():
    one, latents = quantizer(), torch.randn(2, 3, 5)
    distance = (latents.transpose(1, 2)[:, :, None] - one.codebook).square().sum(-1)
    assert torch.equal(one.encode(latents), distance.argmin(-1))


def test_decoding_and_encoding_a_code_gives_it_back():
    one, codes = quantizer(), torch.arange(8).view(2, 4)
    assert torch.equal(one.encode(one.decode(codes)), codes)


def test_permuting_batch_and_time_permutes_the_codes():
    one, latents = quantizer(), torch.randn(3, 3, 7)
    batch, time = torch.randperm(3), torch.randperm(7)
    assert torch.equal(one.encode(latents[batch][:, :, time]), one.encode(latents)[batch][:, time])


def test_the_gradient_passes_straight_through():
    one, latents = quantizer().eval(), torch.randn(2, 3, 5, requires_grad=True)
    weight = torch.randn(2, 3, 5)
    (one(latents).latents * weight).sum().backward()
    assert torch.allclose(latents.grad, weight)


def test_a_gradient_codebook_is_drawn_to_its_latents_and_they_to_it_by_beta():
    one, latents = quantizer("gradient").eval(), torch.randn(1, 3, 4, requires_grad=True)
    quantised = one(latents)
    quantised.loss.backward()
    pull = 2 * (latents - one.decode(quantised.codes)).detach() / latents.numel()
    assert torch.allclose(latents.grad, 0.25 * pull)
    expected = torch.zeros_like(one.codebook).index_add_(0, quantised.codes[0], -pull[0].t())
    assert torch.allclose(one.codebook.grad, expected)


def test_moving_averages_follow_the_formula_and_this_batch_is_quantised_with_the_old_codebook():
    one = quantizer().train()
    first, second = torch.randn(4, 3, 6), torch.randn(4, 3, 6)
    one(first)
    counts, sums, codebook = one.cluster_size.clone(), one.embedding_sum.clone(), one.codebook.clone()
    quantised = one(second)
    assert torch.equal(quantised.codes, _nearest(codebook, second))
    flat, codes = second.transpose(1, 2).flatten(0, 1), quantised.codes.flatten()
    for code in range(8):
        chosen = flat[codes == code]
        assert float(one.cluster_size[code]) == pytest.approx(0.9 * float(counts[code]) + 0.1 * len(chosen), abs=1e-5)
        assert torch.allclose(one.embedding_sum[code], 0.9 * sums[code] + 0.1 * chosen.sum(0), atol=1e-5)
    assert torch.allclose(one.codebook, one.embedding_sum / one.cluster_size[:, None], atol=1e-4)


def _nearest(codebook, latents):
    return (latents.transpose(1, 2)[:, :, None] - codebook).square().sum(-1).argmin(-1)


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_the_first_batch_lends_the_codebook_its_latents_and_the_next_step_keeps_them(learning):
    one, latents = quantizer(learning).train(), torch.randn(4, 3, 16) + 100
    one(latents)
    flat = latents.transpose(1, 2).flatten(0, 1)
    assert torch.cdist(one.codebook.detach(), flat).min(1).values.max() < 3  # near the data, not near the origin


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_a_dead_code_is_revived_and_stays_alive(learning):
    one = quantizer(learning, dead_code_threshold=0.05).train()
    latents = torch.randn(8, 3, 32)
    one(latents)
    with torch.no_grad():
        one.codebook[5] = 1000.0
        if learning == "ema":
            one.embedding_sum[5] = 1000.0 * one.cluster_size[5]
    latents = latents.roll(1, 2)
    for _ in range(60):
        one(latents)
    assert one.codebook[5].abs().max() < 10
    counts = torch.bincount(one(latents).codes.flatten(), minlength=8)
    assert codebook_usage(counts)[0] == 8


def test_usage_counts_codes_and_perplexity_is_that_of_the_histogram():
    assert codebook_usage(torch.tensor([2, 2, 2, 2, 0])) == (4, pytest.approx(4.0))


def test_jitter_takes_neighbours_as_often_as_told_and_only_neighbours():
    frames = 2000
    latents = torch.arange(frames, dtype=torch.float32).view(1, 1, frames)
    moved = (time_jitter(latents, torch.rand(1, frames, generator=torch.Generator().manual_seed(0)), 0.2) - latents)[
        0, 0
    ]
    assert set(moved.tolist()) == {-1.0, 0.0, 1.0}
    assert (moved != 0).float().mean() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(time_jitter(latents, torch.full((1, frames), 0.5), 0.2), latents)


def test_only_a_gradient_codebook_is_a_parameter():
    assert isinstance(quantizer("gradient").codebook, nn.Parameter)
    assert not list(quantizer("ema").parameters())


def test_the_commitment_rises_to_beta_in_its_steps_and_is_whole_when_measured():
    one, latents = quantizer("gradient", commitment_weight=0.5, commitment_warmup_steps=4), torch.randn(2, 3, 8)

    def weight() -> float:  # of the commitment: the loss is (1 + beta) distances
        quantised = one(latents)
        return float(quantised.loss.detach() / (latents - quantised.latents.detach()).square().mean()) - 1

    assert [weight() for _ in range(6)] == pytest.approx([0, 0.125, 0.25, 0.375, 0.5, 0.5], abs=1e-4)
    one.eval()
    assert weight() == pytest.approx(0.5, abs=1e-4)
