"""Writing: nothing is left after an error."""

import numpy as np
import pytest

from vqspeech import InputError, audio


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    def interrupted():
        with audio.Writer(tmp_path / "a.wav", 16000) as file:
            file.write(np.zeros(100))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        interrupted()
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"end the name in \.wav or \.flac"):
        audio.write(tmp_path / "a.mp3", np.zeros(10), 16000)
    with pytest.raises(InputError, match="cannot be written"):
        audio.write(tmp_path / "no" / "folder.wav", np.zeros(10), 16000)
