"""Likelihood: bits are the model's own loss over whole utterances, and utterances are spread over all there are."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vqspeech import config
from vqspeech.data.archives import MulawShards
from vqspeech.data.batches import utterance_batch
from vqspeech.evaluation import likelihood
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.models.vqvae import VQVAE


class Utterances(list):
    """Arrays of codes with a speaker and a length each, as `CodeShards` gives them."""

    def __init__(self, lengths, speaker="alice", codebooks=1):
        draws = np.random.default_rng(0)
        super().__init__(draws.integers(0, 16, (length, codebooks)).astype(np.uint16) for length in lengths)
        self.rows = [SimpleNamespace(speaker=speaker, length=length) for length in lengths]


@pytest.fixture
def run_of_packed(tiny, tmp_path, packed) -> checkpoint.Run:
    """An untrained run that has the speakers of `packed`."""
    checkpoint.init_run_dir(tmp_path / "model", tiny, ["s0", "s1", "s2"])
    checkpoint.save(tmp_path / "model", VQVAE.from_config(tiny.model, 3))
    return checkpoint.load(tmp_path / "model")


def test_bits_per_sample_are_the_mean_of_the_losses_weighted_by_length(run_of_packed, packed):
    run, shards = run_of_packed, MulawShards(packed)
    bits, samples, counts = 0.0, 0, Counter()
    for at, row in enumerate(shards.rows):
        batch = utterance_batch(shards[at], run.speakers.index(row.speaker), run.model.hop)
        with torch.inference_mode():
            bits += float(run.model.loss(batch).parts["bits_per_sample"]) * batch.classes.shape[1]
        samples += batch.classes.shape[1]
        counts.update(run.model.encode(batch.classes).flatten().tolist())
    numbers = likelihood.measure(run, [shards], seconds=1e6).numbers
    assert numbers["held_out_bits_per_sample"] == pytest.approx(bits / samples, rel=1e-5)
    shares = np.array([*counts.values()]) / counts.total()
    assert numbers["held_out_codes_used"] == len(counts)
    assert numbers["held_out_perplexity"] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


def test_the_first_utterances_are_decoded_to_be_listened_to(run_of_packed, packed):
    measured = likelihood.measure(run_of_packed, [MulawShards(packed)], seconds=1e6, listen=2)
    assert list(measured.recordings) == ["reconstruction/s0_000", "reconstruction/s0_001"]
    assert [len(wave) for wave in measured.recordings.values()] == [3200, 4000]
    assert -1 <= measured.numbers["held_out_contour"] <= 1


@pytest.mark.parametrize("codebooks", [1, 2])
def test_a_prior_that_knows_nothing_needs_the_logarithm_of_its_alphabet(codebooks):
    sizes = {"residual_channels": 8, "skip_channels": 8, "layers": 2, "layers_per_stack": 2, "speaker_dim": 3}
    prior = Prior(config.Prior(codebook_size=16, codebooks=codebooks, **sizes), 1)
    torch.nn.init.zeros_(prior.wavenet.logits.weight)
    torch.nn.init.zeros_(prior.wavenet.logits.bias)
    part = Utterances([5, 9], codebooks=codebooks)
    bits = likelihood.measure_prior(prior, [(part, 0), (part, 1)], ["alice"])
    assert bits == pytest.approx([4.0] * codebooks)
    frequencies = torch.arange(1.0, 17).expand(codebooks, -1)
    prior.init_unigram_bias_(frequencies)
    shares = (frequencies[0] + 1) / (frequencies[0] + 1).sum()
    expected = [-float(shares[np.concatenate(part)[:, book].astype(int)].log2().mean()) for book in range(codebooks)]
    assert likelihood.measure_prior(prior, [(part, 0), (part, 1)], ["alice"]) == pytest.approx(expected, rel=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.floats(1, 500))
def test_what_is_spread_is_every_so_many_th_utterance_and_all_where_there_are_few(lengths, symbols):
    half = len(lengths) // 2
    parts = [Utterances(lengths[:half]), Utterances(lengths[half:])]
    chosen = likelihood.spread(parts, symbols)
    numbers = [at + (0 if part is parts[0] else half) for part, at in chosen]
    step = max(1, int(sum(lengths) / symbols))
    assert numbers == [*range(0, len(lengths), step)]
    if sum(lengths) <= symbols:
        assert len(chosen) == len(lengths)
