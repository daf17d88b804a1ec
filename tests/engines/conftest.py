"""Fixtures of several files."""

import pytest
import torch

from vqspeech.nn.wavenet import WaveNet

SIZES = {
    "decoder": {"classes": 256, "start": 128, "residual": 48, "skip": 40, "layers": 7, "stack": 4, "kernel": 2},
    "odd": {"classes": 11, "start": 5, "residual": 7, "skip": 13, "layers": 3, "stack": 3, "kernel": 2},
    "one layer": {"classes": 30, "start": 0, "residual": 8, "skip": 8, "layers": 1, "stack": 1, "kernel": 2},
    "kernel 3": {"classes": 20, "start": 3, "residual": 16, "skip": 24, "layers": 4, "stack": 3, "kernel": 3},
    "kernel 1": {"classes": 20, "start": 3, "residual": 8, "skip": 8, "layers": 2, "stack": 2, "kernel": 1},
}
SIZES |= {
    "4 bands": {**SIZES["decoder"], "classes": 32, "start": 16, "bands": 4},
    "2 bands": {**SIZES["odd"], "bands": 2},
}
PRIOR = {"classes": 512, "start": 256, "residual": 16, "skip": 16, "layers": 4, "stack": 2, "kernel": 2}
HOPS = {**{name: (size, 8) for name, size in SIZES.items()}, "prior": (PRIOR, 1)}


@pytest.fixture(params=HOPS)
def talk(request):
    """A WaveNet whose choices matter, conditioning for three streams, a teacher and uniforms."""
    size, hop = HOPS[request.param]
    torch.manual_seed(1)
    wavenet = WaveNet(**size, cond=5).eval()
    with torch.no_grad():
        for parameter in wavenet.parameters():
            parameter.mul_(2)
    time, frames = 256, 256 // hop
    classes = torch.randint(0, size["classes"], (3, time))
    return wavenet, torch.randn(3, 5, frames), classes, torch.rand(3, time)
