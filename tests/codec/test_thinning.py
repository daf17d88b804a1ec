"""Two codebooks all the way: archives, files, priors."""

import numpy as np
import pytest
import soundfile
import torch

import vqspeech
from vqspeech import InputError, SamplingConfig, config
from vqspeech.codec import bitstream, vqs_files
from vqspeech.codec.thinning import thin
from vqspeech.data import archives, corpus
from vqspeech.inference import tokens
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.models.vqvae import VQVAE
from vqspeech.training import tasks

PRIOR = {
    "residual_channels": 8,
    "skip_channels": 12,
    "layers": 4,
    "layers_per_stack": 3,
    "speaker_dim": 3,
    "codebook_size": 16,
    "codebooks": 2,
}


@pytest.fixture
def model(tiny, tmp_path, monkeypatch):
    """A model of two codebooks."""
    monkeypatch.setattr(bitstream, "CHUNK_FRAMES", 50)
    quantizer = tiny.model.quantizer.model_copy(update={"codebooks": 2})
    settings = tiny.model_copy(update={"model": tiny.model.model_copy(update={"quantizer": quantizer})})
    torch.manual_seed(0)
    checkpoint.init_run_dir(tmp_path / "run", settings, ["p225", "alice"])
    checkpoint.save(tmp_path / "run", VQVAE.from_config(settings.model, 2))
    return vqspeech.load(tmp_path / "run")


def encoded(model, wave, **options) -> bytes:
    return b"".join(vqs_files.encode_blocks(model, [wave], "alice", **options))


def decoded(model, data, **options) -> np.ndarray:
    return np.concatenate([*vqs_files.decode_blocks(model, [data], **options)])


def test_a_file_says_what_its_codes_say_and_thinned_what_the_first_codebook_says(model, speech):
    wave = speech(0.2)
    data, codes = encoded(model, wave), model.encode(wave)
    assert codes.shape == (200, 2)
    assert np.array_equal(decoded(model, data), model.decode(codes, "alice", length=len(wave)))
    first = encoded(model, wave, codebooks=1)
    assert b"".join(thin([data], 1)) == first
    assert np.array_equal(decoded(model, first), model.decode(codes[:, :1], "alice", length=len(wave)))
    assert np.array_equal(decoded(model, data, codebooks=1), decoded(model, first))
    for asked in (lambda: [*thin([first], 2)], lambda: encoded(model, wave, codebooks=3)):
        with pytest.raises(InputError, match=r"codebooks are requested, the .* has"):
            asked()


def test_a_model_of_fewer_codebooks_encodes_with_the_first_ones(model, speech):
    wave = speech(0.2)
    one = vqspeech.load(model.run, codebooks=1)
    assert one.codebooks == 1
    assert np.array_equal(one.encode(wave), model.encode(wave)[:, :1])
    assert encoded(one, wave) == encoded(model, wave, codebooks=1)
    with pytest.raises(InputError, match=r"3 codebooks are requested, the model has 2"):
        vqspeech.load(model.run, codebooks=3)


@pytest.mark.parametrize("codebook", [0, 1])
def test_a_damaged_codebook_costs_its_own_share(model, speech, codebook):
    wave, report = speech(0.2), []
    data = encoded(model, wave)
    reader = bitstream.Reader()
    chunks = [*reader.push(data)]
    at = len(bitstream.write_header(reader.header)) + sum(
        len(bitstream.write_chunk(one)) for one in chunks[: 2 + codebook]
    )
    damaged = data[: at + 8] + bytes([data[at + 8] ^ 1]) + data[at + 9 :]
    with pytest.raises(InputError, match="is damaged in chunk 1"):
        decoded(model, damaged)
    heard = decoded(model, damaged, conceal=True, report=report.append)
    assert len(heard) == len(wave)
    assert heard[800:1600].any() == (codebook == 1)
    assert len(report) == 1
    assert ("poorer" in report[0]) == (codebook == 1)


def test_a_gain_makes_louder_what_is_decoded(model, speech):
    wave = speech(0.1)
    plain, louder = (decoded(model, encoded(model, wave, gain_db=gain)) for gain in (0.0, -6.0))
    assert np.allclose(louder, plain * 10 ** (-6 / 20), atol=1e-6)


def test_archives_and_exports_keep_codebooks_apart(model, speech, tmp_path):
    tokens._cached_codec.cache_clear()
    soundfile.write(tmp_path / "a.wav", speech(0.2), 16000)
    corpus.write(tmp_path / "data", [corpus.Utterance("u", "alice", str(tmp_path / "a.wav"))])
    tokens.encode_corpus(tmp_path / "run", tmp_path / "data")
    tokens.merge_shards(tmp_path / "run", tmp_path / "data")
    (codes,) = archives.CodeShards(tmp_path / "data")
    assert codes.shape == (200, 2)
    tokens.write_text(tmp_path / "data", tmp_path / "codes.txt")
    words = (tmp_path / "codes.txt").read_text().split()
    assert words[1::2] == [f"a{code}" for code in codes[:, 0]]
    assert words[2::2] == [f"b{code}" for code in codes[:, 1]]
    tree = {
        "max_steps": 4,
        "segment_length": 40,
        "batch_size": 2,
        "precision": "float32",
        "evaluate_every": 4,
        "save_every": 4,
    }
    settings = config.from_tree({"prior": PRIOR, "training": tree}, "")
    numbers = tasks.train_prior(settings, [tmp_path / "data"], [tmp_path / "data"], tmp_path / "prior")
    for name in ("held_out", "unigram", "order_1"):
        each = [numbers[f"{name}_bits_per_code_{number}"] for number in (1, 2)]
        assert numbers[f"{name}_bits_per_code"] == pytest.approx(sum(each) / 2)


@pytest.fixture
def sampler(model, tmp_path):
    """An untrained prior with opinions."""
    settings = config.from_tree({"prior": PRIOR | {"model": model.run.digest}}, "")
    prior = Prior(settings.prior, 1)
    torch.nn.init.normal_(prior.wavenet.logits.weight, std=1.0)
    checkpoint.init_run_dir(tmp_path / "prior", settings, ["alice"])
    checkpoint.save(tmp_path / "prior", prior)
    return PriorSampler(tmp_path / "prior", model)


def test_a_prior_composes_what_the_parallel_pass_says_and_codes_both_codebooks(model, sampler, speech):
    prompt = np.random.default_rng(0).integers(16, size=(10, 2))
    (new,) = sampler.sample("alice", 8, sampling=SamplingConfig(0.0), prompt=prompt)
    whole = torch.from_numpy(np.concatenate([prompt, new]))[None]
    prior = sampler.run.model
    assert torch.equal(prior.logits(whole, prior.condition(torch.tensor([0])))[0, :, 10:].argmax(0), whole[0, 10:])
    wave = speech(0.1)
    data = encoded(model, wave, coder="prior", prior=sampler)
    assert np.array_equal(decoded(model, data, prior=sampler), decoded(model, encoded(model, wave)))
    with pytest.raises(InputError, match="the prior knows 2 codebooks, not 1"):
        encoded(model, wave, coder="prior", prior=sampler, codebooks=1)
