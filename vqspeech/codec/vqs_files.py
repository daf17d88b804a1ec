"""Files of codes: recordings to .vqs, and back in their speaker's voice or another."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.codec import bitstream
from vqspeech.codec.bitstream import Chunk, Header
from vqspeech.codec.entropy_coding import DIGEST, ChunkCoder, check_coding, own_prior
from vqspeech.codec.thinning import thin
from vqspeech.errors import InputError, check_codebooks
from vqspeech.inference.nearest_speaker import lift_db, nearest
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.saving import OnFailure, save_each, stop
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.inference.vocoder import Request
from vqspeech.shapes import Codes, Wave
from vqspeech.system.files import atomic_path, made_from

NOBODY = "none"
"""Instead of a speaker: the file names no voice."""
_PIPE = Path("-")


def encode_blocks(
    model: SpeechCodec, blocks: Iterable[Wave], speaker: str = "", coder: str = "adaptive",
    prior: PriorSampler | None = None, codebooks: int | None = None, gain_db: float = 0.0,
) -> Iterator[bytes]:  # fmt: skip
    """Encode a wave that arrives in blocks of any size to the bytes of a .vqs.

    Chunks are written as soon as they are known: bitstream.CHUNK_FRAMES frames, and those that the encoder looks
    ahead, after their first sample came in.

    Args:
        speaker: whose voice it is, for whoever decodes it; empty if it is none of the model's.
        coder: one of CODERS, the most that may be done to make the file small.
        prior: what "prior" expects codes with.
        codebooks: the first ones, that are written; none: all.
        gain_db: what the wave is made louder by when it is decoded.

    Raises:
        InputError: an unknown speaker or coder, no prior where one is needed, more codebooks than there are.
    """
    samples = 0

    def counted() -> Iterator[Wave]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    pieces = model.encode_blocks(counted())
    yield from encode_pieces(model, pieces, lambda: samples, speaker, coder, prior, codebooks, gain_db)


def encode_pieces(
    model: SpeechCodec, pieces: Iterable[Codes], n_samples: Callable[[], int], speaker: str = "",
    coder: str = "adaptive", prior: PriorSampler | None = None, codebooks: int | None = None, gain_db: float = 0.0,
) -> Iterator[bytes]:  # fmt: skip
    """Write codes that arrive in pieces, (frames, codebooks), as the bytes of a .vqs; see `encode_blocks`.

    Args:
        n_samples: the length of the wave in samples, when the last piece has arrived.
    """
    check_coding(model, speaker, coder, prior, codebooks)
    codebooks = model.codebooks if codebooks is None else codebooks
    coders = ChunkCoder(model, speaker, prior)
    pending, number = np.zeros((0, codebooks), np.int64), 0
    sizes = model.sample_rate, model.hop, model.net.quantizer.sizes[0]
    yield bitstream.write_header(Header(model.run.digest[:DIGEST], *sizes, speaker, codebooks, gain_db))
    for codes in pieces:
        pending = np.concatenate([pending, codes[:, :codebooks]])
        while len(pending) > bitstream.CHUNK_FRAMES:  # more than: there is always something left for the last chunk
            yield coders.write(coder, number, pending[: bitstream.CHUNK_FRAMES], None)
            pending, number = pending[bitstream.CHUNK_FRAMES :], number + 1
    yield coders.write(coder, number, pending, n_samples())


def decode_blocks(
    model: SpeechCodec,
    blocks: Iterable[bytes],
    speaker: str = "",
    sampling: SamplingConfig = SamplingConfig(),
    conceal: bool = False,
    prior: PriorSampler | None = None,
    report: Callable[[str], None] = lambda _: None,
    codebooks: int | None = None,
) -> Iterator[Wave]:
    """Decode a .vqs that arrives in blocks of any size; the wave is exactly as long as its source.

    Args:
        speaker: another voice than the file names.
        codebooks: the first ones, that are heard; none: all that the file has.
        prior: that of the file, if it was encoded with one.
        conceal: replace damaged chunks by silence, and report them, instead of raising.

    Raises:
        InputError: no .vqs, one of another model, a damaged one, or one without a voice where none is given.
    """
    decoding = _Decoding(model, blocks, speaker, sampling, conceal, prior, report, codebooks)
    for _, wave in model.decode_many([decoding.request]):
        yield decoding.postprocess(wave)
    decoding.finish()


def encode_file(model: SpeechCodec, source: Path, path: Path, speaker: str = "", **options: Any) -> None:
    """Encode a recording to a .vqs, which appears when it is complete; `-` is stdin (a 16-bit WAV) or stdout.

    A file is encoded at the level of the voices that the model knows, which decoding undoes; where no speaker is named,
    its default voice is the nearest one (NOBODY: none).  Options are those of `encode_blocks`.

    Raises:
        InputError: as `encode_blocks` and `audio.blocks`, and a path that cannot be written.
    """
    speaker = "" if speaker == NOBODY else speaker or ("" if source == _PIPE else nearest(model, source))
    if source == _PIPE:
        rate, piped = audio.piped(sys.stdin.buffer)
        blocks, gain_db = audio.resampled(piped, rate, model.sample_rate), 0.0
    else:
        gain_db = lift_db(model, source, speaker)
        blocks = (block * np.float32(10 ** (gain_db / 20)) for block in audio.blocks(source, model.sample_rate))
    with made_from(source), _written(path) as file:
        for data in encode_blocks(model, blocks, speaker, gain_db=-gain_db, **options):
            file.write(data)
            file.flush()


def decode_all(
    model: SpeechCodec, pairs: Sequence[tuple[Path, Path]], speaker: str = "",
    sampling: SamplingConfig = SamplingConfig(), conceal: bool = False, prior: PriorSampler | None = None,
    report: Callable[[str], None] = lambda _: None, on_failure: OnFailure = stop, codebooks: int | None = None,
) -> Iterator[Path]:  # fmt: skip
    """Decode several .vqs, (source, path) each, side by side; yields each path that is written.

    Paths are WAV or FLAC; `-` stands for stdin and stdout.  The rest is as in `decode_blocks`.

    Args:
        on_failure: is called with the error of a file that cannot be decoded; the others go on.

    Raises:
        InputError: as `decode_blocks`, with the file's name; what comes before the fault is decoded first.
    """
    decodings: dict[int, _Decoding] = {}
    faults: dict[int, InputError] = {}
    if speaker:
        model.speaker_index(speaker)

    def requests() -> Iterator[Request]:
        for number, (source, _) in enumerate(pairs):
            warn_of = lambda line, source=source: report(f"{source}: {line}")  # noqa: E731
            try:
                decodings[number] = _Decoding(
                    model, _bytes(source), speaker, sampling, conceal, prior, warn_of, codebooks
                )
                yield decodings[number].request
            except InputError as fault:
                faults[number] = fault
                yield Request((), model.speakers[0])
            if on_failure is stop and (number in faults or decodings[number].fault):
                return

    def save(number: int, waves: Iterable[Wave]) -> None:
        source, path = pairs[number]
        try:
            if number in faults:
                raise faults[number]
            writer = audio.PipeWriter(model.sample_rate) if path == _PIPE else audio.Writer(path, model.sample_rate)
            with made_from(source), writer as out:
                for wave in waves:
                    out.write(decodings[number].postprocess(wave))
                decodings[number].finish()
        except InputError as fault:
            names_file = str(fault).startswith((f"{source}:", f"{path}:"))
            raise fault if names_file else InputError(f"{source}: {fault}") from None

    for number in save_each(len(pairs), model.decode_many(requests()), save, on_failure):
        yield pairs[number][1]


class _Decoding:
    """Decoding of one .vqs: its request, and the finish of its wave."""

    def __init__(
        self, model: SpeechCodec, blocks: Iterable[bytes], speaker: str, sampling: SamplingConfig, conceal: bool,
        prior: PriorSampler | None, report: Callable[[str], None], codebooks: int | None = None,
    ) -> None:  # fmt: skip
        self.fault: InputError | None = None
        self._model, self._prior, self._report, self._conceal = model, prior, report, conceal
        self._reader, self._length, self._done = bitstream.Reader(conceal), None, 0
        self._lost: list[tuple[int, int]] = []
        self._codebooks, self._poorer = codebooks, 0
        pieces = self._pieces(blocks)
        first = list(islice(pieces, 1))
        if self.fault:
            raise self.fault
        header = self._check()
        self._gain = np.float32(10 ** (header.gain_db / 20))
        voice = speaker or header.speaker
        if not voice:
            raise InputError("names no voice; choose one with --speaker")
        model.speaker_index(voice)
        self.request = Request(chain(first, pieces), voice, sampling)

    def postprocess(self, wave: Wave) -> Wave:
        """Finish the next part of the wave: gain, silence for lost chunks, and the length of the source."""
        hop, wave = self._model.hop, wave * self._gain
        for start, end in self._lost:
            wave[max(0, start * hop - self._done) : max(0, end * hop - self._done)] = 0
        wave = wave if self._length is None else wave[: max(0, self._length - self._done)]
        self._done += len(wave)
        return wave

    def finish(self) -> None:
        """Report lost chunks, or raise the error that ended the codes."""
        if self.fault:
            raise self.fault
        if self._lost:
            self._report(f"{len(self._lost)} chunks were damaged and are silence")
        if self._poorer:
            self._report(f"{self._poorer} chunks of upper codebooks were damaged; their stretches are poorer")

    def _chunks(self, blocks: Iterable[bytes]) -> Iterator[Chunk]:
        for block in blocks:
            yield from self._reader.push(block)
        try:
            yield from self._reader.finish()
        except InputError as fault:
            if not self._conceal or self._reader.header is None:
                raise
            self._report(str(fault))

    def _numbers(self, blocks: Iterable[bytes]) -> Iterator[tuple[list[Chunk], int]]:
        """The chunks of each number as soon as they are complete, with the number of codebooks that is wanted."""
        pending: list[Chunk] = []
        for chunk in self._chunks(blocks):
            codebooks = self._codebooks or self._check().codebooks
            if pending and pending[0].number != chunk.number:  # there was damage
                yield pending, codebooks
                pending = []
            if chunk.codebook < codebooks:
                pending.append(chunk)
            if pending and (chunk.codebook == codebooks - 1 or chunk.kind == bitstream.PRIOR):
                yield pending, codebooks
                pending = []
        if pending:
            yield pending, self._codebooks or self._check().codebooks

    def _pieces(self, blocks: Iterable[bytes]) -> Iterator[NDArray[np.int64]]:
        expected = 0
        try:
            for chunks, codebooks in self._numbers(blocks):
                number, self._length = chunks[0].number, chunks[0].length
                has_first = chunks[0].codebook == 0  # upper codebooks are worth nothing without the first
                for missing in range(expected, number if has_first else number + 1):
                    self._lost.append((missing * bitstream.CHUNK_FRAMES, (missing + 1) * bitstream.CHUNK_FRAMES))
                for _ in range(expected, number):
                    yield np.zeros((bitstream.CHUNK_FRAMES, codebooks), np.int64)
                if has_first and chunks[0].kind != bitstream.PRIOR:
                    self._poorer += codebooks - len(chunks)
                expected = number + 1
                if self._prior is None and chunks[0].kind == bitstream.PRIOR:
                    self._prior = own_prior(self._model)
                yield ChunkCoder(self._model, self._check().speaker, self._prior).read(chunks, codebooks)
        except InputError as fault:  # what came before it is still spoken
            self.fault = fault

    def _check(self) -> Header:
        """The header, of a file of this model that has the codebooks that are asked for."""
        header, digest = self._reader.header, self._model.run.digest[:DIGEST]
        assert header is not None  # or the reader had raised
        if header.model != digest:
            raise InputError(f"was encoded with model {header.model}, this one is {digest}; give its own with --model")
        check_codebooks(header.codebooks, self._model.codebooks, "the model")
        check_codebooks(self._codebooks or header.codebooks, header.codebooks, "the file")
        return header


def thin_file(source: Path, path: Path, codebooks: int) -> None:
    """A .vqs with its first codebooks alone; `-` stands for stdin and stdout.

    Raises:
        InputError: as `thinning.thin`, and a path that cannot be written.
    """
    try:
        with _written(path) as file:
            for data in thin(_bytes(source), codebooks):
                file.write(data)
    except InputError as fault:
        raise InputError(str(fault) if str(path) in str(fault) else f"{source}: {fault}") from None


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


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole, or stdout."""
    if path == _PIPE:
        yield sys.stdout.buffer
    else:
        with atomic_path(path) as part, part.open("wb") as file:
            yield file
