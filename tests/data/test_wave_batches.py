"""Crops of waves for a vocoder."""

import numpy as np
import torch

from vqspeech import config
from vqspeech.audio import mulaw, preprocessing
from vqspeech.data.archives import MulawShards
from vqspeech.data.wave_batches import WaveCrops
from vqspeech.models.wavenet_vocoder import WaveNetVocoder

SIZES = {
    "residual_channels": 16, "skip_channels": 16, "layers": 4, "layers_per_stack": 4, "cond_channels": 16, "n_mels": 20,
}  # fmt: skip


def test_packed_samples_of_16_bits_are_the_recording(spoken, speech):
    packed = MulawShards(spoken)
    assert packed[0].dtype == np.int16
    [wave] = preprocessing.preprocessed([speech(0.8, seed=0)], 16000)
    assert np.abs(mulaw.as_wave(packed[0]) - wave).max() < 1e-4
    assert np.array_equal(mulaw.as_classes(packed[0]), mulaw.compress(mulaw.as_wave(packed[0])))


def test_crops_depend_on_their_number_alone_and_have_their_errors_in_the_past(spoken):
    crops = WaveCrops([MulawShards(spoken)], ["s0", "s1"], 3200, 1600, 160, 0, noise=2.0, noisy=0.5, gain_db=6.0)
    for number in range(20):
        for part, again in zip(crops[number], crops[number], strict=True):
            assert torch.equal(torch.as_tensor(part), torch.as_tensor(again))
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
    n_predicted = 0
    for gain_db, bound in ((0.0, 1e-4), (3.0, 0.02)):  # a gain is exact but for the floor under the logarithm
        crops = WaveCrops(
            [packed], ["s0", "s1"], 6400, 1600, 160, 0, gain_db=gain_db, predicted=[predicted], predicted_share=0.5
        )
        for number in range(20):
            wave, _, _, rows = crops[number]
            if not rows.isnan().all():
                n_predicted += 1
                acoustic_losses = (vocoder.features(wave[None]).log_mel[0].t() - rows[:, :-1]).abs()
                assert (
                    acoustic_losses[3:37][rows[3:37, :-1] > 0].mean() < bound
                )  # at its edges a crop has not heard the rest
    assert 8 < n_predicted < 32
