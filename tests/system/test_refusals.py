"""Errors of the system in one line."""

from vqspeech.system.refusals import refusal


def test_refusals_are_a_line_and_faults_are_not():
    assert "x: Is a directory" in str(refusal(IsADirectoryError(21, "Is a directory", "x")))
    assert refusal(UnicodeEncodeError("cp1252", "x", 0, 1, "no"))
    assert refusal(RuntimeError("Could not determine home directory."))
    assert refusal(KeyError("x")) is None
