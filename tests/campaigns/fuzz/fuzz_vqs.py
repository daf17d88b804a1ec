"""Coverage-guided fuzzing of the .vqs reader: python tests/campaigns/fuzz/fuzz_vqs.py -max_total_time=60.

Whatever the bytes, reading them ends in codes or in an InputError; and a file that a changed one still reads as says
the very codes that it said before.  Needs atheris.
"""

import sys

import atheris

with atheris.instrument_imports(include=["vqspeech"]):
    from vqspeech.codec import bitstream

import numpy as np

from vqspeech.errors import InputError

ALPHABET = 512
USAGE = np.arange(ALPHABET)
CODES = np.random.default_rng(0).integers(ALPHABET, size=60)
HEADER = bitstream.write_header(bitstream.Header("ab" * 12, 16000, 64, ALPHABET, "p225"))


def whole(kind: int, payload: bytes) -> bytes:
    """A file of one chunk."""
    return HEADER + bitstream.write_chunk(bitstream.Chunk(0, kind, payload, 60 * 64))


FILES = [
    whole(bitstream.PACKED, bitstream.pack(CODES, ALPHABET)),
    whole(bitstream.ADAPTIVE, bitstream.encode(CODES, bitstream.AdaptiveModel(USAGE))),
]


def read(data: bytes, conceal: bool) -> list[np.ndarray]:
    """The codes of a file's chunks, as `codec` reads them."""
    reader, codes_read = bitstream.Reader(conceal), []
    for chunk in [*reader.push(data), *reader.finish()]:
        frames = min(1024, -(-(chunk.length or 0) // 64))
        if chunk.kind == bitstream.PACKED:
            codes_read.append(bitstream.unpack(chunk.payload, frames, ALPHABET))
        elif chunk.kind == bitstream.ADAPTIVE:
            codes_read.append(bitstream.decode(chunk.payload, frames, bitstream.AdaptiveModel(USAGE)))
    return codes_read


def one_input(data: bytes) -> None:
    """Reads the bytes as they are, as the payload of a sound chunk, and as a change of a good file."""
    provider = atheris.FuzzedDataProvider(data)
    way, conceal = provider.ConsumeIntInRange(0, 3), provider.ConsumeBool()
    original = FILES[way % 2]
    if way < 2:
        at, rest = provider.ConsumeIntInRange(0, len(original)), provider.ConsumeBytes(64)
        changed = original[:at] + rest + original[at + len(rest) :]
    else:
        rest = provider.ConsumeBytes(4096)
        changed = rest if way == 2 else whole(bitstream.ADAPTIVE, rest[:2000])
    try:
        codes_read = read(changed, conceal)
    except InputError:
        return
    if way < 2 and not conceal and changed[: len(HEADER)] == HEADER:
        assert all(np.array_equal(codes, CODES) for codes in codes_read), "another sound, unannounced"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
