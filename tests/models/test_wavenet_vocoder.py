"""The WaveNet vocoder: sub-band symbols and back, features, training, and conversions that it speaks."""

import numpy as np
import pytest
import torch

from vqspeech import InputError, config
from vqspeech.audio import mulaw, preprocessing
from vqspeech.audio.io import write
from vqspeech.data import corpus, packing
from vqspeech.data.archives import MulawShards
from vqspeech.data.wave_batches import WaveCrops
from vqspeech.models import checkpoint, exporting
from vqspeech.models.vqvae import VQVAE
from vqspeech.models.wavenet_vocoder import WaveNetVocoder, interpolate_log_f0
from vqspeech.training import vocoder_tasks

SIZES = {
    "residual_channels": 16, "skip_channels": 16, "layers": 4, "layers_per_stack": 4, "cond_channels": 16, "n_mels": 20,
}  # fmt: skip


@pytest.fixture
def spoken(tmp_path, speech):
    """A data directory of two speakers, packed at 16 bits."""
    utterances = []
    for number in range(4):
        path = tmp_path / f"{number}.wav"
        write(path, speech(0.8, seed=number), 16000)
        utterances.append(corpus.Utterance(f"s{number % 2}-{number}", f"s{number % 2}", str(path)))
    corpus.write(tmp_path / "data", utterances)
    packing.pack(tmp_path / "data", 16000, bits=16)
    return tmp_path / "data" / "packed"


def settings(**training):
    return config.VocoderConfig(
        vocoder=config.Vocoder(**SIZES),
        training=config.Training(
            learning_rate=1e-2,
            warmup_steps=1,
            ema_decay=0.0,
            batch_size=2,
            segment_length=3200,
            decoder_segment_length=1600,
            evaluate_every=1000,
            log_audio=0,
            **training,
        ),
    )


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_symbols_are_turned_into_the_wave_that_they_were_made_of(speech, bands):
    vocoder, wave = WaveNetVocoder(config.Vocoder(**SIZES, bands=bands)), torch.from_numpy(speech(1.0))[None]
    vocoder.measure_gains_([wave])
    symbols = vocoder.symbols(wave)
    assert symbols.shape == wave.shape
    error = (vocoder.wave(symbols) - wave)[:, 100:-100]
    assert 10 * torch.log10(wave.square().mean() / error.square().mean()) > 30  # the noise of mu-law


def test_mu_law_of_a_tensor_is_that_of_an_array():
    wave = np.concatenate([np.linspace(-1.1, 1.1, 100_001), mulaw.LEVELS]).astype(np.float32)
    assert np.array_equal(mulaw.compress_tensor(torch.from_numpy(wave)).numpy(), mulaw.compress(wave))


def test_the_pitch_is_a_line_through_unvoiced_frames():
    octaves = interpolate_log_f0(torch.tensor([[0, 0, 100.0, 0, 0, 0, 200, 0], [0.0] * 8]))
    assert torch.allclose(octaves[0].diff(), torch.tensor([0, 0, 0.25, 0.25, 0.25, 0.25, 0]), atol=1e-6)
    assert octaves[1].abs().sum() == 0


def test_packed_samples_of_16_bits_are_the_recording(spoken, speech):
    packed = MulawShards(spoken)
    assert packed[0].dtype == np.int16
    [wave] = preprocessing.preprocessed([speech(0.8, seed=0)], 16000)
    assert np.abs(mulaw.as_wave(packed[0]) - wave).max() < 1e-4
    assert np.array_equal(mulaw.as_classes(packed[0]), mulaw.compress(mulaw.as_wave(packed[0])))


def test_crops_depend_on_their_number_alone_and_have_their_errors_in_the_past(spoken):
    crops = WaveCrops([MulawShards(spoken)], ["s0", "s1"], 3200, 1600, 160, 0, noise=2.0, noisy=0.5, gain_db=6.0)
    for number in range(20):
        for one, other in zip(crops[number], crops[number], strict=True):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    noisy = [crops[number][1].abs().sum() > 0 for number in range(60)]
    assert 15 < sum(noisy) < 45
    assert max(float(crops[number][0].abs().max()) for number in range(20)) <= 1


def test_predictions_of_a_crop_are_those_of_its_own_frames(spoken):
    packed, vocoder = MulawShards(spoken), WaveNetVocoder(config.Vocoder(**SIZES))
    predicted = []
    for at in range(len(packed)):
        wave = torch.from_numpy(mulaw.as_wave(packed[at])[: len(packed[at]) // 160 * 160])[None]
        spectra, pitch = vocoder.features(wave)
        predicted.append(torch.cat([spectra[0].t(), pitch[0, :, None]], dim=1).numpy())
    told = 0
    for gain_db, bound in ((0.0, 1e-4), (3.0, 0.02)):  # a gain is exact but for the floor under the logarithm
        crops = WaveCrops(
            [packed], ["s0", "s1"], 6400, 1600, 160, 0, gain_db=gain_db, predicted=[predicted], predicted_share=0.5
        )
        for number in range(20):
            wave, _, _, rows = crops[number]
            if not rows.isnan().all():
                told += 1
                acoustic_losses = (vocoder.features(wave[None]).log_mel[0].t() - rows[:, :-1]).abs()
                assert (
                    acoustic_losses[3:37][rows[3:37, :-1] > 0].mean() < bound
                )  # at its edges a crop has not heard the rest
    assert 8 < told < 32


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_a_vocoder_is_told_what_an_acoustic_model_predicts(tiny, spoken, tmp_path):
    encoder = tiny.model.encoder.model_copy(update={"strides": (4, 4, 5, 4)})
    known = tiny.model_copy(
        update={
            "model": tiny.model.model_copy(update={"encoder": encoder}),
            "training": tiny.training.model_copy(update={"segment_length": 3200}),
        }
    )
    checkpoint.init_run_dir(tmp_path / "known", known, ["s0", "s1"])
    checkpoint.save(tmp_path / "known", VQVAE.from_config(known.model, 2))
    eighty = {"vocoder": config.Vocoder(**SIZES | {"n_mels": 80})}
    predicting = {"predicted_features": 0.5, "acoustic_model": str(tmp_path / "known")}
    begun = settings(max_steps=2, **predicting).model_copy(update=eighty)
    assert vocoder_tasks.train_vocoder(begun, [spoken], [spoken], tmp_path / "run")["held_out_bits_per_sample"] > 0
    with pytest.raises(InputError, match="predicts no 20 mels"):
        vocoder_tasks.train_vocoder(settings(max_steps=2, **predicting), [spoken], [spoken], tmp_path / "few")
    with pytest.raises(InputError, match="needs an acoustic model"):
        vocoder_tasks.train_vocoder(settings(predicted_features=0.5), [spoken], [spoken], tmp_path / "none")
    checkpoint.init_run_dir(tmp_path / "strange", known, ["s0", "alice"])
    checkpoint.save(tmp_path / "strange", VQVAE.from_config(known.model, 2))
    strange = settings(max_steps=2, **predicting | {"acoustic_model": str(tmp_path / "strange")})
    with pytest.raises(InputError, match="does not know the speaker s1"):
        vocoder_tasks.train_vocoder(strange.model_copy(update=eighty), [spoken], [spoken], tmp_path / "other")


def test_a_vocoder_learns_and_goes_on_from_where_it_was_stopped(spoken, tmp_path):
    first = vocoder_tasks.train_vocoder(settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    last = vocoder_tasks.train_vocoder(settings(max_steps=30), [spoken], [spoken], tmp_path / "run")
    assert last["held_out_bits_per_sample"] < first["held_out_bits_per_sample"] - 0.3
    run = checkpoint.load_vocoder(tmp_path / "run")
    assert (run.model.gains > 0.5).all()


def test_another_kind_of_run_is_refused_in_a_line(spoken, tmp_path):
    vocoder_tasks.train_vocoder(settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    with pytest.raises(InputError, match="vocoder"):
        checkpoint.load(tmp_path / "run")
    other = settings(max_steps=1).model_copy(update={"vocoder": config.Vocoder(**SIZES, sample_rate=8000)})
    with pytest.raises(InputError, match="packed at 16000 Hz"):
        vocoder_tasks.train_vocoder(other, [spoken], [spoken], tmp_path / "other")
    with pytest.raises(InputError, match="multiple"):
        config.from_tree({"vocoder": {"bands": 4, "hop_length": 162}}, "x")
    begun = settings(max_steps=1, init_from=str(tmp_path / "run"))
    begun = begun.model_copy(update={"vocoder": config.Vocoder(**SIZES, bands=2)})
    with pytest.raises(InputError, match="other sizes"):
        vocoder_tasks.train_vocoder(begun, [spoken], [spoken], tmp_path / "bands")


def test_an_exported_vocoder_has_the_gains_of_its_bands_to_the_last_bit(spoken, tmp_path):
    vocoder_tasks.train_vocoder(settings(max_steps=1), [spoken], [spoken], tmp_path / "run")
    exporting.export(tmp_path / "run", tmp_path / "out", bfloat16=True)
    own, out = checkpoint.load_vocoder(tmp_path / "run").model, checkpoint.load_vocoder(tmp_path / "out").model
    assert torch.equal(own.gains, out.gains)
    assert torch.equal(own.wavenet.logits.weight.bfloat16().float(), out.wavenet.logits.weight)
    with pytest.raises(InputError, match="is a vocoder"):
        exporting.export(tmp_path / "run", tmp_path / "few", speakers=["s0"])
