"""Uploads: strangers see names only."""

from vqspeech.demo.uploads import names_only


def test_strangers_see_names_only():
    line = names_only("/tmp/x y/a b.wav: is empty; see /srv/m/config.yaml", "/tmp/x y/a b.wav", "p225")
    assert line == "a b.wav: is empty; see config.yaml"
