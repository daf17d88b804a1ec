"""Training tasks: what a run directory holds, and what is checked before a step."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vqspeech import InputError, config
from vqspeech.audio import mulaw
from vqspeech.data import archives, batches
from vqspeech.models import checkpoint, exporting, speaker_table
from vqspeech.training import tasks


def train(settings, packed: Path, run: Path, **changes) -> dict[str, float]:
    tree = settings.model_dump()
    tree["training"] |= changes
    return tasks.train_vqvae(config.from_tree(tree, "test"), [packed], [packed], run)


def test_training_lowers_the_loss_and_leaves_a_run_directory(tiny, packed, tmp_path):
    numbers = train(tiny, packed, tmp_path / "run", max_steps=150, evaluate_every=150, learning_rate=1e-2)
    assert numbers["held_out_bits_per_sample"] < 7.0  # 8 bits is knowing nothing
    assert 1 <= numbers["held_out_perplexity"] <= numbers["held_out_codes_used"] <= 16
    run = checkpoint.load(tmp_path / "run")
    assert run.speakers == ["s0", "s1", "s2"]
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert {"bits_per_sample", "quantizer_loss", "held_out_bits_per_sample", "epoch_codes_used"} <= set().union(*rows)
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert len(list((tmp_path / "run/state").iterdir())) == 2


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_training_ends_with_each_voices_own_manner(tiny, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "ADAPTATION_SHARE", 1.0)  # a part of it is nearer, but not by as much
    train(tiny, packed, tmp_path / "run", max_steps=60, stage="acoustic", learning_rate=3e-3)
    run, part = checkpoint.load(tmp_path / "run"), archives.MulawShards(packed)
    net, mel = run.model, run.model.acoustic_model.mel

    def acoustic_losses() -> list[float]:
        errors = {name: [] for name in run.speakers}
        for at, row in enumerate(part.rows):
            batch = batches.utterance_batch(part[at], run.speakers.index(row.speaker), net.hop)
            wave = torch.from_numpy(mulaw.LEVELS[batch.classes.numpy()])
            prediction = net.predict_acoustics(net.quantizer.decode(net.encode(batch.classes)), batch.speakers)
            errors[row.speaker].append((prediction.log_mel - mel(wave).transpose(1, 2)).square().mean())
        return [float(sum(each)) for each in errors.values()]

    with torch.inference_mode():
        matched, net.adaptations = acoustic_losses(), net.adaptations.roll(1, 0)
        strange, net.adaptations = acoustic_losses(), None
        none = acoustic_losses()
    assert all(a < 0.9 * min(b, c) for a, b, c in zip(matched, none, strange, strict=True))


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_run_knows_that_labels_were_learned_from_before_it(tiny, packed, tmp_path):
    labelled = {"stage": "acoustic", "phone_weight": 1.0, "max_steps": 2}
    with pytest.raises(InputError, match="has no phone posteriors"):
        train(tiny, packed, tmp_path / "none", **labelled)
    train(tiny, packed, tmp_path / "run", stage="acoustic", max_steps=2)
    assert not checkpoint.has_phone_labels(checkpoint.load(tmp_path / "run").config)
    net, tasks = checkpoint.load_trained(tmp_path / "run").model, tiny.training.model_copy(update=labelled)
    checkpoint.init_run_dir(tmp_path / "with", tiny.model_copy(update={"training": tasks}), ["a", "b", "c"])
    checkpoint.save(tmp_path / "with", net)
    train(tiny, packed, tmp_path / "next", stage="acoustic", max_steps=2, init_from=str(tmp_path / "with"))
    assert checkpoint.has_phone_labels(checkpoint.load(tmp_path / "next").config)
    exporting.export(tmp_path / "next", tmp_path / "out")
    assert "learned with phone labels" in " ".join((tmp_path / "out/README.md").read_text().split())


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_training_that_is_over_leaves_the_run_and_its_enrolled_voices_alone(tiny, packed, tmp_path):
    settings = {"max_steps": 3, "stage": "acoustic"}
    train(tiny, packed, tmp_path / "run", **settings)
    run = checkpoint.load(tmp_path / "run")
    vector, adaptation = (np.ones(shape, np.float32) for shape in run.model.speaker_shapes)
    speaker_table.save(
        tmp_path / "run",
        run.digest,
        speaker_table.EnrolledSpeaker(speaker_table.SpeakerInfo("bob", 12.0, -20.0), vector, adaptation),
    )
    before = (tmp_path / "run/model.safetensors").read_bytes()
    train(tiny, packed, tmp_path / "run", **settings)
    assert (tmp_path / "run/model.safetensors").read_bytes() == before
    assert checkpoint.load(tmp_path / "run").speakers == [*run.speakers, "bob"]
    checkpoint.save(tmp_path / "run", checkpoint.load_trained(tmp_path / "run").model)
    assert checkpoint.load(tmp_path / "run").digest == run.digest


def test_what_does_not_fit_together_is_told_before_a_step(tiny, packed, tmp_path):
    with pytest.raises(InputError, match=r"packed at 16000 Hz, the config wants 8000 Hz"):
        tasks.train_vqvae(
            config.from_tree(tiny.model_dump() | {"model": tiny.model.model_dump() | {"sample_rate": 8000}}, ""),
            [packed], [packed], tmp_path / "run",
        )  # fmt: skip
    train(tiny, packed, tmp_path / "run", max_steps=1)
    tree = tiny.model_dump()
    tree["model"]["quantizer"]["codebook_size"] = 32
    with pytest.raises(InputError, match="describes another model"):
        tasks.train_vqvae(config.from_tree(tree, ""), [packed], [packed], tmp_path / "run")
    with pytest.raises(InputError, match=r"make it a multiple of 3"):
        train(tiny, packed, tmp_path / "run", grad_accum_steps=3)


def test_a_training_may_begin_with_the_weights_of_another_and_keeps_its_voices_by_name(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "first")
    rows = (packed / "shard-00000.tsv").read_text()
    renamed = tmp_path / "other"
    shutil.copytree(packed, renamed)
    (renamed / "shard-00000.tsv").write_text(rows.replace("\ts0\t", "\tnew\t"))
    still = {"max_steps": 1, "learning_rate": 1e-9, "warmup_steps": 0}
    train(tiny, renamed, tmp_path / "second", init_from=str(tmp_path / "first"), **still)
    first, second = (checkpoint.load(tmp_path / name) for name in ("first", "second"))
    assert first.speakers == ["s0", "s1", "s2"]
    assert second.speakers == ["new", "s1", "s2"]
    for name, weights in first.model.state_dict().items():
        if "quantizer" not in name and name != "speaker.weight":
            assert torch.allclose(second.model.state_dict()[name], weights, atol=1e-6), name
    before, after = first.model.speaker.weight, second.model.speaker.weight
    assert torch.allclose(after[1:], before[1:], atol=1e-6)
    assert torch.allclose(after[0], before.mean(0), atol=1e-6)
    fewer = tiny.model.model_copy(update={"quantizer": config.Quantizer(codebook_size=8, codebook_dim=4)})
    with pytest.raises(
        InputError, match=r"first: quantizer.codebooks.0.codebook is \(16, 4\), in this config \(8, 4\)"
    ):
        train(tiny.model_copy(update={"model": fewer}), packed, tmp_path / "third", init_from=str(tmp_path / "first"))


def test_a_training_may_add_codebooks_to_those_of_another(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "first", max_steps=20)
    more = tiny.model.quantizer.model_copy(update={"codebooks": 2})
    settings = tiny.model_copy(update={"model": tiny.model.model_copy(update={"quantizer": more})})
    train(settings, packed, tmp_path / "second", max_steps=20, init_from=str(tmp_path / "first"))
    first, second = (checkpoint.load(tmp_path / name).model for name in ("first", "second"))
    latents = second.latents(torch.randint(0, 256, (1, 1600), generator=torch.Generator().manual_seed(0))).detach()
    errors = [
        float((second.quantizer.decode(second.quantizer.encode(latents)[:, :, :books]) - latents).square().mean())
        for books in (1, 2)
    ]
    assert errors[1] < errors[0]  # the second one, which began with residuals of the first batch, helps
    assert torch.equal(second.quantizer.codebooks[1].cluster_size > 0, torch.ones(16, dtype=torch.bool))
    assert first.quantizer.first.codebook.shape == second.quantizer.first.codebook.shape
