"""Engines: step by step equals the parallel pass, and both engines draw alike."""

import pytest
import torch

from vqspeech.engines import numba_engine, torch_engine

ENGINES = [torch_engine, numba_engine]


@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_step_by_step_says_what_the_parallel_pass_says(engine, talk):
    wavenet, cond, classes, _ = talk
    assert (engine.logits(wavenet, classes, cond)[0] - wavenet(classes, cond)).abs().max() < 1e-4


def test_two_engines_draw_the_same_symbols_from_the_same_uniforms(talk):
    wavenet, cond, _, uniforms = talk
    for temperature in (1.0, 0.7, 0.0):
        first, second = (engine.generate(wavenet, cond, uniforms, temperature)[0] for engine in ENGINES)
        assert torch.equal(first, second)


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
    logits = wavenet(drawn, cond)
    assert torch.all(logits.gather(1, drawn[:, None])[:, 0] >= logits.amax(1) - 1e-3)


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


@pytest.mark.parametrize("engine", ENGINES)
def test_top_p_draws_from_the_likeliest_classes_only(engine, talk):
    wavenet, cond, _, uniforms = talk
    assert torch.equal(
        engine.generate(wavenet, cond, uniforms, top_p=1e-6)[0], engine.generate(wavenet, cond, uniforms, 0.0)[0]
    )
    drawn = engine.generate(wavenet, cond, uniforms, top_p=0.5)[0]
    shares = torch.softmax(engine.logits(wavenet, drawn, cond)[0], dim=1)
    drawn_share = shares.gather(1, drawn[:, None])
    likelier = (shares * (shares > drawn_share + 1e-5)).sum(1)
    assert likelier.max() < 0.5
    assert likelier.max() > 0.25


def test_two_engines_agree_on_top_p(talk):
    wavenet, cond, _, uniforms = talk
    first, second = (engine.generate(wavenet, cond, uniforms, 0.9, top_p=0.8)[0] for engine in ENGINES)
    assert torch.equal(first, second)


@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_each_symbol_may_have_a_temperature_of_its_own(engine, talk):
    wavenet, cond, _, uniforms = talk
    whole = engine.generate(wavenet, cond, uniforms, 0.7)[0]
    assert torch.equal(engine.generate(wavenet, cond, uniforms, torch.full_like(uniforms, 0.7))[0], whole)
    half = uniforms.shape[1] // 2
    temperatures = torch.where(torch.arange(2 * half) < half, 0.7, 0.0).expand_as(uniforms)
    drawn = engine.generate(wavenet, cond, uniforms, temperatures)[0]
    assert torch.equal(drawn[:, :half], whole[:, :half])
    logits = wavenet(drawn, cond)[:, :, half:]
    assert torch.all(logits.gather(1, drawn[:, None, half:])[:, 0] >= logits.amax(1) - 1e-3)
