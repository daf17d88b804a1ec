"""Fixtures of several files."""

import json
from pathlib import Path

import numpy as np
import pytest

from vqspeech import audio, config
from vqspeech.demo.service import DemoService
from vqspeech.demo.uploads import Limits
from vqspeech.models import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run directory of an untrained model with three voices, its prior beside it, and what a probe found."""
    import torch

    from vqspeech.models.prior import Prior
    from vqspeech.models.vqvae import VQVAE

    folder = tmp_path_factory.mktemp("demo") / "run"
    tree = {"encoder": {"channels": 8, "strides": [4, 4, 4, 5]}, "quantizer": {"codebook_size": 16, "codebook_dim": 4}}
    tree["wavenet"] = {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3}
    tree |= {"cond_channels": 6, "speaker_dim": 3}
    settings = config.from_tree({"model": tree, "training": {"segment_length": 3200}}, "")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.init_run_dir(folder, settings, ["alice", "p225", "p226"])
        checkpoint.save(folder, VQVAE.from_config(settings.model, 3))
        digest = checkpoint.load(folder).digest
        sizes = {"model": digest, "codebook_size": 16, "residual_channels": 8, "skip_channels": 8, "layers": 2}
        sizes |= {"layers_per_stack": 2, "speaker_dim": 3}
        prior = config.from_tree({"prior": sizes}, "")
        checkpoint.init_run_dir(folder / "prior", prior, ["alice", "p225", "p226"])
        checkpoint.save(folder / "prior", Prior(prior.prior, 3))
    counts = np.zeros((16, 41), int)
    counts[:8, 0] = counts[8:, 5] = counts[8:, 6] = 3
    found = {"phone_of_code": ["aa"] * 8 + ["b"] * 7, "codes_by_phone": counts[:15].tolist()}
    (folder / "probe.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def demo_service(run):
    made = DemoService([str(run)], Limits(recording_s=20.0))
    yield made
    made.upload_folder.close()


@pytest.fixture
def wav(tmp_path, speech) -> Path:
    audio.write(tmp_path / "my recording.wav", speech(2.0), 16000)
    return tmp_path / "my recording.wav"
