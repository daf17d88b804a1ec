"""Entropy coding with a prior."""

from pathlib import Path

import numpy as np
import pytest
import torch

import vqspeech
from vqspeech import InputError, config
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
    said = np.concatenate([*vqs_files.decode_blocks(model, [coded], prior=sampler)])
    assert np.array_equal(said, np.concatenate([*vqs_files.decode_blocks(model, [plain])]))
    with pytest.raises(InputError, match="give it with --prior"):
        list(vqs_files.decode_blocks(model, [coded]))
    other = PriorSampler(sampler.run._replace(digest="ab" * 32), model)
    with pytest.raises(InputError, match=f"prior {sampler.run.digest[:24]}, this one is abab"):
        list(vqs_files.decode_blocks(model, [coded], prior=other))
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
