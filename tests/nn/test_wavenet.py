"""WaveNet: causal, with its receptive field and its conditioning."""

import torch


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
