"""Crops: a function of seed and number, balanced over speakers, with a corrupted past."""

import numpy as np
import pytest
import torch

from vqspeech import InputError, config
from vqspeech.audio import mulaw
from vqspeech.data import archives, batches
from vqspeech.models import speaker_table
from vqspeech.training import tasks


def test_crops_depend_on_seed_and_number_alone_and_visit_everything(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, seed=3)
    again = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, seed=3)
    far = len(crops) * 5 + 7
    assert torch.equal(crops[far][0], again[far][0])
    assert torch.equal(crops[0][0], again[0][0])
    assert {crops[number][3] for number in range(len(crops))} == {0, 1, 2}
    first, second = ([crops[epoch * len(crops) + n][3] for n in range(len(crops))] for epoch in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


def test_balance_says_how_much_a_long_voice_is_heard_more_than_a_short_one(packed):
    part = archives.MulawShards(packed)
    lengths = {speaker: sum(row.length for row in part.rows if row.speaker == speaker) for speaker in part.speakers}
    speakers = sorted(lengths)
    for balance in (1.0, 0.5, 0.0):
        schedule = batches.CropSampler([part], speakers, 256, 3, balance)
        epochs = 20
        visits = np.bincount([schedule[number][1] for number in range(epochs * len(schedule))])
        expected = np.array([float(lengths[speaker]) for speaker in speakers]) ** balance
        assert visits / visits.sum() == pytest.approx(expected / expected.sum(), rel=0.03)
    once = batches.CropSampler([part], speakers, 256, 3, 0.5)
    twice = batches.CropSampler([part, part], speakers, 256, 3, 0.5)
    assert len(twice) == 2 * len(once)


def test_what_is_given_twice_is_heard_twice_and_was_not_said_twice(tiny, packed, tmp_path):
    tree = tiny.model_dump()
    tree["training"]["max_steps"] = 1
    tasks.train_vqvae(config.from_tree(tree, "test"), [packed, packed], [packed], tmp_path / "run")
    rows = archives.MulawShards(packed).rows
    seconds = {name: sum(row.length for row in rows if row.speaker == name) / 16000 for name in ("s0", "s1", "s2")}
    assert {name: info.seconds for name, info in speaker_table.read(tmp_path / "run").items()} == pytest.approx(
        seconds, abs=0.06
    )


def test_a_past_that_is_misheard_drifts_around_the_true_one():
    rng = np.random.default_rng(0)
    classes = mulaw.compress(0.1 * np.sin(np.arange(64000) / 7))
    assert np.array_equal(batches.corrupt_history(classes, rng, 0.0, 0.0), classes)
    past = batches.corrupt_history(classes, rng, 4.0, 0.0)
    level = [10 * np.log10(np.square(mulaw.expand(part)).reshape(-1, 320).mean(1)) for part in (classes, past)]
    assert np.std(level[1] - level[0]) == pytest.approx(4.0 * np.sqrt(2 / 3), rel=0.3)
    assert abs(np.mean(level[1] - level[0])) < 1.5
    noisy = batches.corrupt_history(classes, rng, 0.0, 3.0).astype(int) - classes
    assert 0 < np.std(noisy) <= 3.2


def test_crops_tell_the_past_beside_the_truth(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, 3, drift_db=6.0, noise=2.0)
    plain = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 256, 16, 3)
    assert torch.equal(crops[5][0], plain[5][0])
    assert torch.equal(plain[5][0], plain[5][1])
    forced = [torch.equal(crops[number][0], crops[number][1]) for number in range(40)]
    assert 10 < sum(forced) < 30
    unsure = forced.index(False)
    assert torch.equal(crops[unsure][1], crops[unsure][1])


def test_what_is_shorter_than_a_crop_is_followed_by_silence(packed):
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 16000, 16, seed=0)
    classes = crops[0][0].numpy()
    assert np.all(classes[9000:] == 128)
    assert not np.all(classes[:3000] == 128)


def test_a_shard_shorter_than_its_table_is_told(packed):
    shard = packed / "shard-00000.u8"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match="its table speaks of"):
        archives.MulawShards(packed)
    with pytest.raises(InputError, match="run `vqspeech data pack`"):
        archives.MulawShards(packed / "nowhere")
