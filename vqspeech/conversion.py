"""A recording in another voice."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from vqspeech import audio
from vqspeech.errors import InputError
from vqspeech.synthesis import Model, Request, Wave


class Converted(NamedTuple):
    """One conversion: where it lies, how long it is and what its codes cost."""

    source: Path
    path: Path
    speaker: str
    duration_s: float
    codes: int


def convert(
    model: Model,
    source: str | Path,
    speaker: str,
    path: str | Path | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
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
        progress: told the seconds that are done.

    Raises:
        InputError: an unknown voice, a source that is no audio, a path that cannot be written.
    """
    pair = Path(source), Path(path) if path else beside(Path(source), speaker)
    return next(convert_all(model, [pair], speaker, temperature, top_p, seed, progress))


def convert_all(
    model: Model,
    pairs: Sequence[tuple[Path, Path]],
    speaker: str,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Converted]:
    """Conversions of several recordings, (source, path) each, side by side: each is what `convert` makes of it.

    Raises:
        InputError: as `convert`; what comes before the fault is converted first.
    """
    for source, path in pairs:
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: is the recording itself; choose another -o")
    model.speaker_index(speaker)  # before a file is touched
    lengths, faults = [0] * len(pairs), dict[int, InputError]()

    def heard(number: int) -> Iterator[Wave]:
        try:
            for block in audio.blocks(pairs[number][0], model.sample_rate):
                lengths[number] += len(block)
                yield block
        except InputError as fault:  # what was heard before is still to be spoken
            faults[number] = fault

    numbers = (number for number in range(len(pairs)) if not faults)
    requests = (Request(model.encode_blocks(heard(number)), speaker, seed) for number in numbers)
    for number, waves in groupby(model.decode_many(requests, temperature, top_p, progress), lambda pair: pair[0]):
        source, path = pairs[number]
        done = 0
        with audio.Writer(path, model.sample_rate) as file:
            for _, wave in waves:
                wave = wave[: lengths[number] - done]  # the last frame may reach beyond the end
                file.write(wave)
                done += len(wave)
            if number in faults:
                raise faults[number]
        yield Converted(source, path, speaker, done / model.sample_rate, -(-done // model.hop))
    for fault in faults.values():
        raise fault


def beside(source: Path, speaker: str) -> Path:
    """The name of a conversion: `in.wav` -> `in.p225.wav`, in the same folder.

    >>> beside(Path("a/in.mp3"), "p225").name
    'in.p225.wav'
    """
    return source.with_name(f"{source.stem}.{speaker}.wav")
