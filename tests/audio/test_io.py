import numpy as np
import pytest
import soundfile

from vqspeech import InputError, audio


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_write_then_read_gives_the_wave_back(tmp_path, speech, name):
    wave = speech(0.5)
    audio.write(tmp_path / name, wave, 16000)
    assert np.abs(audio.read(tmp_path / name, 16000) - wave).max() <= 1 / 32767
    assert audio.info(tmp_path / name) == (16000, 0.5)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "FLOAT"), ("flac", None), ("ogg", "VORBIS"), ("opus", "OPUS"), ("mp3", None)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read_as_mono_of_the_right_length(tmp_path, speech, suffix, subtype, channels):
    wave = speech(0.6, 48000)
    kind = {"opus": "OGG"}.get(suffix, suffix.upper())
    soundfile.write(tmp_path / f"a.{suffix}", np.stack([wave] * channels, 1), 48000, subtype=subtype, format=kind)
    back = audio.read(tmp_path / f"a.{suffix}", 16000)
    assert back.ndim == 1
    assert back.dtype == np.float32
    assert abs(len(back) - 9600) <= 480  # lossy codecs may pad a little
    if suffix in ("wav", "flac"):
        assert len(back) == 9600


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_blocks_of_any_size_make_the_whole(tmp_path, speech, rate):
    soundfile.write(tmp_path / "a.wav", speech(1.0, rate), rate)
    whole = audio.read(tmp_path / "a.wav", 16000)
    assert len(whole) == 16000
    for block_s in (0.013, 0.1, 0.7):
        pieces = np.concatenate(list(audio.blocks(tmp_path / "a.wav", 16000, block_s)))
        assert len(pieces) == 16000
        assert np.abs(pieces - whole).max() < 1e-5


def test_a_part_is_the_part_of_the_whole(tmp_path, speech):
    audio.write(tmp_path / "a.wav", speech(1.0), 16000)
    whole = audio.read(tmp_path / "a.wav", 16000)
    assert np.array_equal(audio.read(tmp_path / "a.wav", 16000, 0.25, 0.5), whole[4000:8000])


def test_edges_stand_where_sound_begins_and_ends(speech):
    wave = np.concatenate([np.zeros(8000), speech(1.0), np.zeros(16000)]).astype(np.float32)
    start, end = audio.trim_bounds(wave, 16000)
    assert start == pytest.approx(0.5, abs=0.08)
    assert end == pytest.approx(1.5, abs=0.08)
    assert audio.trim_bounds(np.zeros(1600, np.float32), 16000) == (0.0, 0.1)


def bad_files(folder):
    good = folder / "good.wav"
    soundfile.write(good, np.zeros(16000), 16000)
    flac = folder / "good.flac"
    soundfile.write(flac, np.random.default_rng(0).standard_normal(48000) * 0.1, 16000)
    nan = np.zeros(1600, np.float32)
    nan[7] = np.nan
    soundfile.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound\n" * 20)
    (folder / "half.flac").write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.wav", "no such file"),
        ("", "is a folder"),
        ("empty.wav", "is empty"),
        ("none.wav", "holds no samples"),
        ("text.wav", "is not audio"),
        ("nan.wav", "not numbers"),
        ("half.flac", "cut short"),
    ],
)
def test_a_bad_file_is_told_in_one_line_that_names_it(tmp_path, name, message):
    bad_files(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        audio.read(tmp_path / name, 16000)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64"])
def test_a_part_of_a_recording_is_that_part_in_every_format(tmp_path, speech, kind):
    path = tmp_path / f"in.{kind.lower()}"
    soundfile.write(path, speech(3.0), 16000, format=kind)
    whole = audio.read(path, 16000)
    for start_s, end_s in ((0.126, 1.394), (2.5, None), (0.5, 0.6)):
        part = audio.read(path, 16000, start_s, end_s)
        expected = whole[round(start_s * 16000) : None if end_s is None else round(end_s * 16000)]
        assert np.allclose(part, expected, atol=1e-5)
