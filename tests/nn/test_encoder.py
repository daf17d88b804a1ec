"""Encoder: frames of every stride, and causal blocks."""

import pytest
import torch

from vqspeech.nn.encoder import CausalBlocks, Encoder


@pytest.mark.parametrize("stride", range(1, 9))
@pytest.mark.parametrize("pictures", [False, True])
def test_every_stride_keeps_its_frames(stride, pictures):
    encoder = Encoder(1, 4, (stride, 2), 1, 3, pictures)
    time = 2 * stride * 5
    signal = torch.zeros((1, 1, time, time) if pictures else (1, 1, time))
    assert encoder(signal).shape == ((1, 3, 5, 5) if pictures else (1, 3, 5))


def test_causal_blocks_begin_as_nothing_and_see_the_past_alone():
    torch.manual_seed(0)
    blocks, x = CausalBlocks(4, 3), torch.randn(1, 4, 1, 40)
    assert torch.equal(blocks(x), x)
    for narrow in blocks.narrow:
        torch.nn.init.normal_(narrow.weight)
    x.requires_grad_(True)
    blocks(x)[0, :, 0, 30].sum().backward()
    heard = x.grad[0, :, 0].abs().sum(0).nonzero()[:, 0]
    assert (int(heard.min()), int(heard.max())) == (30 - blocks.context, 30)


def test_dropout_perturbs_training_alone():
    torch.manual_seed(0)
    encoder, signal = Encoder(1, 8, (2,), 1, 3, causal_blocks=1, dropout=0.5), torch.randn(1, 1, 16)
    assert not torch.equal(encoder(signal), encoder(signal))
    assert torch.equal(encoder.eval()(signal), encoder(signal))
    assert dict(encoder.state_dict()).keys() == Encoder(1, 8, (2,), 1, 3, causal_blocks=1).state_dict().keys()
