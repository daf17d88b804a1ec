"""Streaming equals offline coding."""

import numpy as np
import pytest

from vqspeech import InputError
from vqspeech.codec import streaming, vqs_files


def test_streaming_is_offline_for_any_cutting(model, short_chunks, speech):
    wave = speech(1.0)
    whole = b"".join(vqs_files.encode_blocks(model, [wave], "alice"))
    offline = np.concatenate([*vqs_files.decode_blocks(model, [whole])])
    rng = np.random.default_rng(0)
    for _ in range(5):
        encoder, decoder = streaming.StreamingEncoder(model, "alice"), streaming.StreamingDecoder(model)
        cuts = np.sort(rng.integers(0, len(wave), 6))
        pieces = [encoder.push(block) for block in np.split(wave, cuts)] + [encoder.finish()]
        assert b"".join(pieces) == whole
        cuts = np.sort(rng.integers(0, len(whole), 6))
        blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        blocks_out = [decoder.push(block) for block in blocks] + [decoder.finish()]
        assert np.array_equal(np.concatenate(blocks_out), offline)


def test_a_fault_reaches_whoever_pushed_it(model):
    with pytest.raises(InputError, match=r"is no \.vqs file"):
        streaming.StreamingDecoder(model).push(b"rubbish")
