"""WaveNet: causal, with its receptive field and its conditioning."""

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


@torch.no_grad()
def test_no_symbol_changes_what_came_before_it_and_none_beyond_the_receptive_field(talk):
    wavenet, cond, classes, _ = talk
    said, at = wavenet(classes, cond), 100
    changed = classes.clone()
    changed[:, at] = (changed[:, at] + 1) % wavenet.classes
    difference = (wavenet(changed, cond) - said).abs().amax((0, 1))
    first, last = at + wavenet.bands, at + wavenet.receptive_field  # each the first symbol of a step
    assert torch.all(difference[:first] < 1e-4)
    assert torch.all(difference[first : first + wavenet.bands] > 1e-3)
    assert torch.all(difference[last : last + wavenet.bands] > 0)
    assert torch.all(difference[last + wavenet.bands :] < 1e-4)


def test_symbol_t_hears_the_frame_that_contains_it(talk):
    wavenet, cond, classes, _ = talk
    hop = classes.shape[1] // cond.shape[2]
    with torch.no_grad():
        said = wavenet(classes, cond)
        cond[:, :, 9] += 1
        difference = (wavenet(classes, cond) - said).abs().amax((0, 1))
    assert torch.all(difference[: 9 * hop] < 1e-4)
    assert difference[9 * hop] > 1e-3
