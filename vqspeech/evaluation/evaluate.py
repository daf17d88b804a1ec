"""Evaluation of conversions, beside the recordings, mu-law and installed codecs.

```
pairs file:   in.wav p225                      a source and the voice that shall say it
              in.wav p225 p225_says_it.wav     and, where there is one, how that voice did say it
```
Between them are blanks, or tabs where a path has blanks.
"""

import csv
import importlib.util
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import audio
from vqspeech.audio import mulaw
from vqspeech.data import corpus, recognition
from vqspeech.data.archives import Manifest, MulawShards
from vqspeech.data.recognition import Recogniser
from vqspeech.errors import InputError
from vqspeech.evaluation import likelihood, metrics, objective, reference_codecs
from vqspeech.evaluation.objective import MEASURES, RATE, Comparison, Measure, Recording
from vqspeech.inference import conversion
from vqspeech.inference.sampling_config import SamplingConfig
from vqspeech.inference.saving import OnFailure, stop
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.models import checkpoint
from vqspeech.shapes import Wave

FILES = ("evaluation.json", "evaluation.csv")
VOICE_UTTERANCES = 5
"""What `write` writes; recordings that a voice is averaged over."""
VOICE = ("to_target", "to_source", "nearer_target")
WEIGHTS = {"wer": "words", "cer": "letters"}
"""Measures that are shares of something, and of what."""
NO_MEASURE = {"system", "source", "speaker", *WEIGHTS.values()}
UNTOUCHED, CONVERSION = "recording", "vqspeech"
Summary = dict[str, dict[str, tuple[float, float, float]]]
"""Mean and bounds by system and measure."""


class Pair(NamedTuple):
    """Row of a pairs file; `reference` is the target of a conversion, by default its source."""

    source: Path
    speaker: str
    reference: Path | None


def read_pairs(path: Path) -> list[Pair]:
    """The rows `source voice [reference]` of a file, separated by blanks, or by tabs if a row has one.

    Raises:
        InputError: it cannot be read, or a row is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); give a file of `source voice` rows") from None
    rows = []
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()
        if not any(fields):
            continue
        if len(fields) not in (2, 3):
            raise InputError(f"{path}:{number}: {line!r} is not `source voice [reference]`; separate them by tabs")
        rows.append(Pair(Path(fields[0]), fields[1], Path(fields[2]) if fields[2:] else None))
    if not rows:
        raise InputError(f"{path}: names no pair")
    return rows


def evaluate(
    model: SpeechCodec, pairs: list[Pair], voices: Path | None = None, sampling: SamplingConfig = SamplingConfig(),
    progress: Callable[[float], None] = lambda _: None, failed: OnFailure = stop,
    recogniser: Recogniser | None = None, codecs: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Measure each conversion, its source, mu-law of it, and the installed codecs on it.

    Args:
        voices: a data directory with recordings of the target voices, for how near a conversion comes to them.
        sampling: of the conversions.
        progress: is called with the share that is done.
        failed: is called with the error of a pair that cannot be measured; the others go on.
        recogniser: for word and character error rates, against what it hears in the source.
        codecs: whether mu-law and other codecs are measured too.

    Returns:
        `rows`, one a system and pair, and `missing`, the measures that need another package, with it.

    Raises:
        InputError: an unknown voice, or a recording that cannot be read.
    """
    for pair in pairs:
        model.speaker_index(pair.speaker)
    usable = [measure for measure in MEASURES if not measure.missing]
    missing = {measure.name: measure.module for measure in MEASURES if measure.missing}
    results: dict[str, Any] = {"missing": missing, "rows": []}
    targets = _voices(voices, {pair.speaker for pair in pairs}, missing)
    for number, pair in enumerate(pairs):
        try:
            results["rows"] += _measured(model, pair, usable, targets, sampling, recogniser, codecs)
        except InputError as fault:
            failed(fault)
        progress((number + 1) / len(pairs))
    if not results["rows"]:
        raise InputError(f"none of {len(pairs)} pairs could be measured; mend their recordings")
    return results


def _measured(
    model: SpeechCodec, pair: Pair, usable: list[Measure], targets: dict[str, NDArray], sampling: SamplingConfig,
    recogniser: Recogniser | None, codecs: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a pair, one a system."""
    rows = []
    source = Recording(audio.read(pair.source, RATE))
    reference = Recording(audio.read(pair.reference, RATE)) if pair.reference else source
    text = recogniser.hear(source.wave) if recogniser else ""
    voice = objective.speaker_embedding(source.wave) if pair.speaker in targets else None
    for system, wave in _systems(model, pair, source.wave, sampling, codecs):
        recording = source if system == UNTOUCHED else Recording(wave)
        comparison = Comparison(reference if system == CONVERSION else source, recording)
        row: dict[str, Any] = {"system": system, "source": str(pair.source), "speaker": pair.speaker}
        numbers = {measure.name: measure.of(comparison) for measure in usable}
        row |= {measure: value if np.isfinite(value) else None for measure, value in numbers.items()}
        if recogniser and text:
            row |= recognition.errors(text, recogniser.hear(recording.wave))
        if voice is not None:
            row |= _nearness(wave, voice, targets[pair.speaker])
        rows.append(row)
    return rows


def summary(results: dict[str, Any], seed: int = 0, draws: int = 1000) -> Summary:
    """Mean of each system and measure, with the 95 % bootstrap interval over recordings."""
    systems: Summary = {}
    for name in dict.fromkeys(row["system"] for row in results["rows"]):
        rows = [row for row in results["rows"] if row["system"] == name]
        systems[name] = {}
        names = dict.fromkeys(name for row in rows for name in row if name not in NO_MEASURE)
        for measure in names:  # some recordings may lack one: a voice that is not among the voices
            measured = [row for row in rows if row.get(measure) is not None]
            values = np.array([row[measure] for row in measured])
            if len(values):  # an error rate is that of all recordings together
                weights = np.array([row[WEIGHTS[measure]] if measure in WEIGHTS else 1.0 for row in measured])
                mean = float(np.average(values, weights=weights))
                systems[name][measure] = mean, *metrics.bootstrap_interval(values, weights, seed, draws)
    return systems


def write(results: dict[str, Any], directory: Path) -> None:
    """Write evaluation.json with all results, and evaluation.csv with a row per system and recording."""
    directory.mkdir(parents=True, exist_ok=True)
    corpus.write_text_atomic(directory / FILES[0], json.dumps(results, indent=1) + "\n")
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in results["rows"] for name in row))
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(results["rows"])
    corpus.write_text_atomic(directory / FILES[1], text.getvalue())


def bits_per_sample(run: checkpoint.Run, held_out: Path, seconds: float = 120.0) -> dict[str, float]:
    """Bits per sample and codebook usage on packed speech of the speakers that the model has; see `likelihood.measure`.

    Raises:
        InputError: it is not packed, or has none of them.
    """
    packed = MulawShards(held_out / "packed")
    packed.rows = Manifest([[row for row in packed.rows if row.speaker in run.speakers]])
    if not packed.rows:
        raise InputError(f"{held_out}: the model knows none of its speakers; measure on some that it has")
    return likelihood.measure(run, [packed], seconds).numbers


def _systems(
    model: SpeechCodec, pair: Pair, source: Wave, sampling: SamplingConfig, codecs: bool
) -> Iterator[tuple[str, Wave]]:
    yield UNTOUCHED, source
    if codecs:
        yield "8-bit mu-law", mulaw.expand(mulaw.compress(source))
        for peer in reference_codecs.installed():
            yield peer.name, peer(source).wave
    with tempfile.TemporaryDirectory() as folder:
        converted = conversion.convert(model, pair.source, pair.speaker, Path(folder) / "out.wav", sampling)
        yield CONVERSION, audio.read(converted.path, RATE)


def _voices(directory: Path | None, speakers: Iterable[str], missing: dict[str, str]) -> dict[str, NDArray]:
    """Speaker embeddings: the mean over some recordings of each speaker."""
    if directory is None:
        return {}
    if importlib.util.find_spec("resemblyzer") is None:
        missing |= dict.fromkeys(VOICE, "resemblyzer")
        return {}
    embeddings, utterances = {}, corpus.read(directory)
    for speaker in sorted(speakers):
        candidates = [utt for utt in utterances if utt.speaker == speaker]
        chosen = candidates[:: max(1, len(candidates) // VOICE_UTTERANCES)][:VOICE_UTTERANCES]
        if chosen:
            waves = (audio.read(utt.path, RATE, utt.start_s, utt.end_s) for utt in chosen)
            mean = np.mean([objective.speaker_embedding(wave) for wave in waves], axis=0)
            embeddings[speaker] = mean / np.linalg.norm(mean)
    return embeddings


def _nearness(wave: Wave, source: NDArray, target: NDArray) -> dict[str, float]:
    """Cosines to the target and the source speaker, and whether the first is greater."""
    embedding = objective.speaker_embedding(wave)
    similarities = {"to_target": float(embedding @ target), "to_source": float(embedding @ source)}
    return similarities | {"nearer_target": float(similarities["to_target"] > similarities["to_source"])}
