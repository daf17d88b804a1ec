"""Training of a vocoder."""

import pytest

from vqspeech import InputError
from vqspeech.models import checkpoint
from vqspeech.models.vqvae import VQVAE
from vqspeech.training import vocoder_tasks


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_a_vocoder_is_told_what_an_acoustic_model_predicts(tiny, vocoder_settings, spoken, tmp_path):
    encoder = tiny.model.encoder.model_copy(update={"strides": (4, 4, 5, 4)})
    acoustic = tiny.model_copy(
        update={
            "model": tiny.model.model_copy(update={"encoder": encoder}),
            "training": tiny.training.model_copy(update={"segment_length": 3200}),
        }
    )
    checkpoint.init_run_dir(tmp_path / "known", acoustic, ["s0", "s1"])
    checkpoint.save(tmp_path / "known", VQVAE.from_config(acoustic.model, 2))
    predicting = {"predicted_features": 0.5, "acoustic_model": str(tmp_path / "known")}
    fitting = vocoder_settings({"n_mels": 80}, max_steps=2, **predicting)
    assert vocoder_tasks.train_vocoder(fitting, [spoken], [spoken], tmp_path / "run")["held_out_bits_per_sample"] > 0
    with pytest.raises(InputError, match="predicts no 20 mels"):
        vocoder_tasks.train_vocoder(vocoder_settings(max_steps=2, **predicting), [spoken], [spoken], tmp_path / "few")
    with pytest.raises(InputError, match="needs an acoustic model"):
        vocoder_tasks.train_vocoder(vocoder_settings(predicted_features=0.5), [spoken], [spoken], tmp_path / "none")
    checkpoint.init_run_dir(tmp_path / "strange", acoustic, ["s0", "alice"])
    checkpoint.save(tmp_path / "strange", VQVAE.from_config(acoustic.model, 2))
    predicting["acoustic_model"] = str(tmp_path / "strange")
    strange = vocoder_settings({"n_mels": 80}, max_steps=2, **predicting)
    with pytest.raises(InputError, match="does not know the speaker s1"):
        vocoder_tasks.train_vocoder(strange, [spoken], [spoken], tmp_path / "other")


def test_a_vocoder_learns_and_goes_on_from_where_it_was_stopped(vocoder_settings, spoken, tmp_path):
    first = vocoder_tasks.train_vocoder(vocoder_settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    last = vocoder_tasks.train_vocoder(vocoder_settings(max_steps=30), [spoken], [spoken], tmp_path / "run")
    assert last["held_out_bits_per_sample"] < first["held_out_bits_per_sample"] - 0.3
    run = checkpoint.load_vocoder(tmp_path / "run")
    assert (run.model.gains > 0.5).all()
