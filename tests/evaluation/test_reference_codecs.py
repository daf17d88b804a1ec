"""Reference codecs: installed programs, and a program that stands in for one."""

import sys

import numpy as np
import pytest

from vqspeech.evaluation import objective, reference_codecs
from vqspeech.evaluation.objective import Comparison

COPY = f"""#!{sys.executable}
import pathlib, sys
pathlib.Path(sys.argv[3]).write_bytes(pathlib.Path(sys.argv[2]).read_bytes())
"""


def of(name, reference, wave):
    return next(measure for measure in objective.MEASURES if measure.name == name).of(Comparison(reference, wave))


@pytest.mark.parametrize("peer", reference_codecs.installed(), ids=lambda peer: peer.name)
def test_an_installed_codec_gives_the_recording_back_smaller(wave, peer):
    coded = peer(wave)
    assert coded.size < len(wave) / 4
    backwards = coded.wave[::-1].copy()
    assert of("loudness_correlation", wave, coded.wave) > 0.5 + of("loudness_correlation", wave, backwards)
    assert of("mcd", wave, coded.wave) < of("mcd", wave, backwards)


def test_only_codecs_whose_program_is_there_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reference_codecs.installed() == []
    (tmp_path / "c2enc").touch(mode=0o755)
    assert [codec.program for codec in reference_codecs.installed()] == ["c2enc"] * 3


def test_a_program_that_copies_gives_the_band_below_4_khz_back(tmp_path, monkeypatch):
    """Codec 2 has 8 kHz: what stands in for it returns a tone of 1 kHz as it is, and nothing of one of 6 kHz."""
    for program in ("c2enc", "c2dec"):
        (tmp_path / program).write_text(COPY)
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    time_s = np.arange(16000) / 16000
    low, high = (0.25 * np.sin(2 * np.pi * hertz * time_s).astype(np.float32) for hertz in (1000, 6000))
    coded = reference_codecs.installed()[0](low + high)
    assert coded.size == 2 * 8000
    assert min(coded.encode_s, coded.decode_s) > 0
    middle = slice(1000, 15000)
    assert np.abs(coded.wave[: len(low)] - low)[middle].max() < 0.01
