"""Fixtures of several files."""

import pytest
import torch

from vqspeech.nn.wavenet import WaveNet

NAMES = ("classes", "start", "residual_channels", "skip_channels", "layers", "layers_per_stack", "kernel_size")
SIZES = {
    name: dict(zip(NAMES, values, strict=True))
    for name, values in {
        "decoder": (256, 128, 48, 40, 7, 4, 2),
        "odd": (11, 5, 7, 13, 3, 3, 2),
        "one layer": (30, 0, 8, 8, 1, 1, 2),
        "kernel 3": (20, 3, 16, 24, 4, 3, 3),
        "kernel 1": (20, 3, 8, 8, 2, 2, 1),
    }.items()
}
SIZES |= {
    "4 bands": {**SIZES["decoder"], "classes": 32, "start": 16, "bands": 4},
    "2 bands": {**SIZES["odd"], "bands": 2},
}
PRIOR = dict(zip(NAMES, (512, 256, 16, 16, 4, 2, 2), strict=True))
HOPS = {**{name: (size, 8) for name, size in SIZES.items()}, "prior": (PRIOR, 1)}


@pytest.fixture(params=HOPS)
def talk(request):
    """A WaveNet whose choices matter, conditioning for three streams, a teacher and uniforms."""
    size, hop = HOPS[request.param]
    torch.manual_seed(1)
    wavenet = WaveNet(**size, cond_channels=5).eval()
    with torch.no_grad():
        for parameter in wavenet.parameters():
            parameter.mul_(2)
    time, frames = 256, 256 // hop
    classes = torch.randint(0, size["classes"], (3, time))
    return wavenet, torch.randn(3, 5, frames), classes, torch.rand(3, time)
