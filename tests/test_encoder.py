import torch

from vqspeech.nn.encoder import Standardise


def test_standardising_is_batch_norm_without_scale_in_training_and_after_it():
    ours, twin = Standardise(5), torch.nn.BatchNorm1d(5, affine=False)
    torch.manual_seed(0)
    for _ in range(200):
        latents = 0.3 * torch.randn(4, 5, 50) + torch.arange(5.0)[:, None]
        assert torch.allclose(ours(latents), twin(latents), atol=1e-4)
    latents = torch.randn(1, 5, 7)
    assert torch.allclose(ours.eval()(latents), twin.eval()(latents), rtol=1e-2, atol=1e-2)  # n, n - 1


def test_latents_that_are_standardised_cannot_shrink():
    latents = torch.randn(4, 5, 50, requires_grad=True)
    out = Standardise(5)(0.1 * latents)
    assert torch.allclose(out.var((0, 2)), torch.ones(5), atol=0.02)
    out.square().mean().backward()  # the commitment of a codebook at 0
    assert latents.grad is not None
    assert latents.grad.abs().max() < 1e-3
