"""Muon: orthogonal steps as long as those of Adam."""

import torch

from vqspeech.models.vqvae import VQVAE
from vqspeech.training.muon import RMS, Muon, orthogonal


def test_a_matrix_is_made_orthogonal_as_its_singular_values_would_be():
    drawn = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1))
    for matrices in (drawn, drawn.mT):
        u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
        along = u.mT @ orthogonal(matrices) @ vt.mT  # diagonal, if the singular vectors are kept
        values = along.diagonal(dim1=1, dim2=2)
        assert torch.allclose(along, torch.diag_embed(values), atol=1e-5)
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_muon_steps_are_as_long_as_adams_and_what_is_no_matrix_takes_adams_own(tiny):
    muons, adams = (VQVAE.from_config(tiny.model, 3) for _ in range(2))
    adams.load_state_dict(muons.state_dict())
    gradients = [torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) for weight in muons.parameters()]
    before = {name: weight.detach().clone() for name, weight in muons.named_parameters()}
    for net, optimiser in ((muons, Muon(muons, 1e-3, 1.0)), (adams, torch.optim.Adam(adams.parameters(), 1e-3))):
        for weight, gradient in zip(net.parameters(), gradients, strict=True):
            weight.grad = gradient.clone()
        optimiser.step()
    twins = dict(adams.named_parameters())
    for name, weight in muons.named_parameters():
        layer = name.removesuffix(".weight")
        if name.startswith("wavenet.") and name != layer and isinstance(muons.get_submodule(layer), torch.nn.Conv1d):
            step = (weight - before[name]).flatten(1)
            assert 0.6e-3 < float(step.detach().square().mean().sqrt()) / RMS < 1.3e-3, name
        else:
            assert torch.allclose(weight, twins[name], atol=1e-7), name
