"""Fixtures of several files."""

from pathlib import Path

import pytest
import torch

import vqspeech
from vqspeech import config
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
