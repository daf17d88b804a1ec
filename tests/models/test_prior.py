"""Prior: it learns, and knows which model its codes are of."""

from pathlib import Path

import pytest
import soundfile
import torch

import vqspeech
from vqspeech import InputError, config
from vqspeech.data import corpus
from vqspeech.data.archives import CodeShards
from vqspeech.evaluation import likelihood
from vqspeech.inference import tokens
from vqspeech.models import checkpoint
from vqspeech.models.prior import Prior
from vqspeech.training import tasks

TREE = {
    "prior": {"residual_channels": 8, "skip_channels": 12, "layers": 4, "layers_per_stack": 3, "speaker_dim": 3},
    "training": {
        "batch_size": 4, "segment_length": 40, "learning_rate": 1e-2, "warmup_steps": 2, "max_steps": 60,
        "evaluate_every": 30, "save_every": 30, "ema_decay": 0.9, "precision": "float32", "input_noise": 0.05,
    },
}  # fmt: skip


@pytest.fixture
def data(run, tmp_path, speech) -> Path:
    tokens._cached_codec.cache_clear()
    utterances = []
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", speech(0.3, seed=number), 16000)
        utterances.append(
            corpus.Utterance(f"u{number}", ["p225", "alice"][number % 2], str(tmp_path / f"{number}.wav"))
        )
    corpus.write(tmp_path / "data", utterances)
    tokens.encode_corpus(run, tmp_path / "data")
    tokens.merge_shards(run, tmp_path / "data")
    return tmp_path / "data"


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


def test_training_a_prior_lowers_its_bits_and_names_its_model(run, data, tmp_path):
    settings = config.from_tree(TREE, "")
    numbers = tasks.train_prior(settings, [data], [data], tmp_path / "prior")
    assert numbers["held_out_bits_per_code"] < 3.5  # 4 bits is knowing nothing
    done = checkpoint.load_prior(tmp_path / "prior")
    assert done.config.prior.model == vqspeech.load(run).run.digest
    assert done.config.prior.codebook_size == 16
    places = [(CodeShards(data), at) for at in range(6)]
    (bits,) = likelihood.measure_prior(done.model, places, done.speakers)
    assert numbers["held_out_bits_per_code"] == pytest.approx(bits)
    assert numbers["uniform_bits_per_code"] == 4
    assert numbers["order_1_bits_per_code"] < numbers["unigram_bits_per_code"] < 4


def test_crops_of_codes_leave_out_what_is_not_there(data):
    from vqspeech.data.batches import UNKNOWN, CodeCrops

    crops = CodeCrops([CodeShards(data)], ["alice", "p225"], 400, 0, 16, noise=0.25)
    codes, past, _ = crops[0]
    assert (codes[300:] == UNKNOWN).all()
    assert ((codes[:300] >= 0) & (codes[:300] < 16)).all()
    assert ((past >= 0) & (past < 16)).all()
    assert 0.1 < (codes[:300] != past[:300]).float().mean() < 0.35
    assert all(torch.equal(first, second) for first, second in zip(crops[5][:2], crops[5][:2], strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"codebook_size": 17}, "set prior.codebook_size=16"), ({"layer": 3}, "did you mean 'layers'")],
)
def test_a_prior_that_does_not_fit_is_told(data, tmp_path, change, message):
    tree = TREE | {"prior": TREE["prior"] | change}
    with pytest.raises(InputError, match=message):
        tasks.train_prior(config.from_tree(tree, ""), [data], [data], tmp_path / "prior")
