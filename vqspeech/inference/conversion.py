"""Voice conversion: recordings encoded, and decoded as another speaker at a level of choice."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqspeech import audio
from vqspeech.audio import loudness
from vqspeech.audio.loudness import LevelAnalysis
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.errors import InputError
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.saving import OnFailure, save_each, stop
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.inference.vocoder import Request
from vqspeech.shapes import Codes, Wave
from vqspeech.system.files import made_from

LEVELS = ("voice", "source", "raw")
MAX_PEAK = 0.98
"""No sample of a conversion exceeds this, so that no player clips it."""
MAX_GAIN_DB = 30.0
"""A recording is amplified by this at most before it is encoded: below lies its noise."""


class Converted(NamedTuple):
    """A conversion that was written: its codes (frames, codebooks), and its length in samples and seconds."""

    source: Path
    path: Path
    speaker: str
    codes: Codes
    n_samples: int
    duration_s: float


def convert(
    model: SpeechCodec,
    source: str | Path,
    speaker: str,
    path: str | Path | None = None,
    sampling: SamplingConfig = SamplingConfig(),
    level: str = "voice",
    progress: Callable[[float], None] = lambda _: None,
) -> Converted:
    """Convert a recording to another speaker: exactly as long, at the model's sample rate.

    A recording of any length needs the same memory; the file appears when it is complete.

    Args:
        source: any recording that `audio.read` takes.
        path: a .wav or .flac; by default `in.wav` becomes `in.p225.wav` beside it.
        sampling: of the vocoder; the source-filter vocoder uses its seed alone.
        level: "voice", the speech level of that speaker's recordings (of the source where it is unknown); "source",
            that of the source; "raw", as decoded, sample by sample.  In the first two the source is brought to the
            speaker's level before it is encoded, long pauses are silent, and nothing clips.
        progress: is called with the seconds that are done.

    Raises:
        InputError: an unknown speaker or level, a source that is not audio, a path that cannot be written.
    """
    pair = Path(source), Path(path) if path else default_output(Path(source), speaker)
    return next(convert_all(model, [pair], speaker, sampling, level, progress))


def convert_all(
    model: SpeechCodec,
    pairs: Sequence[tuple[Path, Path]],
    speaker: str,
    sampling: SamplingConfig = SamplingConfig(),
    level: str = "voice",
    progress: Callable[[float], None] = lambda _: None,
    on_failure: OnFailure = stop,
) -> Iterator[Converted]:
    """Convert several recordings, (source, path) each, side by side; each result is that of `convert`.

    Args:
        on_failure: is called with the error of a recording that cannot be converted; the others go on.

    Raises:
        InputError: as `convert`; the recordings before it are converted first.
    """
    if level not in LEVELS:
        raise InputError(f"level {level!r} is unknown; choose from {', '.join(LEVELS)}")
    for source, path in pairs:
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the recording itself; choose another -o")
    sampling.check()
    model.speaker_index(speaker)  # before a file is touched
    conversions = [_Conversion(model, source, path, speaker, level) for source, path in pairs]

    def requests() -> Iterator[Request]:
        for conversion in conversions:
            if on_failure is stop and any(earlier.error for earlier in conversions):
                return
            yield Request(conversion.encode(), speaker, sampling)

    decoded = model.decode_many(requests(), progress)
    for number in save_each(len(pairs), decoded, lambda number, waves: conversions[number].save(waves), on_failure):
        yield conversions[number].result()


class _Conversion:
    """One recording: it is read, brought to a level and encoded; its decoded wave is finished and written."""

    def __init__(self, model: SpeechCodec, source: Path, path: Path, speaker: str, level: str) -> None:
        self.error: InputError | None = None
        self._model, self._source, self._path, self._speaker, self._level = model, source, path, speaker, level
        self._speaker_db = model.level_db(speaker)
        self._analysis: LevelAnalysis | None = None
        self._codes: list[Codes] = []
        self._n_samples = 0

    def encode(self) -> Iterator[Codes]:
        """The codes in pieces; an error ends them and is raised by `save`, after what came before it is decoded."""
        try:
            for codes in self._model.encode_blocks(self._levelled()):
                self._codes.append(codes)
                yield codes
        except InputError as error:
            self.error = error

    def save(self, waves: Iterable[Wave]) -> None:
        """Write the decoded wave."""
        waves = self._trimmed(waves)
        with made_from(self._source), audio.Writer(self._path, self._model.sample_rate) as writer:
            if self._analysis:
                waves = _gate_and_scale(waves, self._analysis, self._output_level_db(self._analysis))
            for wave in waves:
                writer.write(wave)
            if self.error:
                raise self.error

    def result(self) -> Converted:
        """What was written."""
        codes = np.concatenate([np.zeros((0, self._model.codebooks), np.int64), *self._codes])
        duration_s = self._n_samples / self._model.sample_rate
        return Converted(self._source, self._path, self._speaker, codes, self._n_samples, duration_s)

    def _levelled(self) -> Iterator[Wave]:
        """The recording in blocks, at the level of the speaker's training data."""
        sample_rate = self._model.sample_rate
        if self._level != "raw":
            blocks = preprocessed(audio.blocks(self._source, sample_rate), sample_rate)
            self._analysis = loudness.analyse_level(blocks, sample_rate)
        gain = _gain(self._input_gain_db())
        for block in audio.blocks(self._source, sample_rate):
            self._n_samples += len(block)
            yield block * gain

    def _input_gain_db(self) -> float:
        """Brings a source to the speaker's level, and never beyond full scale."""
        analysis = self._analysis
        if analysis is None or math.isnan(analysis.level_db) or math.isnan(self._speaker_db):
            return 0.0
        headroom_db = -20 * math.log10(max(analysis.peak, 1e-6))
        return min(self._speaker_db - analysis.level_db, MAX_GAIN_DB, headroom_db)

    def _output_level_db(self, analysis: LevelAnalysis) -> float:
        return analysis.level_db if self._level == "source" or math.isnan(self._speaker_db) else self._speaker_db

    def _trimmed(self, waves: Iterable[Wave]) -> Iterator[Wave]:
        """As many samples as the source has, a number that is final when the last wave is decoded."""
        done = 0
        for wave in waves:
            yield wave[: self._n_samples - done]
            done += len(wave)


def default_output(source: Path, speaker: str) -> Path:
    """The default path of a conversion: `in.wav` -> `in.p225.wav`, in the same folder.

    >>> default_output(Path("a/in.mp3"), "p225").name
    'in.p225.wav'
    """
    return source.with_name(f"{source.stem}.{speaker}.wav")


def _gate_and_scale(waves: Iterable[Wave], source: LevelAnalysis, level_db: float) -> Iterator[Wave]:
    """A wave with the pauses of its source silent, at a speech level; a temporary file holds it until that is known."""
    with tempfile.TemporaryFile() as buffer:

        def buffered() -> Iterator[Wave]:
            for wave in loudness.gate_pauses(waves, source):
                buffer.write(np.asarray(wave, np.float32).tobytes())
                yield wave

        decoded = loudness.analyse_level(buffered(), source.sample_rate)
        gain = 1.0 if math.isnan(level_db) or math.isnan(decoded.level_db) else _gain(level_db - decoded.level_db)
        gain = min(gain, MAX_PEAK / max(decoded.peak, 1e-6))
        buffer.seek(0)
        while data := buffer.read(1 << 20):
            yield np.frombuffer(data, np.float32) * np.float32(gain)


def _gain(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))
