import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import SamplingConfig
from vqspeech.inference.prior_sampler import PriorSampler


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_composing_after_a_prompt_is_what_the_parallel_pass_says(run, prior, engine):
    sampler = PriorSampler(prior, vqspeech.load(run, engine=engine))
    prompt = np.random.default_rng(0).integers(16, size=(30, 1))
    codes = sampler.sample("alice", 20, number=3, sampling=SamplingConfig(0.0, seed=5), prompt=prompt)
    wavenet, cond = sampler.run.model.wavenet, sampler.run.model.condition(torch.tensor([0]))
    for one in codes:  # the likeliest, all of them the same
        whole = torch.from_numpy(np.concatenate([prompt, one])[:, 0])[None]
        assert torch.equal(wavenet(whole, cond)[0, :, 30:].argmax(0), whole[0, 30:])


def test_a_sequence_depends_on_seed_and_number_alone(run, prior):
    sampler = PriorSampler(prior, vqspeech.load(run))
    three, five = (sampler.sample("p225", 25, number=number, sampling=SamplingConfig(seed=2)) for number in (3, 5))
    assert np.array_equal(three, five[:3])
    assert not np.array_equal(five[0], five[1])
    assert not np.array_equal(three, sampler.sample("p225", 25, number=3, sampling=SamplingConfig(seed=3)))
    nucleus = sampler.sample("p225", 25, sampling=SamplingConfig(top_p=1e-6, seed=2))
    assert np.array_equal(nucleus, sampler.sample("p225", 25, sampling=SamplingConfig(0)))


def test_what_a_prior_expects_are_the_frequencies_of_the_parallel_pass(run, prior):
    sampler = PriorSampler(prior, vqspeech.load(run))
    codes = np.random.default_rng(0).integers(16, size=12)
    expectation, heard = sampler.symbol_model("alice"), []
    for code in codes:
        heard.append(expectation.next())
        expectation.push(int(code))
    logits = sampler.run.model.wavenet(torch.from_numpy(codes)[None], sampler.run.model.condition(torch.tensor([0])))
    shares = torch.softmax(logits[0].double(), 0).T.detach().numpy()
    assert all(one.sum() == 65536 and one.min() > 0 for one in heard)
    assert np.abs(np.stack(heard) / 65536 - shares).max() < 1e-3
