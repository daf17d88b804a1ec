"""Speech as small files: recording -> codes -> .vqs, and back in its voice or another."""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio, bitstream
from vqspeech.bitstream import CHUNK_FRAMES, Chunk, Header
from vqspeech.composing import Composer
from vqspeech.errors import InputError
from vqspeech.files import arriving
from vqspeech.synthesis import Model, Request, Wave

DIGEST = 24
"""Hex digits of a model's digest that a file carries."""
ENTROPIES = ("packed", "adaptive", "prior")
_PIPE = Path("-")
_SIGNATURE = DIGEST // 2 + 4  # bytes


def encode_blocks(
    model: Model, blocks: Iterable[Wave], speaker: str = "", entropy: str = "adaptive", prior: Composer | None = None
) -> Iterator[bytes]:
    """A wave that arrives in blocks of any size, as the bytes of a .vqs.

    A chunk is written as soon as it is known: CHUNK_FRAMES codes, and the frames that the encoder looks ahead, after
    its first sample came in.

    Args:
        speaker: whose voice it is, for whoever decodes it; empty if it is none of the model's.
        entropy: one of ENTROPIES, the most that may be done to make the file small.
        prior: what "prior" expects codes with.

    Raises:
        InputError: an unknown speaker or entropy, or no prior where one is needed.
    """
    if speaker:
        model.speaker_index(speaker)
    if entropy not in ENTROPIES:
        raise InputError(f"entropy {entropy!r} is unknown; choose from {', '.join(ENTROPIES)}")
    if entropy == "prior" and prior is None:
        raise InputError("entropy 'prior' needs a prior; give its run directory with --prior")
    coders = _Coders(model, speaker, prior)
    samples, held, index = 0, np.zeros(0, np.int64), 0

    def counted() -> Iterator[Wave]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    alphabet = len(model.model.quantiser.counts)
    header = Header(model.run.digest[:DIGEST], model.sample_rate, model.hop, alphabet, speaker)
    yield bitstream.write_header(header)
    for codes in model.encode_blocks(counted()):
        held = np.concatenate([held, codes])
        while len(held) > CHUNK_FRAMES:  # more than: there is always something left for the last chunk
            yield _chunk(coders, entropy, index, held[:CHUNK_FRAMES], None)
            held, index = held[CHUNK_FRAMES:], index + 1
    yield _chunk(coders, entropy, index, held, samples)


def decode_blocks(
    model: Model,
    blocks: Iterable[bytes],
    speaker: str = "",
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    conceal: bool = False,
    prior: Composer | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Wave]:
    """The wave of a .vqs that arrives in blocks of any size, exactly as long as what was encoded.

    Args:
        speaker: another voice than the file names.
        prior: that of the file, if it was encoded with one.
        conceal: whether what is damaged becomes silence, and is told to `report`, instead of an error.

    Raises:
        InputError: no .vqs, one of another model, a damaged one, or one without a voice where none is given.
    """
    reader, length, lost = bitstream.Reader(conceal), None, list[tuple[int, int]]()

    def chunks() -> Iterator[Chunk]:
        for block in blocks:
            yield from reader.push(block)
        try:
            yield from reader.finish()
        except InputError as fault:
            if not conceal or reader.header is None:
                raise
            report(str(fault))

    def pieces() -> Iterator[NDArray[np.int64]]:
        nonlocal length
        expected = 0
        for chunk in chunks():
            _check(model, reader.header)
            length = chunk.length
            for missing in range(expected, chunk.number):
                lost.append((missing * CHUNK_FRAMES, (missing + 1) * CHUNK_FRAMES))
                yield np.zeros(CHUNK_FRAMES, np.int64)
            expected = chunk.number + 1
            coders = _Coders(model, reader.header.speaker if reader.header else "", prior)
            yield _codes(coders, chunk)

    codes = pieces()
    first = next(codes, None)
    _check(model, reader.header)
    voice = speaker or (reader.header.speaker if reader.header else "")
    if not voice:
        raise InputError("names no voice; choose one with --speaker")

    def again() -> Iterator[NDArray[np.int64]]:
        if first is not None:
            yield first
        yield from codes

    done = 0
    for _, wave in model.decode_many([Request(again(), voice, seed)], temperature, top_p):
        for start, end in lost:
            wave[max(0, start * model.hop - done) : max(0, end * model.hop - done)] = 0
        wave = wave if length is None else wave[: max(0, length - done)]
        done += len(wave)
        yield wave
    if lost:
        report(f"{len(lost)} chunks were damaged and are silence")


def encode_file(model: Model, source: Path, path: Path, **options: Any) -> None:
    """A recording as a .vqs that appears when it is whole; `-` stands for stdin (a 16-bit WAV) and stdout.

    Options are those of `encode_blocks`.

    Raises:
        InputError: as `encode_blocks` and `audio.blocks`, and a path that cannot be written.
    """
    if source == _PIPE:
        rate, piped = audio.piped(sys.stdin.buffer)
        blocks = audio.resampled(piped, rate, model.sample_rate)
    else:
        blocks = audio.blocks(source, model.sample_rate)
    with _written(path) as file:
        for data in encode_blocks(model, blocks, **options):
            file.write(data)
            file.flush()


def decode_file(model: Model, source: Path, path: Path, **options: Any) -> None:
    """The recording of a .vqs, as WAV or FLAC; `-` stands for stdin and stdout.  Options are those of `decode_blocks`.

    Raises:
        InputError: as `decode_blocks`, with the file's name.
    """
    try:
        with sys.stdin.buffer if source == _PIPE else source.open("rb") as file:
            reader: Any = file
            waves = decode_blocks(model, iter(lambda: reader.read1(1 << 16), b""), **options)
            with audio.PipeWriter(model.sample_rate) if path == _PIPE else audio.Writer(path, model.sample_rate) as out:
                for wave in waves:
                    out.write(wave)
    except FileNotFoundError:
        raise InputError(f"{source}: no such file; check the name") from None
    except IsADirectoryError:
        raise InputError(f"{source}: is a folder; name the files in it") from None
    except InputError as fault:
        raise InputError(f"{source}: {fault}") from None


def usage(model: Model) -> NDArray[np.int64]:
    """How often each code came towards the end of training, of 65,536: integers, the same on any machine."""
    counts = model.model.quantiser.counts.double().cpu().numpy()
    return np.floor(counts / max(float(counts.sum()), 1e-9) * 65536).astype(np.int64)


class _Coders(NamedTuple):
    """What codes of a voice may be coded with."""

    model: Model
    speaker: str
    prior: Composer | None

    def frequencies(self, kind: int) -> bitstream.Frequencies:
        """What is expected of a chunk, at its beginning."""
        if kind == bitstream.ADAPTIVE:
            return bitstream.Adaptive(usage(self.model))
        assert self.prior is not None
        return self.prior.expect(self.speaker)


def _chunk(coders: _Coders, entropy: str, index: int, codes: NDArray[np.integer], length: int | None) -> bytes:
    """The shortest chunk; a prior's is decoded again before it is trusted."""
    payloads = [(bitstream.PACKED, bitstream.pack(codes, len(coders.model.model.quantiser.counts)))]
    if entropy != "packed":
        payloads += [(bitstream.ADAPTIVE, bitstream.encode(codes, coders.frequencies(bitstream.ADAPTIVE)))]
    if entropy == "prior" and coders.prior:
        words = bitstream.encode(codes, coders.frequencies(bitstream.PRIOR))
        if np.array_equal(bitstream.decode(words, len(codes), coders.frequencies(bitstream.PRIOR)), codes):
            payloads += [(bitstream.PRIOR, _signature(coders.prior, codes) + words)]
    kind, payload = min(payloads, key=lambda one: len(one[1]))
    return bitstream.write_chunk(Chunk(index, kind, payload, length))


def _codes(coders: _Coders, chunk: Chunk) -> NDArray[np.int64]:
    model, frames = coders.model, CHUNK_FRAMES
    if chunk.length is not None:
        frames = -(-chunk.length // model.hop) - chunk.number * CHUNK_FRAMES
        if not 0 <= frames <= CHUNK_FRAMES:
            raise InputError(f"ends at sample {chunk.length}, beyond its last chunk; copy the file again")
    if chunk.kind == bitstream.PACKED:
        return bitstream.unpack(chunk.payload, frames, len(model.model.quantiser.counts))
    if chunk.kind == bitstream.ADAPTIVE:
        return bitstream.decode(chunk.payload, frames, coders.frequencies(chunk.kind))
    signature, words = chunk.payload[:_SIGNATURE], chunk.payload[_SIGNATURE:]
    of = signature[:-4].hex()
    if coders.prior is None:
        raise InputError(f"was coded with prior {of}; give it with --prior")
    if of != coders.prior.run.digest[:DIGEST]:
        raise InputError(f"was coded with prior {of}, this one is {coders.prior.run.digest[:DIGEST]}; give its own")
    codes = bitstream.decode(words, frames, coders.frequencies(chunk.kind))
    if _signature(coders.prior, codes) != signature:
        raise InputError(
            f"the prior expects something else here than where chunk {chunk.number} was encoded (another processor or "
            "version); decode it there, or encode it again with --entropy adaptive"
        )
    return codes


def _signature(prior: Composer, codes: NDArray[np.integer]) -> bytes:
    """The prior's digest, and the CRC of the codes: floating-point sums may differ elsewhere."""
    crc = zlib.crc32(codes.astype("<u2").tobytes())
    return bytes.fromhex(prior.run.digest[:DIGEST]) + crc.to_bytes(4, "little")


def _check(model: Model, header: Header | None) -> None:
    assert header is not None  # or the reader had raised
    if header.model != model.run.digest[:DIGEST]:
        raise InputError(
            f"was encoded with model {header.model}, this one is {model.run.digest[:DIGEST]}; give its own with --model"
        )


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole, or stdout."""
    if path == _PIPE:
        yield sys.stdout.buffer
    else:
        with arriving(path) as part, part.open("wb") as file:
            yield file
