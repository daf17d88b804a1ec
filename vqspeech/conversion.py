"""A recording in another voice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from vqspeech import audio
from vqspeech.errors import InputError
from vqspeech.synthesis import Model, Wave


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
    seed: int = 0,
    progress: Callable[[float], None] = lambda _: None,
) -> Converted:
    """Says a recording again in the voice of `speaker`, exactly as long, at the model's sample rate.

    By pieces, so that a recording of any length needs the same memory; the file appears when it is whole.

    Args:
        source: any recording that `audio.read` takes.
        path: a .wav or .flac; by default `in.wav` becomes `in.p225.wav` beside it.
        temperature: 1 draws as the model believes, less is smoother and duller.
        seed: of the draws; the same seed gives the same samples.
        progress: told the seconds that are done.

    Raises:
        InputError: an unknown voice, a source that is no audio, a path that cannot be written.
    """
    source = Path(source)
    path = Path(path) if path else beside(source, speaker)
    if path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"{path}: is the recording itself; choose another -o")
    model.speaker_index(speaker)  # before a file is touched
    samples = codes = 0

    def heard() -> Iterator[Wave]:
        nonlocal samples
        for block in audio.blocks(source, model.sample_rate):
            samples += len(block)
            yield block

    done = 0
    with audio.Writer(path, model.sample_rate) as file:
        for wave in model.decode_pieces(model.encode_blocks(heard()), speaker, seed, temperature):
            codes += len(wave) // model.hop
            wave = wave[: samples - done]  # the last frame may reach beyond the end
            file.write(wave)
            done += len(wave)
            progress(done / model.sample_rate)
    return Converted(source, path, speaker, done / model.sample_rate, codes)


def beside(source: Path, speaker: str, directory: Path | None = None) -> Path:
    """The name of a conversion: `in.wav` -> `in.p225.wav`, in the same folder or another.

    >>> beside(Path("a/in.mp3"), "p225").name
    'in.p225.wav'
    """
    return (directory or source.parent) / f"{source.stem}.{speaker}.wav"
