"""Preprocessing: every type and shape becomes the same wave."""

import io

import numpy as np
import pytest
import soundfile

from vqspeech import InputError, audio
from vqspeech.audio.preprocessing import Survey, preprocessed

RATE = 16000


def encoded(wave, kind="WAV", subtype=None, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format=kind, subtype=subtype, **options)
    return file.getvalue()


def test_channels_that_cancel_are_told_and_the_louder_one_is_taken(tmp_path, speech, capsys):
    wave = speech(1.0)
    data = encoded(np.stack([wave, -0.8 * wave], 1), subtype="FLOAT")
    (tmp_path / "a.wav").write_bytes(data)
    assert np.allclose(audio.read(tmp_path / "a.wav", RATE), wave, atol=1e-6)
    assert "a.wav: its channels cancel" in capsys.readouterr().err
    assert np.allclose(np.concatenate(list(audio.piped(io.BytesIO(data))[1])), wave, atol=1e-6)
    assert "channels cancel" in capsys.readouterr().err


def test_a_float_file_in_the_range_of_int16_is_scaled_and_another_is_refused(tmp_path, speech):
    wave = speech(1.0)
    soundfile.write(tmp_path / "a.wav", wave * 32768, RATE, subtype="FLOAT")
    assert np.allclose(audio.read(tmp_path / "a.wav", RATE), wave, atol=1e-6)
    soundfile.write(tmp_path / "b.wav", wave * 1e8, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match="scale them"):
        audio.read(tmp_path / "b.wav", RATE)


def prepared(*blocks):
    return np.concatenate(list(preprocessed(blocks, RATE)))


def test_all_usual_types_and_shapes_become_the_same_wave(speech):
    wave = np.rint(speech(1.0) * 32767).astype(np.int16)
    floats = (wave / 32768).astype(np.float32)
    same = [wave, wave.astype(np.int32) << 16, floats.astype(np.float64), wave.astype(np.float32)]
    same += [np.stack([wave, wave], 1), np.stack([floats, floats]), floats[:, None]]
    for version in same:
        assert np.allclose(prepared(version), prepared(floats), atol=1e-6)
        assert prepared(version).dtype == np.float32


@pytest.mark.parametrize(
    "wave",
    [np.array([0.0, np.nan]), np.array([np.inf]), np.zeros(9, np.uint8), np.zeros((2, 3, 4)), np.array(["a"]),
     np.zeros(4, complex), np.float32(1), np.zeros((99, 99)), np.full(9, 1e9) * np.arange(9)],
)  # fmt: skip
def test_what_is_no_wave_is_refused_in_a_line(wave):
    with pytest.raises(InputError, match="the wave: ") as caught:
        prepared(wave)
    assert "\n" not in str(caught.value)


def test_an_offset_leaves_no_trace_and_blocks_no_seam(speech):
    wave = speech(1.0)
    assert np.abs(prepared(wave + np.float32(0.02)) - prepared(wave)).max() < 1e-6
    pieces = np.split(wave, [1, 700, 701, 9000])
    assert np.array_equal(prepared(*pieces), prepared(wave))
    assert np.abs(prepared(wave) - wave).max() < 0.1


@pytest.mark.filterwarnings("error")
def test_a_signalling_nan_counts_as_silence_in_a_survey():
    survey = Survey()
    survey.add(np.array([[0x7FA00000], [0x3F800000]], np.uint32).view(np.float32))
    assert survey.peak == 1.0
