"""Speech as small files: recording -> codes -> .vqs, and back in its voice or another."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio, bitstream
from vqspeech.bitstream import Chunk, Header
from vqspeech.coding import DIGEST, ENTROPIES, Coders
from vqspeech.composing import Composer
from vqspeech.errors import InputError
from vqspeech.files import arriving, made_from
from vqspeech.saving import Failed, end_at, saved
from vqspeech.synthesis import Model, Request, Wave

_PIPE = Path("-")


def encode_blocks(
    model: Model, blocks: Iterable[Wave], speaker: str = "", entropy: str = "adaptive", prior: Composer | None = None
) -> Iterator[bytes]:
    """A wave that arrives in blocks of any size, as the bytes of a .vqs.

    A chunk is written as soon as it is known: bitstream.CHUNK_FRAMES codes, and the frames that the encoder looks
    ahead, after its first sample came in.

    Args:
        speaker: whose voice it is, for whoever decodes it; empty if it is none of the model's.
        entropy: one of ENTROPIES, the most that may be done to make the file small.
        prior: what "prior" expects codes with.

    Raises:
        InputError: an unknown speaker or entropy, or no prior where one is needed.
    """
    check_coding(model, speaker, entropy, prior)
    coders = Coders(model, speaker, prior)
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
        while len(held) > bitstream.CHUNK_FRAMES:  # more than: there is always something left for the last chunk
            yield coders.write(entropy, index, held[: bitstream.CHUNK_FRAMES], None)
            held, index = held[bitstream.CHUNK_FRAMES :], index + 1
    yield coders.write(entropy, index, held, samples)


def check_coding(model: Model, speaker: str = "", entropy: str = "adaptive", prior: Composer | None = None) -> None:
    """Whether anything can be encoded so; raises as `encode_blocks`."""
    if speaker:
        model.speaker_index(speaker)
    if entropy not in ENTROPIES:
        raise InputError(f"entropy {entropy!r} is unknown; choose from {', '.join(ENTROPIES)}")
    if entropy == "prior" and prior is None:
        raise InputError("entropy 'prior' needs a prior; give its run directory with --prior")


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
    one = _Decoding(model, blocks, speaker, seed, conceal, prior, report)
    for _, wave in model.decode_many([one.request], temperature, top_p):
        yield one.own(wave)
    one.finish()


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
    with made_from(source), _written(path) as file:
        for data in encode_blocks(model, blocks, **options):
            file.write(data)
            file.flush()


def decode_all(
    model: Model, pairs: Sequence[tuple[Path, Path]], speaker: str = "", seed: int = 0, temperature: float = 1.0,
    top_p: float = 1.0, conceal: bool = False, prior: Composer | None = None,
    report: Callable[[str], None] = lambda _: None, failed: Failed = end_at,
) -> Iterator[Path]:  # fmt: skip
    """The recordings of several .vqs, (source, path) each, spoken side by side; yields each path that is written.

    Paths are WAV or FLAC; `-` stands for stdin and stdout.  The rest is as in `decode_blocks`.

    Args:
        failed: told what is wrong with a file that cannot be decoded, while the others go on.

    Raises:
        InputError: as `decode_blocks`, with the file's name; what comes before the fault is decoded first.
    """
    begun: dict[int, _Decoding] = {}
    faults: dict[int, InputError] = {}
    if speaker:
        model.speaker_index(speaker)

    def requests() -> Iterator[Request]:
        for number, (source, _) in enumerate(pairs):
            told = lambda line, source=source: report(f"{source}: {line}")  # noqa: E731
            try:
                begun[number] = _Decoding(model, _bytes(source), speaker, seed, conceal, prior, told)
                yield begun[number].request
            except InputError as fault:
                faults[number] = fault
                yield Request((), model.speakers[0])
            if failed is end_at and (number in faults or begun[number].fault):
                return

    def save(number: int, waves: Iterable[Wave]) -> None:
        source, path = pairs[number]
        try:
            if number in faults:
                raise faults[number]
            writer = audio.PipeWriter(model.sample_rate) if path == _PIPE else audio.Writer(path, model.sample_rate)
            with made_from(source), writer as out:
                for wave in waves:
                    out.write(begun[number].own(wave))
                begun[number].finish()
        except InputError as fault:
            named = str(fault).startswith((f"{source}:", f"{path}:"))
            raise fault if named else InputError(f"{source}: {fault}") from None

    for number in saved(len(pairs), model.decode_many(requests(), temperature, top_p), save, failed):
        yield pairs[number][1]


class _Decoding:
    """A .vqs on its way: codes as its bytes come, and what is to be done to the wave that they become."""

    def __init__(
        self, model: Model, blocks: Iterable[bytes], speaker: str, seed: int, conceal: bool, prior: Composer | None,
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.fault: InputError | None = None
        self._model, self._prior, self._report, self._conceal = model, prior, report, conceal
        self._reader, self._length, self._done = bitstream.Reader(conceal), None, 0
        self._lost: list[tuple[int, int]] = []
        pieces = self._pieces(blocks)
        first = list(islice(pieces, 1))
        if self.fault:
            raise self.fault
        _check(model, self._reader.header)
        voice = speaker or (self._reader.header.speaker if self._reader.header else "")
        if not voice:
            raise InputError("names no voice; choose one with --speaker")
        model.speaker_index(voice)
        self.request = Request(chain(first, pieces), voice, seed)

    def own(self, wave: Wave) -> Wave:
        """The next part of the wave: silent where chunks were lost, no longer than what was encoded."""
        hop = self._model.hop
        for start, end in self._lost:
            wave[max(0, start * hop - self._done) : max(0, end * hop - self._done)] = 0
        wave = wave if self._length is None else wave[: max(0, self._length - self._done)]
        self._done += len(wave)
        return wave

    def finish(self) -> None:
        """Tells what was lost, or raises what ended the codes."""
        if self.fault:
            raise self.fault
        if self._lost:
            self._report(f"{len(self._lost)} chunks were damaged and are silence")

    def _chunks(self, blocks: Iterable[bytes]) -> Iterator[Chunk]:
        for block in blocks:
            yield from self._reader.push(block)
        try:
            yield from self._reader.finish()
        except InputError as fault:
            if not self._conceal or self._reader.header is None:
                raise
            self._report(str(fault))

    def _pieces(self, blocks: Iterable[bytes]) -> Iterator[NDArray[np.int64]]:
        expected = 0
        try:
            for chunk in self._chunks(blocks):
                _check(self._model, self._reader.header)
                self._length = chunk.length
                for missing in range(expected, chunk.number):
                    self._lost.append((missing * bitstream.CHUNK_FRAMES, (missing + 1) * bitstream.CHUNK_FRAMES))
                    yield np.zeros(bitstream.CHUNK_FRAMES, np.int64)
                expected = chunk.number + 1
                speaker = self._reader.header.speaker if self._reader.header else ""
                yield Coders(self._model, speaker, self._prior).read(chunk)
        except InputError as fault:  # what came before it is still spoken
            self.fault = fault


def _bytes(source: Path) -> Iterator[bytes]:
    """The bytes of a file, or of stdin as they arrive."""
    try:
        with sys.stdin.buffer if source == _PIPE else source.open("rb") as file:
            reader: Any = file
            yield from iter(lambda: reader.read1(1 << 16), b"")
    except FileNotFoundError:
        raise InputError("no such file; check the name") from None
    except IsADirectoryError:
        raise InputError("is a folder; name the files in it") from None


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
