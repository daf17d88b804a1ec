"""Containers: streams that were joined are told apart, and lengths that a header lacks are missed."""

import io

import pytest
import soundfile

from vqspeech import InputError, audio
from vqspeech.audio.containers import parts


def encoded(wave, kind: str, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, format=kind, **options)
    return file.getvalue()


def read(tmp_path, data: bytes, kind: str):
    (tmp_path / "in").write_bytes(data)
    return parts(tmp_path / "in", kind)


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "MP3"])
def test_streams_that_were_joined_are_found_where_they_were_joined(tmp_path, speech, kind):
    streams = [encoded(speech(seconds, seed=number), kind) for number, seconds in enumerate((0.5, 1.0, 0.3))]
    starts = [0, len(streams[0]), len(streams[0] + streams[1])]
    ranges = read(tmp_path, b"".join(streams), kind)
    assert [(part.start, part.size) for part in ranges] == [*zip(starts, map(len, streams), strict=True)]
    assert all(part.counted and part.torn_s == 0 for part in ranges)


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "MP3", "WAV"])
def test_one_recording_is_one_part_and_so_is_what_is_of_no_kind(tmp_path, speech, kind):
    data = encoded(speech(0.5), kind)
    (part,) = read(tmp_path, data, kind)
    assert (part.start, part.size) == (0, len(data))
    assert [(part.start, part.size) for part in read(tmp_path, b"no sound" * 9, kind)] == [(0, 72)]


def test_a_flac_and_an_mp3_that_count_nothing_are_not_relied_on(tmp_path, speech):
    flac = encoded(speech(0.5), "FLAC")
    (part,) = read(tmp_path, flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:], "FLAC")
    assert not part.counted
    mp3 = encoded(speech(0.5), "MP3", bitrate_mode="VARIABLE")
    header = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    (part,) = read(tmp_path, mp3[mp3.find(b"\xff", header + 120) :], "MP3")
    assert not part.counted


def test_a_flac_whose_first_block_has_another_length_is_refused_in_a_line(tmp_path, speech):
    """libsndfile opens it: 36 bytes are stated of a block that has 34, so that no stream of FLAC is found."""
    flac = bytearray(encoded(speech(0.5), "FLAC"))
    assert flac[7] == 34
    flac[7] = 36
    assert soundfile.info(io.BytesIO(flac)).format == "FLAC"
    assert [(part.start, part.size) for part in read(tmp_path, bytes(flac), "FLAC")] == [(0, len(flac))]
    with pytest.raises(InputError, match=r"cut short: 0\.00 s of the 0\.50 s"):
        audio.read(tmp_path / "in", 16000)


def test_tags_before_and_behind_an_mp3_make_no_stream_of_their_own(tmp_path, speech):
    mp3 = encoded(speech(0.5), "MP3")
    id3 = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 44]) + bytes(2 * 128 + 44)  # sizes are of seven bits a byte
    data = id3 + mp3 + b"TAG" + bytes(125)
    assert [(part.start, part.size) for part in read(tmp_path, data, "MP3")] == [(0, len(data))]
    assert len(read(tmp_path, id3 + mp3 + id3 + mp3, "MP3")) == 2


def test_an_ogg_that_is_cut_within_a_page_says_where_that_page_would_have_ended(tmp_path, speech):
    data = encoded(speech(2.0), "OGG")
    assert read(tmp_path, data[:-1], "OGG")[0].torn_s == pytest.approx(2.0, abs=0.05)
    assert read(tmp_path, data, "OGG")[0].torn_s == 0
