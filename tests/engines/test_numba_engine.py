import numpy as np
import pytest
import torch

from vqspeech.engines import numba_engine
from vqspeech.nn.wavenet import WaveNet


def test_a_training_step_reaches_the_compiled_engine():
    wavenet = WaveNet(11, 5, 7, 13, 3, 3, 2, cond_channels=5).eval()
    cond, classes = torch.randn(1, 5, 4), torch.randint(0, 11, (1, 16))
    before, _ = numba_engine.logits(wavenet, classes, cond)
    with torch.no_grad():
        wavenet.logits.bias.add_(1)
    assert torch.allclose(numba_engine.logits(wavenet, classes, cond)[0], before + 1, atol=1e-5)


@torch.no_grad()
def test_stored_weights_are_the_rounded_ones(talk):
    wavenet, cond, classes, _ = talk
    logits = numba_engine.logits(wavenet, classes, cond, precision="bfloat16")[0]
    for layer in [*wavenet.taps, *wavenet.out, wavenet.head, wavenet.logits]:
        layer.weight.copy_(layer.weight.bfloat16())
    assert (logits - wavenet(classes, cond)).abs().max() < 1e-4


@pytest.mark.parametrize("precision", numba_engine.PRECISIONS)
def test_a_stream_is_the_same_in_any_batch_and_on_any_thread(precision, talk):
    wavenet, cond, _, uniforms = talk
    alone = [
        numba_engine.generate(wavenet, cond[s : s + 1], uniforms[s : s + 1], precision=precision) for s in range(3)
    ]
    for streams, threads in ((3, 1), (2, 2), (3, 3), (9, 2), (9, 16)):
        which = [stream % 3 for stream in range(streams)]
        together, state = numba_engine.generate(
            wavenet, cond[which], uniforms[which], precision=precision, threads=threads
        )
        for place, stream in enumerate(which):
            assert torch.equal(together[place], alone[stream][0][0])
            assert np.array_equal(state.memory[place], alone[stream][1].memory[0])
