"""A recording in another voice."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqspeech import audio
from vqspeech.audio import loudness
from vqspeech.audio.loudness import LevelAnalysis
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.errors import InputError
from vqspeech.inference.saving import Failed, end_at, saved
from vqspeech.inference.speech_codec import Request, SpeechCodec, Wave
from vqspeech.system.files import made_from

LEVELS = ("voice", "source", "raw")
PEAK = 0.98
"""No sample of a conversion is beyond this, so that no player clips it."""
MOST_DB = 30.0
"""A recording is made louder by this at most before it is encoded: below lies its noise."""


class Converted(NamedTuple):
    """One conversion: where it lies, how long it is and what its codes cost."""

    source: Path
    path: Path
    speaker: str
    duration_s: float
    codes: int


def convert(
    model: SpeechCodec,
    source: str | Path,
    speaker: str,
    path: str | Path | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    level: str = "voice",
    progress: Callable[[float], None] = lambda _: None,
) -> Converted:
    """Says a recording again in the voice of `speaker`, exactly as long, at the model's sample rate.

    A recording of any length needs the same memory; the file appears when it is whole.

    Args:
        source: any recording that `audio.read` takes.
        path: a .wav or .flac; by default `in.wav` becomes `in.p225.wav` beside it.
        temperature: 1 draws as the model believes, less is smoother and duller.
        top_p: draws only from the likeliest classes that together have this share.
        seed: of the draws; the same seed gives the same samples.
        level: "voice", as loud as that voice's own recordings (as the source where they are not known);
            "source", as loud as the source; "raw", what the decoder says, sample by sample.  In the first
            two the source is brought to the voice's level before it is encoded, its long pauses are silent,
            and nothing clips.
        progress: told the seconds that are done.

    Raises:
        InputError: an unknown voice or level, a source that is no audio, a path that cannot be written.
    """
    pair = Path(source), Path(path) if path else beside(Path(source), speaker)
    return next(convert_all(model, [pair], speaker, temperature, top_p, seed, level, progress))


def convert_all(
    model: SpeechCodec,
    pairs: Sequence[tuple[Path, Path]],
    speaker: str,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    level: str = "voice",
    progress: Callable[[float], None] = lambda _: None,
    failed: Failed = end_at,
) -> Iterator[Converted]:
    """Conversions of several recordings, (source, path) each, side by side: each is what `convert` makes of it.

    Args:
        failed: told what becomes of a recording that cannot be converted, while the others go on.

    Raises:
        InputError: as `convert`; what comes before the fault is converted first.
    """
    if level not in LEVELS:
        raise InputError(f"level {level!r} is unknown; choose from {', '.join(LEVELS)}")
    for source, path in pairs:
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the recording itself; choose another -o")
    model.speaker_index(speaker)  # before a file is touched
    lengths, faults, heard = [0] * len(pairs), dict[int, InputError](), dict[int, LevelAnalysis]()

    def blocks(number: int) -> Iterator[Wave]:
        try:
            source, rate = pairs[number][0], model.sample_rate
            if level != "raw":
                heard[number] = loudness.analyse_level(preprocessed(audio.blocks(source, rate), rate), rate)
            gain = _gain(_before_db(model, speaker, heard.get(number)))
            for block in audio.blocks(source, rate):
                lengths[number] += len(block)
                yield block * gain
        except InputError as fault:  # what was heard before is still to be spoken
            faults[number] = fault

    def save(number: int, waves: Iterable[Wave]) -> None:
        said = _first(waves, partial(lengths.__getitem__, number))
        source, path = pairs[number]
        with made_from(source), audio.Writer(path, model.sample_rate) as file:
            if number in heard:
                said = _finished(said, heard[number], _after_db(model, speaker, heard[number], level))
            for wave in said:
                file.write(wave)
            if number in faults:
                raise faults[number]

    numbers = (number for number in range(len(pairs)) if failed is not end_at or not faults)
    requests = (Request(model.encode_blocks(blocks(number)), speaker, seed) for number in numbers)
    spoken = model.decode_many(requests, temperature, top_p, progress)
    for number in saved(len(pairs), spoken, save, failed):
        length = lengths[number]
        yield Converted(*pairs[number], speaker, length / model.sample_rate, -(-length // model.hop))


def levelled(model: SpeechCodec, source: str | Path, speaker: str) -> Wave:
    """A recording as it is encoded when it is converted: at the voice's level, (time,).

    Raises:
        InputError: a source that is no audio.
    """
    wave, rate = audio.read(source, model.sample_rate), model.sample_rate
    return wave * _gain(_before_db(model, speaker, loudness.analyse_level(preprocessed([wave], rate), rate)))


def beside(source: Path, speaker: str) -> Path:
    """The name of a conversion: `in.wav` -> `in.p225.wav`, in the same folder.

    >>> beside(Path("a/in.mp3"), "p225").name
    'in.p225.wav'
    """
    return source.with_name(f"{source.stem}.{speaker}.wav")


def _before_db(model: SpeechCodec, speaker: str, heard: LevelAnalysis | None) -> float:
    """What brings a source to the level at which the model knows this voice, and never beyond full scale."""
    if heard is None or math.isnan(heard.level_db) or math.isnan(known := model.level_db(speaker)):
        return 0.0
    return min(known - heard.level_db, MOST_DB, -20 * math.log10(max(heard.peak, 1e-6)))


def _after_db(model: SpeechCodec, speaker: str, heard: LevelAnalysis, level: str) -> float:
    """The level that a conversion shall have."""
    known = model.level_db(speaker)
    return heard.level_db if level == "source" or math.isnan(known) else known


def _finished(waves: Iterable[Wave], heard: LevelAnalysis, level_db: float) -> Iterator[Wave]:
    """What was said, silent where the source pauses and at a level: it is kept on disk until its own is known."""
    with tempfile.TemporaryFile() as kept:

        def keeping() -> Iterator[Wave]:
            for wave in loudness.gate_pauses(waves, heard):
                kept.write(np.asarray(wave, np.float32).tobytes())
                yield wave

        said = loudness.analyse_level(keeping(), heard.sample_rate)
        gain = 1.0 if math.isnan(level_db) or math.isnan(said.level_db) else _gain(level_db - said.level_db)
        gain = min(gain, PEAK / max(said.peak, 1e-6))
        kept.seek(0)
        while data := kept.read(1 << 20):
            yield np.frombuffer(data, np.float32) * np.float32(gain)


def _first(waves: Iterable[Wave], length: Callable[[], int]) -> Iterator[Wave]:
    """The first `length()` samples, a number that is final when the last wave comes: its frame may reach beyond."""
    done = 0
    for wave in waves:
        yield wave[: length() - done]
        done += len(wave)


def _gain(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))
