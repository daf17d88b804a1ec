import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqspeech.nn.pixelcnn import PixelCNN


def drawn(classes: int = 0, cond: int = 0, kernel: int = 3, layers: int = 3, scale: float = 2.0) -> PixelCNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = PixelCNN(7, 16, layers, kernel, classes, cond).eval()
        for parameter in net.parameters():
            parameter.data.mul_(scale)  # as drawn, the logits are nearly alike
        return net


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_symbol_hears_all_before_it_and_nothing_of_itself_or_later(kernel):
    """Perturbation: every symbol within reach is heard, so there is no blind spot; no later one is."""
    net, height, width = drawn(kernel=kernel, layers=6, scale=1.0).double(), 6, 6
    symbols = torch.randint(7, (1, height, width), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = net(symbols)
        for row in range(height):
            for column in range(width):
                other = symbols.clone()
                other[0, row, column] = (other[0, row, column] + 3) % 7
                moved = (net(other) - before).abs().amax(dim=1)[0].flatten() > 1e-12
                place = row * width + column
                assert not moved[: place + 1].any()
                assert moved[place + 1 :].all()


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 5), width=st.integers(1, 6), seed=st.integers(0, 99), kernel=st.sampled_from([3, 5]))
def test_generating_with_memory_is_generating_without(height, width, seed, kernel):
    net, random = drawn(3, 2, kernel), torch.Generator().manual_seed(seed)
    uniforms = torch.rand(2, height, width, generator=random)
    kinds, cond = torch.tensor([0, 2]), torch.randn(2, 2, height, width, generator=random)
    plain = torch.zeros(2, height, width, dtype=torch.long)
    with torch.no_grad():
        for row in range(height):
            for column in range(width):
                shares = net(plain, kinds, cond)[:, :, row, column].double().softmax(1).cumsum(1)
                plain[:, row, column] = (shares <= uniforms[:, row, column, None]).sum(1).clamp_max(6)
    assert torch.equal(net.generate(uniforms, kinds, cond), plain)


def test_classes_and_places_are_heard():
    net, symbols = drawn(3, 2), torch.zeros(1, 4, 4, dtype=torch.long)
    cond = torch.zeros(1, 2, 4, 4)
    there = cond.clone()
    there[0, :, 2, 1] = 1
    with torch.no_grad():
        one, other = (net(symbols, torch.tensor([kind]), cond) for kind in (0, 1))
        assert not torch.allclose(one, other)
        moved = (net(symbols, torch.tensor([0]), there) - one).abs().amax(dim=1)[0] > 1e-6
    assert moved[2, 1]
    assert not moved[:2].any()
    assert not moved[2, 0]


def test_it_learns_a_rule_of_the_row_above():
    """Each symbol is the one above it plus one: after some steps that is nearly certain, beside log 7 for a guess."""
    net, random = drawn().train(), torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(80):
        pictures = (torch.randint(7, (16, 1, 5), generator=random) + torch.arange(5)[:, None]) % 7
        loss = torch.nn.functional.cross_entropy(net(pictures)[:, :, 1:], pictures[:, 1:])
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.3
