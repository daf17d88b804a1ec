"""Training stages: acoustic model first, WaveNet on frozen codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vqspeech import InputError, config
from vqspeech.inference import speech_codec
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.training import tasks


def train(settings, packed: Path, run: Path, **changes) -> dict[str, float]:
    tree = settings.model_dump()
    tree["training"] |= changes
    return tasks.train_vqvae(config.from_tree(tree, "test"), [packed], [packed], run)


@pytest.mark.parametrize("tiny", [{"channels": 16}], indirect=True)
def test_a_sketch_learns_its_outline_and_a_voice_begins_with_it(tiny, packed, tmp_path):
    acoustic = {"stage": "acoustic", "evaluate_every": 200, "learning_rate": 3e-3}
    drawn, learned = (
        train(tiny, packed, tmp_path / "sketch", max_steps=steps, **acoustic)["held_out_mel_l1"] for steps in (1, 200)
    )
    assert learned < 0.5 * drawn
    run = checkpoint.load(tmp_path / "sketch")
    first = tasks.drawn(lambda: VQVAE.from_config(tiny.model, 3), 0).wavenet.state_dict()
    assert all(torch.equal(tensor, run.model.wavenet.state_dict()[name]) for name, tensor in first.items())
    model = speech_codec.SpeechCodec(run)
    codes = model.encode(np.zeros(1000, np.float32))
    with pytest.raises(InputError, match="has an untrained WaveNet; choose --vocoder source-filter"):
        speech_codec.SpeechCodec(run, "wavenet").decode(codes, "s0")
    assert len(model.decode(codes, "s0")) == 63 * 16
    with pytest.raises(InputError, match="describes another model"):
        train(tiny, packed, tmp_path / "sketch")
    numbers = train(tiny, packed, tmp_path / "run", init_from=str(tmp_path / "sketch"), max_steps=2)
    assert numbers["held_out_mel_l1"] < 1.3 * learned
    assert len(speech_codec.SpeechCodec(tmp_path / "run").decode(codes, "s0")) == 63 * 16


@pytest.mark.parametrize("tiny", [{}, {"channels": 16}], indirect=True)
@pytest.mark.parametrize("muon", [0.0, 5.0])
def test_a_wavenet_that_learns_alone_leaves_the_codes_and_their_outline_as_they_are(tiny, packed, tmp_path, muon):
    train(tiny, packed, tmp_path / "before", max_steps=3)
    with pytest.raises(InputError, match=r"needs codes that are learned; set training\.init"):
        train(tiny, packed, tmp_path / "none", stage="wavenet")
    only = {"stage": "wavenet", "init_from": str(tmp_path / "before"), "learning_rate": 3e-3, "muon_lr_ratio": muon}
    first, last = (
        train(tiny, packed, tmp_path / "run", max_steps=steps, evaluate_every=steps, **only)["held_out_bits_per_sample"]
        for steps in (1, 100)
    )
    assert last < 0.95 * first
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("before", "run"))
    learned = {name for name in before if not torch.equal(before[name], after[name])}
    layer = "acoustic_model.to_conditioning"
    layer = layer if f"{layer}.weight" in before else "context"
    assert {name for name in learned if not name.startswith("wavenet.")} == {f"{layer}.weight", f"{layer}.bias"}
    assert any(name.startswith("wavenet.") for name in learned)


def test_a_model_without_an_outline_may_be_begun_with_by_one_that_has(tiny, packed, tmp_path):
    train(tiny, packed, tmp_path / "plain", max_steps=2)
    tree = tiny.model_dump()
    tree["model"]["acoustic"] = {"channels": 16}
    prediction = config.from_tree(tree, "")
    train(prediction, packed, tmp_path / "run", init_from=str(tmp_path / "plain"), max_steps=1, learning_rate=1e-9)
    plain, staged = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "run"))
    names = [name for name in plain if "quantizer" not in name]
    assert all(torch.allclose(plain[name], staged[name], atol=1e-6) for name in names)


def test_a_sketch_needs_an_outline(tiny):
    tree = tiny.model_dump()
    tree["training"]["stage"] = "acoustic"
    with pytest.raises(InputError, match="the acoustic stage needs an acoustic model"):
        config.from_tree(tree, "test")
