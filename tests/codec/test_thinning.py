"""Thinning of files: the first codebooks alone, without decoding."""

import numpy as np
import pytest

from vqspeech import InputError
from vqspeech.codec import vqs_files
from vqspeech.codec.thinning import thin


def encoded(model, wave, **options) -> bytes:
    return b"".join(vqs_files.encode_blocks(model, [wave], "alice", **options))


def decoded(model, data, **options) -> np.ndarray:
    return np.concatenate([*vqs_files.decode_blocks(model, [data], **options)])


def test_a_file_says_what_its_codes_say_and_thinned_what_the_first_codebook_says(stacked_model, speech):
    wave = speech(0.2)
    data, codes = encoded(stacked_model, wave), stacked_model.encode(wave)
    assert codes.shape == (200, 2)
    assert np.array_equal(decoded(stacked_model, data), stacked_model.decode(codes, "alice", length=len(wave)))
    first = encoded(stacked_model, wave, codebooks=1)
    assert b"".join(thin([data], 1)) == first
    assert np.array_equal(decoded(stacked_model, first), stacked_model.decode(codes[:, :1], "alice", length=len(wave)))
    assert np.array_equal(decoded(stacked_model, data, codebooks=1), decoded(stacked_model, first))
    for asked in (lambda: [*thin([first], 2)], lambda: encoded(stacked_model, wave, codebooks=3)):
        with pytest.raises(InputError, match=r"codebooks are requested, the .* has"):
            asked()
