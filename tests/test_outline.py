"""The pitch of speech, and what codes foresee of it and of its spectra."""

import librosa
import numpy as np
import pytest
import torch

from vqspeech import config
from vqspeech.models.vqvae import VQVAE
from vqspeech.nn.draft import draft
from vqspeech.nn.mel import LogMel, relative
from vqspeech.nn.outline import CEPSTRA, Outline
from vqspeech.nn.pitch import glide, phase, pitch_hz

RATE, HOP = 16000, 320


def buzz(hertz: np.ndarray, harmonics: int = 10) -> torch.Tensor:
    """A voice whose F0 is given for each sample, (1, time)."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, harmonics + 1))
    return torch.from_numpy(0.2 * wave.astype(np.float32))[None]


@pytest.mark.parametrize("hertz", [70, 100, 155, 233, 390])
@pytest.mark.parametrize("hop", [64, 320, 640])
def test_the_pitch_of_a_buzz_is_its_fundamental(hertz, hop):
    heard = pitch_hz(buzz(np.full(16640, hertz)), RATE, hop)
    assert heard.shape == (1, 16640 // hop)
    assert (heard[0, 1024 // hop + 1 : -1024 // hop - 1] / hertz - 1).abs().max() < 0.02


def test_a_frame_has_the_pitch_of_its_own_middle():
    glide = np.geomspace(90, 250, 32000)
    heard = pitch_hz(buzz(glide), RATE, HOP)[0, 2:-2].numpy()
    assert np.abs(heard / glide[HOP // 2 :: HOP][2:-2] - 1).max() < 0.04


def test_noise_and_silence_have_no_pitch():
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1
    assert (pitch_hz(noise, RATE, HOP) > 0).float().mean() < 0.05
    assert not pitch_hz(torch.zeros(1, 16000), RATE, HOP).any()
    assert not pitch_hz(1e-4 * buzz(np.full(16000, 120)), RATE, HOP).any()


def test_between_the_middles_of_two_frames_the_pitch_glides_in_semitones():
    fine = glide(torch.tensor([[0.0, 100.0, 200.0, 0.0]]), HOP)[0].view(4, HOP)
    assert not fine[0].any()
    assert not fine[3].any()
    assert torch.allclose(fine[1, : HOP // 2], torch.tensor(100.0))  # nothing to glide from
    assert fine[1, -1] == pytest.approx(100 * 2**0.5, rel=0.01)
    assert torch.allclose(fine[2, HOP // 2 :], torch.tensor(200.0))


def test_a_phase_goes_on_from_where_it_was():
    pitch = glide(torch.tensor([[90.0, 120.0, 0.0, 200.0]]), HOP)
    whole = phase(pitch, RATE, 0.3)
    one = phase(pitch[:, :500], RATE, 0.3)
    other = phase(pitch[:, 500:], RATE, float(one[0, -1]))
    apart = (torch.cat([one, other], 1) - whole + 0.5).frac() - 0.5
    assert apart.abs().max() < 1e-4
    assert whole[0, 0] == pytest.approx(0.3 + 90 / RATE)


def sizes(hop: int = HOP, **decoder) -> config.Model:
    encoder = {"mels": 20, "mel_step": 160, "channels": 16, "strides": [hop // 160]}
    small = {"residual": 8, "skip": 8, "layers": 2, "stack": 2, "cond": 6, "speaker": 4, "outline": 16}
    tree = {"encoder": encoder, "quantiser": {"codes": 8, "dim": 4}, "decoder": small | decoder}
    return config.Model.model_validate(tree)


def test_an_outline_says_how_far_it_is_off():
    outline, wave, voices = Outline(RATE, HOP, 5, 4, 16), buzz(np.full(3200, 200.0)), torch.zeros(1, 4)
    pitch, spectra = pitch_hz(wave, RATE, HOP), outline.mel(wave)
    right = outline(torch.zeros(1, 5, 10), voices)._replace(
        spectra=spectra.transpose(1, 2).reshape(1, 10, -1), voicing=torch.where(pitch > 0, 30.0, -30.0),
        log_hz=pitch.clamp_min(1).log(),
    )  # fmt: skip
    names = ("outline_spectrum", "outline_formants", "outline_cepstra", "outline_octaves", "outline_voicing")
    assert all(outline.loss(right, voices, spectra, pitch)[name] < 1e-6 for name in names)
    assert torch.allclose(right.pitch, pitch)
    wrong = right._replace(spectra=right.spectra + 0.5, voicing=-right.voicing, log_hz=right.log_hz + np.log(2))
    off = outline.loss(wrong, voices, spectra, pitch)
    assert off["outline_spectrum"] == pytest.approx(0.5, abs=1e-5)
    assert off["outline_formants"] < 1e-6  # as slopes go, no difference
    steeper = right._replace(spectra=right.spectra + 0.1 * torch.arange(80.0).repeat(outline.parts))
    assert outline.loss(steeper, voices, spectra, pitch)["outline_formants"] == pytest.approx(0.4, abs=1e-4)
    assert off["outline_octaves"] == pytest.approx(1, abs=1e-5)
    assert off["outline_voicing"] == pytest.approx(30, abs=1e-3)


def test_what_a_code_tells_alone_is_the_shape_of_its_own_frame_and_how_it_moves():
    outline, wave = Outline(RATE, HOP, 5, 4, 16), buzz(np.geomspace(90, 250, 16000))
    spectra = outline.mel(wave)
    cosines = torch.cos(np.pi / 80 * torch.arange(CEPSTRA)[:, None] * (torch.arange(80) + 0.5))
    weights = 0.5 * torch.arange(1, CEPSTRA + 1.0)[:, None] ** 0.8
    shapes = (weights * torch.nn.functional.normalize(cosines) @ relative(spectra, 200)[0]).numpy()
    moves = librosa.feature.delta(shapes, width=9, mode="nearest")
    told = np.concatenate([shapes[1:], 6 * moves]).reshape(-1, 50, 2).mean(axis=2)[None]  # two steps a frame
    told = torch.from_numpy(told).float()
    assert outline.alone(told, spectra) < 1e-5
    assert outline.alone(told + 1, spectra) == pytest.approx(1, rel=1e-3)
    assert outline.alone(told.roll(3, dims=2), spectra) > 0.02


def test_what_is_heard_of_speech_has_cepstra_of_one_size(speech):
    """So that none of them drowns the others: each within a factor of three of the spread that is expected of all."""
    outline = Outline(RATE, HOP, 5, 4, 16)
    wave = torch.from_numpy(np.concatenate([speech(2.0, seed=seed) for seed in range(4)]))[None]
    spread = outline._cepstra(outline._by_part(outline.mel(wave))).flatten(0, 2).std(0)
    assert ((spread > 1 / 3) & (spread < 3)).all()


def test_codes_foresee_departures_from_what_is_usual_of_a_voice():
    """Two voices that say the same codes differ by what is usual of them, and by their own way to depart from it."""
    torch.manual_seed(0)
    outline, context = Outline(RATE, HOP, 5, 4, 16), torch.randn(1, 5, 10)
    with torch.no_grad():
        outline.usual.weight.normal_()
        low, high = torch.randn(2, 1, 4)
        assert not torch.allclose(outline(context, low).voicing, outline(context, high).voicing, atol=1e-3)
        outline.speaker.weight.zero_()  # from here on none has a way of its own
        one, other = outline(context, low), outline(context, high)
        usual = outline.voice(high).log_hz - outline.voice(low).log_hz
        assert torch.allclose(other.log_hz - one.log_hz, usual.expand(1, 10), atol=1e-5)
        assert torch.equal(one.voicing, other.voicing)
        assert torch.equal(one.told, other.told)
        sounding = torch.sigmoid(one.voicing)[:, :, None]
        a, b = outline.voice(low), outline.voice(high)
        apart = (b.sounding - a.sounding) * sounding + (b.silent - a.silent) * (1 - sounding)
        assert torch.allclose(other.spectra - one.spectra, apart.repeat(1, 1, outline.parts), atol=1e-4)


def test_what_is_usual_of_a_voice_is_learned_from_what_it_sounds_like():
    outline, voices = Outline(RATE, HOP, 5, 4, 16), torch.nn.Parameter(0.1 * torch.randn(2, 4))
    waves = torch.cat([buzz(np.full(9600, 110.0)), buzz(np.full(9600, 240.0))])
    pitch, spectra = pitch_hz(waves, RATE, HOP), outline.mel(waves)
    adam = torch.optim.Adam([voices, *outline.usual.parameters()], 0.03)
    for _ in range(150):
        off = outline.loss(outline(torch.zeros(2, 5, 30), voices), voices, spectra, pitch)
        adam.zero_grad()
        (off["outline_voice_spectrum"] + off["outline_voice_octaves"]).backward()
        adam.step()
    usual = outline.voice(voices).log_hz[:, 0].exp()
    assert usual.tolist() == pytest.approx([110, 240], rel=0.05)


def drawn_outlines(outline: Outline, recordings: int, frames: int) -> list:
    generator = torch.Generator().manual_seed(0)
    contexts = [3 * torch.randn(1, 5, frames, generator=generator) for _ in range(recordings)]
    with torch.no_grad():
        return [outline(one, torch.zeros(1, 4)) for one in contexts]


def spoken(outline: Outline, outlined) -> torch.Tensor:
    """The log-mel spectra that an outline says: (1, bands, steps)."""
    return outlined.spectra.reshape(1, -1, 80).transpose(1, 2)


def test_a_manner_is_the_linear_map_that_a_voice_departs_by(monkeypatch):
    monkeypatch.setattr("vqspeech.nn.outline.PULL_S", 1e-3)
    outline = Outline(RATE, HOP, 5, 4, 16)
    outlines = drawn_outlines(outline, 3, 400)
    true = torch.zeros(outline.mannerisms)
    true[:-2] = 0.1 * torch.randn(true[:-2].shape, generator=torch.Generator().manual_seed(1))
    said = [outline.mannered(one, true[None]) for one in outlines]
    found = outline.manner(outlines, [spoken(outline, one) for one in said])
    again = outline.mannered(outlines[0], found[None])
    assert (said[0].spectra - outlines[0].spectra).abs().mean() > 0.05
    assert (again.spectra - said[0].spectra).abs().max() < 0.01
    assert torch.equal(again.voicing, outlines[0].voicing)


def test_a_manner_gives_back_how_lively_a_voice_is_where_it_sounds_and_leaves_its_silence():
    outline = Outline(RATE, HOP, 5, 4, 16)
    with torch.no_grad():
        outline.foreseen.weight[0] *= 30  # a voice or none, nothing between
    outlines = drawn_outlines(outline, 2, 3000)
    noise = torch.Generator().manual_seed(2)
    off = [0.5 * torch.randn(one.spectra.shape, generator=noise) for one in outlines]  # nothing that could be foreseen
    said = [one._replace(spectra=one.spectra + more) for one, more in zip(outlines, off, strict=True)]
    found = outline.manner(outlines, [spoken(outline, one) for one in said])
    sounding = outlines[0].voicing[0] > 10
    silent = outlines[0].voicing[0] < -10
    assert min(sounding.sum(), silent.sum()) > 300
    own, plain, heard = (one.spectra[0] for one in (outline.mannered(outlines[0], found[None]), outlines[0], said[0]))
    apart = lambda x: (x[sounding].std(0) / heard[sounding].std(0)).mean()  # noqa: E731
    assert apart(plain) < 0.8
    assert apart(own) == pytest.approx(1, abs=0.03)
    assert (own - plain)[silent].abs().mean() < 0.05


def test_a_voice_of_few_frames_has_hardly_a_manner():
    outline = Outline(RATE, HOP, 5, 4, 16)
    outlines = drawn_outlines(outline, 1, 2)
    found = outline.manner(outlines, [spoken(outline, outlines[0]) + torch.linspace(-1, 1, 80)[:, None]])
    assert torch.isfinite(found).all()
    assert found[:-3].abs().max() < 0.02


def test_what_is_told_of_a_frame_depends_on_no_frame_beyond_the_foresight():
    torch.manual_seed(0)
    model = VQVAE(sizes(), 2).eval()
    with torch.no_grad():
        model.outline.told.weight.normal_()
        latents = torch.randn(1, 4, 31)
        changed = latents.clone()
        changed[:, :, 15] += 1
        one, other = (model.condition(each, torch.tensor([1])) for each in (latents, changed))
    moved = (one - other).abs().amax((0, 1)).nonzero()[:, 0]
    assert (moved - 15).abs().max() == model.foresight


@pytest.mark.parametrize("hertz", [90, 160, 300])
def test_a_draft_has_the_spectra_and_the_pitch_that_it_was_given(hertz):
    """The inverse of what is heard: spectra of a recording in, the same spectra and pitch out."""
    wave, mel = buzz(np.full(16000, hertz)), LogMel(RATE, 80, 160)
    wave[:, 12000:] = 0.05 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    spectra, pitch = mel(wave).transpose(1, 2), glide(pitch_hz(wave, RATE, HOP), HOP)
    noise = torch.rand(1, 16000, generator=torch.Generator().manual_seed(1))
    spoken = draft(mel, spectra, pitch, phase(pitch, RATE), noise, RATE)
    assert (mel(spoken).transpose(1, 2) - spectra).abs().mean() < 0.14  # 2.8 dB
    heard = pitch_hz(spoken, RATE, HOP)[0]
    assert (heard[2:34] / hertz - 1).abs().median() < 0.02
    assert not (heard[40:48] > 0).any()


def test_a_draft_of_silence_is_silence():
    mel = LogMel(RATE, 80, 160)
    spectra, pitch = mel(torch.zeros(1, 8000)).transpose(1, 2), torch.zeros(1, 8000)
    assert draft(mel, spectra, pitch, pitch, torch.rand(1, 8000), RATE).abs().max() < 1e-4
