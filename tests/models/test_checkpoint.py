"""Checkpoints: changed and foreign runs are refused."""

import pytest

import vqspeech
from vqspeech import InputError
from vqspeech.models import checkpoint


def test_a_run_that_was_changed_is_refused_and_the_file_named(run):
    vqspeech.load(run)
    for name in ("config.yaml", "speakers.txt", "model.safetensors"):
        sound = (run / name).read_bytes()
        for place in (len(sound) // 2, len(sound) - 3):
            changed = bytearray(sound)
            changed[place] ^= 1
            (run / name).write_bytes(changed)
            with pytest.raises(InputError, match=name):
                vqspeech.load(run)
        (run / name).write_bytes(sound[: len(sound) // 2])
        with pytest.raises(InputError, match=name):
            vqspeech.load(run)
        (run / name).unlink()
        with pytest.raises(InputError, match=name):
            vqspeech.load(run)
        (run / name).write_bytes(sound)
    vqspeech.load(run)


def test_a_run_of_another_version_is_refused(run, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", "3")
    with pytest.raises(InputError, match="format '2', this version reads '3'"):
        vqspeech.load(run)
