"""Entropy coding with a prior."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError, SamplingConfig, config
from vqspeech.codec import bitstream, entropy_coding, vqs_files
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior

TREE = {
    "prior": {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3, "speaker_dim": 3},
    "training": {
        "batch_size": 4, "segment_length": 40, "learning_rate": 1e-2, "warmup_steps": 2, "max_steps": 60,
        "evaluate_every": 30, "save_every": 30, "ema_decay": 0.9, "precision": "float32", "input_noise": 0.05,
    },
}  # fmt: skip
TWO_CODEBOOKS = TREE["prior"] | {"codebook_size": 16, "codebooks": 2}


@pytest.fixture
def prior(run, tmp_path) -> Path:
    """A run directory of an untrained prior of `run`."""
    tree = TREE | {"prior": TREE["prior"] | {"codebook_size": 16, "model": vqspeech.load(run).run.digest}}
    settings = config.from_tree(tree, "")
    torch.manual_seed(1)
    checkpoint.init_run_dir(tmp_path / "prior", settings, ["alice", "p225"])
    model = Prior(settings.prior, 2)
    torch.nn.init.normal_(model.wavenet.logits.weight, std=1.0)  # opinions, where there is no training
    checkpoint.save(tmp_path / "prior", model)
    return tmp_path / "prior"


def test_a_file_coded_with_a_prior_says_the_same_and_wants_its_own(run, prior, speech, monkeypatch):
    monkeypatch.setattr(bitstream, "CHUNK_FRAMES", 50)
    model, wave = vqspeech.load(run), speech(0.5)
    sampler = PriorSampler(prior, model)
    plain, coded = (
        b"".join(vqs_files.encode_blocks(model, [wave], "alice", coder, sampler)) for coder in ("packed", "prior")
    )
    assert len(coded) <= len(plain)
    monkeypatch.setattr(entropy_coding, "min", lambda payloads, key: payloads[-1], raising=False)  # the longest, too
    coded = b"".join(vqs_files.encode_blocks(model, [wave], "alice", "prior", sampler))
    assert {chunk.kind for chunk in bitstream.Reader().push(coded)} == {bitstream.PRIOR}
    output = np.concatenate([*vqs_files.decode_blocks(model, [coded], prior=sampler)])
    assert np.array_equal(output, np.concatenate([*vqs_files.decode_blocks(model, [plain])]))
    with pytest.raises(InputError, match="give it with --prior"):
        list(vqs_files.decode_blocks(model, [coded]))
    shutil.copytree(prior, run / "prior")  # the model's own is found
    assert np.array_equal(np.concatenate([*vqs_files.decode_blocks(model, [coded])]), output)
    another = PriorSampler(sampler.run._replace(digest="ab" * 32), model)
    with pytest.raises(InputError, match=f"prior {sampler.run.digest[:24]}, this one is abab"):
        list(vqs_files.decode_blocks(model, [coded], prior=another))
    with torch.no_grad():
        sampler.run.model.wavenet.logits.bias[3] += 0.5
    with pytest.raises(InputError, match=r"expects something else here|are no codes"):
        list(vqs_files.decode_blocks(model, [coded], prior=sampler))


def test_a_prior_of_another_model_is_told(run, prior, tmp_path):
    model = vqspeech.load(run)
    model.run = model.run._replace(digest="cd" * 32)
    with pytest.raises(InputError, match="this one is cdcd"):
        PriorSampler(prior, model)
    with pytest.raises(InputError, match="holds a prior"):
        vqspeech.load(prior)
    with pytest.raises(InputError, match="holds no prior"):
        PriorSampler(run, model)


def encoded(model, wave, **options) -> bytes:
    return b"".join(vqs_files.encode_blocks(model, [wave], "alice", **options))


def decoded(model, data, **options) -> np.ndarray:
    return np.concatenate([*vqs_files.decode_blocks(model, [data], **options)])


@pytest.fixture
def sampler(stacked_model, tmp_path):
    """An untrained prior with opinions."""
    settings = config.from_tree({"prior": TWO_CODEBOOKS | {"model": stacked_model.run.digest}}, "")
    prior = Prior(settings.prior, 1)
    torch.nn.init.normal_(prior.wavenet.logits.weight, std=1.0)
    checkpoint.init_run_dir(tmp_path / "prior", settings, ["alice"])
    checkpoint.save(tmp_path / "prior", prior)
    return PriorSampler(tmp_path / "prior", stacked_model)


def test_a_prior_composes_what_the_parallel_pass_says_and_codes_both_codebooks(stacked_model, sampler, speech):
    prompt = np.random.default_rng(0).integers(16, size=(10, 2))
    (new,) = sampler.sample("alice", 8, sampling=SamplingConfig(0.0), prompt=prompt)
    whole = torch.from_numpy(np.concatenate([prompt, new]))[None]
    prior = sampler.run.model
    assert torch.equal(prior.logits(whole, prior.condition(torch.tensor([0])))[0, :, 10:].argmax(0), whole[0, 10:])
    wave = speech(0.1)
    data = encoded(stacked_model, wave, coder="prior", prior=sampler)
    assert np.array_equal(
        decoded(stacked_model, data, prior=sampler), decoded(stacked_model, encoded(stacked_model, wave))
    )
    with pytest.raises(InputError, match="the prior knows 2 codebooks, not 1"):
        encoded(stacked_model, wave, coder="prior", prior=sampler, codebooks=1)
