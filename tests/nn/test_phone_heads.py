"""Phone heads: cross entropies of posteriors, in frames that have some."""

import math

import pytest
import torch
import torch.nn.functional as F

from vqspeech.nn.phone_heads import PhoneHeads

PHONES = 5


@pytest.fixture
def drawn():
    """Heads with opinions, latents and posteriors of which one frame has none."""
    generator = torch.Generator().manual_seed(0)
    heads = PhoneHeads(4, PHONES, 1.0, 0.5)
    for parameter in heads.parameters():
        parameter.data.normal_(generator=generator)
    latents = torch.randn(2, 4, 6, generator=generator)
    posteriors = torch.rand(2, 6, PHONES, generator=generator)
    posteriors = posteriors / posteriors.sum(2, keepdim=True)
    posteriors[1, 2] = 0
    return heads, latents, posteriors


def test_heads_begin_by_finding_every_phone_as_likely():
    posteriors = F.one_hot(torch.tensor([[0, 3, 4]]), PHONES).float()
    losses = PhoneHeads(4, PHONES, 1.0, 2.0).phone_losses(torch.randn(1, 4, 3), posteriors)
    assert float(losses["phone_nats"].detach()) == pytest.approx(math.log(PHONES))
    assert float(losses["phone_context_nats"].detach()) == pytest.approx(2 * math.log(PHONES))


def test_losses_are_the_weighted_cross_entropies_of_the_frames_that_have_posteriors(drawn):
    heads, latents, posteriors = drawn
    losses = heads.phone_losses(latents, posteriors)
    mask = posteriors.sum(2) > 0
    for name, head, weight in (("phone_nats", heads.phone, 1.0), ("phone_context_nats", heads.phone_context, 0.5)):
        expected = weight * F.cross_entropy(head(latents).transpose(1, 2)[mask], posteriors[mask])
        assert float(losses[name].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_code_alone_is_asked_by_one_head_and_its_neighbours_by_the_other(drawn):
    heads, latents, _ = drawn
    changed = latents.clone()
    changed[:, :, 3] += 1
    for head, frames in ((heads.phone, [3]), (heads.phone_context, [2, 3, 4])):
        differs = (head(changed) - head(latents)).abs().amax((0, 1)) > 1e-6
        assert differs.nonzero().flatten().tolist() == frames


def test_without_posteriors_or_weight_there_is_no_loss_and_without_a_labelled_frame_it_is_0(drawn):
    heads, latents, posteriors = drawn
    assert heads.phone_losses(latents, None) == {}
    assert list(PhoneHeads(4, PHONES, 0.0, 1.0).phone_losses(latents, posteriors)) == ["phone_context_nats"]
    losses = heads.phone_losses(latents, torch.zeros_like(posteriors))
    assert [float(loss.detach()) for loss in losses.values()] == [0.0, 0.0]
