import numba
import numpy as np
import pytest
import torch

from vqspeech.engines import kernels, numba_engine, simd, torch_engine
from vqspeech.nn.wavenet import WaveNet

ENGINES = [torch_engine, numba_engine]
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


@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_step_by_step_says_what_the_parallel_pass_says(engine, talk):
    wavenet, cond, classes, _ = talk
    assert (engine.logits(wavenet, classes, cond)[0] - wavenet(classes, cond)).abs().max() < 1e-4


def test_two_engines_draw_the_same_symbols_from_the_same_uniforms(talk):
    wavenet, cond, _, uniforms = talk
    for temperature in (1.0, 0.7, 0.0):
        one, other = (engine.generate(wavenet, cond, uniforms, temperature)[0] for engine in ENGINES)
        assert torch.equal(one, other)


@pytest.mark.parametrize("engine", ENGINES)
def test_pieces_make_the_whole_and_a_state_may_be_used_twice(engine, talk):
    wavenet, cond, _, uniforms = talk
    frames = cond.shape[2]
    hop, whole = uniforms.shape[1] // frames, engine.generate(wavenet, cond, uniforms)[0]
    for cuts in ([5, 6, 20], [frames // 2]):
        state, pieces = None, []
        for start, end in zip([0, *cuts], [*cuts, frames], strict=True):
            part = cond[:, :, start:end], uniforms[:, start * hop : end * hop], 1.0, state
            first, after = engine.generate(wavenet, *part)
            again, _ = engine.generate(wavenet, *part)
            assert torch.equal(first, again)
            state = after
            pieces.append(first)
        assert torch.equal(torch.cat(pieces, 1), whole)


@pytest.mark.parametrize("engine", ENGINES)
@torch.inference_mode()
def test_a_state_outlives_the_classes_that_came_with_it(engine, talk):
    wavenet, cond, _, uniforms = talk
    classes, state = engine.generate(wavenet, cond, uniforms)
    before, _ = engine.generate(wavenet, cond, uniforms, 1.0, state)
    classes.fill_(0)
    assert torch.equal(engine.generate(wavenet, cond, uniforms, 1.0, state)[0], before)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_is_a_loop_of_single_streams(engine, talk):
    wavenet, cond, _, uniforms = talk
    together = engine.generate(wavenet, cond, uniforms)[0]
    for stream in range(3):
        alone = engine.generate(wavenet, cond[stream : stream + 1], uniforms[stream : stream + 1])[0]
        assert torch.equal(alone[0], together[stream])


@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_what_is_drawn_is_the_inverse_of_the_cumulative_distribution(engine, talk):
    wavenet, cond, _, uniforms = talk
    drawn = engine.generate(wavenet, cond, uniforms)[0]
    edges = torch.softmax(wavenet(drawn, cond).double(), 1).cumsum(1)
    upper = edges.gather(1, drawn[:, None])[:, 0]
    lower = torch.where(drawn > 0, edges.gather(1, (drawn - 1).clamp_min(0)[:, None])[:, 0], torch.zeros(()))
    assert torch.all((lower - 1e-4 <= uniforms) & (uniforms <= upper + 1e-4))


@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_temperature_zero_takes_the_likeliest(engine, talk):
    wavenet, cond, _, uniforms = talk
    drawn = engine.generate(wavenet, cond, uniforms, 0.0)[0]
    said = wavenet(drawn, cond)
    assert torch.all(said.gather(1, drawn[:, None])[:, 0] >= said.amax(1) - 1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ends_of_the_unit_interval_draw_no_class_that_is_impossible(engine, talk):
    wavenet, cond, _, uniforms = talk
    last = wavenet.classes - 1
    with torch.no_grad():
        wavenet.logits.bias.unflatten(0, (wavenet.bands, -1))[:, [0, last]] = -1000
    for value in (0.0, 1 - 2**-24):
        drawn = engine.generate(wavenet, cond, torch.full_like(uniforms, value))[0]
        assert drawn.min() > 0
        assert drawn.max() < last


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


def test_a_training_step_reaches_the_compiled_engine():
    wavenet = WaveNet(**SIZES["odd"], cond=5).eval()
    cond, classes = torch.randn(1, 5, 4), torch.randint(0, 11, (1, 16))
    before, _ = numba_engine.logits(wavenet, classes, cond)
    with torch.no_grad():
        wavenet.logits.bias.add_(1)
    assert torch.allclose(numba_engine.logits(wavenet, classes, cond)[0], before + 1, atol=1e-5)


@numba.njit
def gates_(z, a, b):
    for c in range(0, len(z), 16):
        simd.store(z, c, kernels.gate(simd.load(a, c), simd.load(b, c)))


def test_the_gate_is_within_a_millionth():
    a, b = (grid.flatten() for grid in np.meshgrid(*[np.linspace(-20, 20, 400, dtype=np.float32)] * 2))
    z = np.empty_like(a)
    gates_(z, a, b)
    assert np.abs(z - np.tanh(a.astype(np.float64)) / (1 + np.exp(-b.astype(np.float64)))).max() < 1e-6


def test_the_exponential_is_within_four_millionths_of_itself():
    x = np.linspace(-87, 0, 20001, dtype=np.float32)
    wanted = np.exp(x.astype(np.float64))
    assert max(abs(kernels.exp(one) / other - 1) for one, other in zip(x, wanted, strict=True)) < 4e-6
    assert kernels.exp(np.float32(-1e30)) == 0


@torch.no_grad()
def test_stored_weights_are_the_rounded_ones(talk):
    wavenet, cond, classes, _ = talk
    heard = numba_engine.logits(wavenet, classes, cond, precision="bfloat16")[0]
    for layer in [*wavenet.taps, *wavenet.out, wavenet.head, wavenet.logits]:
        layer.weight.copy_(layer.weight.bfloat16())
    assert (heard - wavenet(classes, cond)).abs().max() < 1e-4


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


@pytest.mark.parametrize("engine", ENGINES)
def test_top_p_draws_from_the_likeliest_classes_only(engine, talk):
    wavenet, cond, _, uniforms = talk
    assert torch.equal(
        engine.generate(wavenet, cond, uniforms, top_p=1e-6)[0], engine.generate(wavenet, cond, uniforms, 0.0)[0]
    )
    drawn = engine.generate(wavenet, cond, uniforms, top_p=0.5)[0]
    shares = torch.softmax(engine.logits(wavenet, drawn, cond)[0], dim=1)
    own = shares.gather(1, drawn[:, None])
    likelier = (shares * (shares > own + 1e-5)).sum(1)
    assert likelier.max() < 0.5
    assert likelier.max() > 0.25


def test_two_engines_agree_on_top_p(talk):
    wavenet, cond, _, uniforms = talk
    one, other = (engine.generate(wavenet, cond, uniforms, 0.9, top_p=0.8)[0] for engine in ENGINES)
    assert torch.equal(one, other)
