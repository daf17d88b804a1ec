"""The pitch of speech, and what codes foresee of it and of its spectra."""

import librosa
import numpy as np
import pytest
import torch

from vqspeech import config
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.acoustic_model import N_MFCC, AcousticModel
from vqspeech.nn.f0 import estimate_f0
from vqspeech.nn.mel import sliding_cmn

RATE, HOP = 16000, 320


def buzz(hertz: np.ndarray, harmonics: int = 10) -> torch.Tensor:
    """A voice whose F0 is given for each sample, (1, time)."""
    f0_to_phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.sin(k * f0_to_phase) / k for k in range(1, harmonics + 1))
    return torch.from_numpy(0.2 * wave.astype(np.float32))[None]


def sizes(hop: int = HOP, **acoustic) -> config.Model:
    tree = {
        "features": {"n_mels": 20, "hop_length": 160},
        "encoder": {"channels": 16, "strides": [hop // 160]},
        "quantizer": {"codebook_size": 8, "codebook_dim": 4},
        "acoustic": {"channels": 16} | acoustic,
        "wavenet": {"residual_channels": 8, "skip_channels": 8, "layers": 2, "layers_per_stack": 2},
        "cond_channels": 6,
        "speaker_dim": 4,
    }
    return config.Model.model_validate(tree)


def test_losses_tell_how_far_a_prediction_is_off():
    acoustic_model, wave, voices = AcousticModel(RATE, HOP, 5, 4, 16), buzz(np.full(3200, 200.0)), torch.zeros(1, 4)
    pitch = estimate_f0(wave, RATE, HOP)
    torch.manual_seed(0)
    spectra = torch.rand(1, 80, 20)  # nothing is under the floor
    right = acoustic_model(torch.zeros(1, 5, 10), voices)._replace(
        log_mel=spectra.transpose(1, 2).reshape(1, 10, -1), voicing_logits=torch.where(pitch > 0, 30.0, -30.0),
        log_f0=pitch.clamp_min(1).log(),
    )  # fmt: skip

    def losses(prediction):
        return acoustic_model.losses(prediction, voices, spectra, pitch)

    envelopes = ("envelope_l1", "envelope_movement_l1", "envelope_slope_l1")
    assert all(losses(right)[name] < 1e-6 for name in ("mel_l1", *envelopes, "mfcc_l1", "log2_f0_l1", "vuv_bce"))
    assert torch.allclose(right.f0, pitch)
    wrong = losses(
        right._replace(
            log_mel=right.log_mel + 0.5, voicing_logits=-right.voicing_logits, log_f0=right.log_f0 + np.log(2)
        )
    )
    assert [wrong[name] for name in ("mel_l1", *envelopes)] == pytest.approx([0.25, 0.5, 0, 0], abs=1e-5)
    assert wrong["log2_f0_l1"] == pytest.approx(1, abs=1e-5)
    assert wrong["vuv_bce"] == pytest.approx(30, abs=1e-3)
    band = torch.arange(80.0)
    tilted = losses(right._replace(log_mel=right.log_mel + 0.2 * torch.cos(np.pi / 80 * (band + 0.5)).repeat(2)))
    slopes = 0.2 * (torch.cos(np.pi / 80 * (band[4:] + 0.5)) - torch.cos(np.pi / 80 * (band[:-4] + 0.5)))
    assert tilted["envelope_slope_l1"] == pytest.approx(2 * float(slopes.abs().mean()), rel=1e-3)
    louder = losses(right._replace(log_mel=right.log_mel + 0.3 * (torch.arange(10) > 4)[None, :, None]))
    assert louder["envelope_movement_l1"] > 0.2
    assert louder["envelope_slope_l1"] < 1e-5
    ripple = losses(right._replace(log_mel=right.log_mel + 0.2 * (-1) ** (torch.arange(160) % 80)))
    assert ripple["mel_l1"] == pytest.approx(0.1, rel=1e-3)
    assert ripple["envelope_l1"] < 0.01  # fine structure is not in it


def test_what_is_too_faint_to_hear_is_not_compared():
    acoustic_model, voices, pitch = AcousticModel(RATE, HOP, 5, 4, 16), torch.zeros(1, 4), torch.zeros(1, 10)
    spectra = torch.full((1, 80, 20), -4.0)
    spectra[:, :40] = 0.0
    prediction = acoustic_model(torch.zeros(1, 5, 10), voices)._replace(
        log_mel=spectra.transpose(1, 2).reshape(1, 10, -1)
    )
    fainter = prediction._replace(log_mel=prediction.log_mel - 1.0 * (prediction.log_mel < -3))
    assert acoustic_model.losses(fainter, voices, spectra, pitch)["mel_l1"] < 1e-6
    louder = prediction._replace(log_mel=prediction.log_mel + 2.25 * (prediction.log_mel < -3))  # by 1 above the floor
    assert acoustic_model.losses(louder, voices, spectra, pitch)["mel_l1"] == pytest.approx(0.25, rel=1e-3)


def test_what_a_code_tells_alone_is_the_shape_of_its_own_frame_and_how_it_moves():
    acoustic_model, wave = AcousticModel(RATE, HOP, 5, 4, 16), buzz(np.geomspace(90, 250, 16000))
    spectra = acoustic_model.mel(wave)
    cosines = torch.cos(np.pi / 80 * torch.arange(N_MFCC)[:, None] * (torch.arange(80) + 0.5))
    weights = 0.5 * torch.arange(1, N_MFCC + 1.0)[:, None] ** 0.8
    shapes = (weights * torch.nn.functional.normalize(cosines) @ sliding_cmn(spectra, 200, 200)[0]).numpy()
    moves = librosa.feature.delta(shapes, width=9, mode="nearest")
    told = np.concatenate([shapes[1:], 6 * moves]).reshape(-1, 50, 2).mean(axis=2)[None]  # two steps a frame
    told = torch.from_numpy(told).float()
    assert acoustic_model.context_free_loss(told, spectra) < 1e-5
    assert acoustic_model.context_free_loss(told + 1, spectra) == pytest.approx(1, rel=1e-3)
    assert acoustic_model.context_free_loss(told.roll(3, dims=2), spectra) > 0.02


def test_what_is_heard_of_speech_has_cepstra_of_one_size(speech):
    """So that none of them drowns the others: each within a factor of three of the spread that is expected of all."""
    acoustic_model = AcousticModel(RATE, HOP, 5, 4, 16)
    wave = torch.from_numpy(np.concatenate([speech(2.0, seed=seed) for seed in range(4)]))[None]
    spread = acoustic_model._mfcc(acoustic_model._by_part(acoustic_model.mel(wave))).flatten(0, 2).std(0)
    assert ((spread > 1 / 3) & (spread < 3)).all()


def test_codes_foresee_departures_from_what_is_usual_of_a_voice():
    """Two voices that say the same codes differ by what is usual of them, and by their own way to depart from it."""
    torch.manual_seed(0)
    acoustic_model, context = AcousticModel(RATE, HOP, 5, 4, 16), torch.randn(1, 5, 10)
    with torch.no_grad():
        acoustic_model.speaker_mean.weight.normal_()
        low, high = torch.randn(2, 1, 4)
        assert not torch.allclose(
            acoustic_model(context, low).voicing_logits, acoustic_model(context, high).voicing_logits, atol=1e-3
        )
        acoustic_model.speaker.weight.zero_()  # from here on none has a way of its own
        one, other = acoustic_model(context, low), acoustic_model(context, high)
        speaker_mean = acoustic_model.speaker_means(high).log_f0 - acoustic_model.speaker_means(low).log_f0
        assert torch.allclose(other.log_f0 - one.log_f0, speaker_mean.expand(1, 10), atol=1e-5)
        assert torch.equal(one.voicing_logits, other.voicing_logits)
        assert torch.equal(one.conditioning, other.conditioning)
        sounding = torch.sigmoid(one.voicing_logits)[:, :, None]
        a, b = acoustic_model.speaker_means(low), acoustic_model.speaker_means(high)
        apart = (b.voiced - a.voiced) * sounding + (b.unvoiced - a.unvoiced) * (1 - sounding)
        assert torch.allclose(other.log_mel - one.log_mel, apart.repeat(1, 1, acoustic_model.parts), atol=1e-4)


def test_what_is_usual_of_a_voice_is_learned_from_what_it_sounds_like():
    acoustic_model, voices = AcousticModel(RATE, HOP, 5, 4, 16), torch.nn.Parameter(0.1 * torch.randn(2, 4))
    waves = torch.cat([buzz(np.full(9600, 110.0)), buzz(np.full(9600, 240.0))])
    pitch, spectra = estimate_f0(waves, RATE, HOP), acoustic_model.mel(waves)
    adam = torch.optim.Adam([voices, *acoustic_model.speaker_mean.parameters()], 0.03)
    for _ in range(150):
        acoustic_losses = acoustic_model.losses(acoustic_model(torch.zeros(2, 5, 30), voices), voices, spectra, pitch)
        adam.zero_grad()
        (acoustic_losses["speaker_mean_mel_l1"] + acoustic_losses["speaker_mean_log2_f0_l1"]).backward()
        adam.step()
    speaker_mean = acoustic_model.speaker_means(voices).log_f0[:, 0].exp()
    assert speaker_mean.tolist() == pytest.approx([110, 240], rel=0.05)


def drawn_outlines(acoustic_model: AcousticModel, recordings: int, frames: int) -> list:
    generator = torch.Generator().manual_seed(0)
    contexts = [3 * torch.randn(1, 5, frames, generator=generator) for _ in range(recordings)]
    with torch.no_grad():
        return [acoustic_model(one, torch.zeros(1, 4)) for one in contexts]


def spoken(acoustic_model: AcousticModel, prediction) -> torch.Tensor:
    """The log-mel spectra that an outline says: (1, bands, steps)."""
    return prediction.log_mel.reshape(1, -1, 80).transpose(1, 2)


def test_a_manner_is_the_linear_map_that_a_voice_departs_by(monkeypatch):
    monkeypatch.setattr("vqspeech.nn.acoustic_model.PRIOR_S", 1e-3)
    acoustic_model = AcousticModel(RATE, HOP, 5, 4, 16)
    predictions = drawn_outlines(acoustic_model, 3, 400)
    true = torch.zeros(acoustic_model.adaptation_shape)
    true[:-2] = 0.1 * torch.randn(true[:-2].shape, generator=torch.Generator().manual_seed(1))
    said = [acoustic_model.adapt(one, true[None]) for one in predictions]
    found = acoustic_model.fit_adaptation(predictions, [spoken(acoustic_model, one) for one in said])
    again = acoustic_model.adapt(predictions[0], found[None])
    assert (said[0].log_mel - predictions[0].log_mel).abs().mean() > 0.05
    assert (again.log_mel - said[0].log_mel).abs().max() < 0.01
    assert torch.equal(again.voicing_logits, predictions[0].voicing_logits)


def test_a_manner_gives_back_how_lively_a_voice_is_where_it_sounds_and_leaves_its_silence():
    acoustic_model = AcousticModel(RATE, HOP, 5, 4, 16)
    with torch.no_grad():
        acoustic_model.residual.weight[0] *= 30  # a voice or none, nothing between
    predictions = drawn_outlines(acoustic_model, 2, 3000)
    noise = torch.Generator().manual_seed(2)
    residuals = [
        0.5 * torch.randn(one.log_mel.shape, generator=noise) for one in predictions
    ]  # nothing that could be foreseen
    said = [one._replace(log_mel=one.log_mel + more) for one, more in zip(predictions, residuals, strict=True)]
    found = acoustic_model.fit_adaptation(predictions, [spoken(acoustic_model, one) for one in said])
    sounding = predictions[0].voicing_logits[0] > 10
    silent = predictions[0].voicing_logits[0] < -10
    assert min(sounding.sum(), silent.sum()) > 300
    own, plain, heard = (
        one.log_mel[0] for one in (acoustic_model.adapt(predictions[0], found[None]), predictions[0], said[0])
    )
    apart = lambda x: (x[sounding].std(0) / heard[sounding].std(0)).mean()  # noqa: E731
    assert apart(plain) < 0.8
    assert apart(own) == pytest.approx(1, abs=0.03)
    assert (own - plain)[silent].abs().mean() < 0.05


def test_a_share_of_an_adaptation_goes_that_part_of_the_way():
    acoustic_model = AcousticModel(RATE, HOP, 5, 4, 16)
    predictions = drawn_outlines(acoustic_model, 3, 400)
    target = [spoken(acoustic_model, one) + torch.linspace(-1, 1, 80)[:, None] for one in predictions]

    def moved(share: float) -> torch.Tensor:
        found = acoustic_model.fit_adaptation(predictions, target, share)
        return acoustic_model.adapt(predictions[0], found[None]).log_mel - predictions[0].log_mel

    whole, part = moved(1.0), moved(0.25)
    assert whole.abs().mean() > 0.3
    assert (part - 0.25 * whole).abs().mean() < 0.02


def test_a_voice_of_few_frames_has_hardly_a_manner():
    acoustic_model = AcousticModel(RATE, HOP, 5, 4, 16)
    predictions = drawn_outlines(acoustic_model, 1, 2)
    found = acoustic_model.fit_adaptation(
        predictions, [spoken(acoustic_model, predictions[0]) + torch.linspace(-1, 1, 80)[:, None]]
    )
    assert torch.isfinite(found).all()
    assert found[:-3].abs().max() < 0.02


def test_what_is_told_of_a_frame_depends_on_no_frame_beyond_the_foresight():
    torch.manual_seed(0)
    model = VQVAE.from_config(sizes(), 2).eval()
    with torch.no_grad():
        model.acoustic_model.to_conditioning.weight.normal_()
        latents = torch.randn(1, 4, 31)
        changed = latents.clone()
        changed[:, :, 15] += 1
        one, other = (model.condition(each, torch.tensor([1])) for each in (latents, changed))
    moved = (one - other).abs().amax((0, 1)).nonzero()[:, 0]
    assert (int(moved.min()), int(moved.max())) == (15 - model.right_context, 15 + model.left_context)
