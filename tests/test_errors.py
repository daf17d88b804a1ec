"""Errors and warnings for the user."""

import pytest

from vqspeech.errors import InputError, check_codebooks, warn


def test_a_warning_is_printed_once_each(capsys):
    for line in ("a.wav: is quiet", "b.wav: is quiet", "a.wav: is quiet"):
        warn(line)
    assert capsys.readouterr().err == "vqspeech: a.wav: is quiet\nvqspeech: b.wav: is quiet\n"


@pytest.mark.parametrize("available", [1, 2, 16])
def test_codebooks_are_at_least_one_and_no_more_than_there_are(available):
    for requested in range(1, available + 1):
        check_codebooks(requested, available, "the model")
    for requested in (-1, 0, available + 1):
        with pytest.raises(InputError) as error:
            check_codebooks(requested, available, "the model")
        numbers = f"{requested} codebooks are requested, the model has {available}"
        assert str(error.value) == f"{numbers}; choose 1 to {available}"
