"""Phone recogniser: it learns from real spectra alone, and teaches predicted ones alone."""

import torch

from vqspeech.nn.phone_recogniser import PhoneRecogniser


def test_the_recogniser_learns_from_real_spectra_and_the_model_from_the_recogniser():
    torch.manual_seed(0)
    recogniser = PhoneRecogniser(80, 2, 40, 1.5)
    real, posteriors = torch.randn(2, 80, 12), torch.softmax(torch.randn(2, 6, 40), dim=2)
    predicted = (real + 0.1 * torch.randn(2, 80, 12)).requires_grad_()
    losses = recogniser.losses(predicted, real, posteriors)
    losses["recogniser_feature_l1"].backward()
    assert predicted.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in recogniser.parameters())
    losses["recogniser_nats"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in recogniser.parameters())


def test_equal_spectra_have_no_loss_and_more_different_ones_more():
    torch.manual_seed(0)
    recogniser, real, noise = PhoneRecogniser(80, 2, 40, 1.0), torch.randn(2, 80, 12), torch.randn(2, 80, 12)
    posteriors = torch.full((2, 6, 40), 1 / 40)
    errors = [
        float(recogniser.losses(real + share * noise, real, posteriors)["recogniser_feature_l1"].detach())
        for share in (0.0, 0.2, 1.0)
    ]
    assert errors[0] < 1e-6 < errors[1] < errors[2]


def test_frames_without_labels_do_not_teach_the_recogniser():
    recogniser, real = PhoneRecogniser(80, 2, 40, 1.0), torch.randn(1, 80, 12)
    posteriors = torch.zeros(1, 6, 40)
    assert float(recogniser.losses(real, real, posteriors)["recogniser_nats"].detach()) == 0
    posteriors[0, 2, 7] = 1
    one = recogniser.losses(real, real, posteriors)["recogniser_nats"].detach()
    expected = -torch.log_softmax(recogniser(real)[-1], dim=1)[0, 7, 2].detach()
    assert torch.allclose(one, expected, atol=1e-6)
    assert recogniser.losses(real, real, None) == {}
