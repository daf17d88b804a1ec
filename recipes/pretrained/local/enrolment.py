#!/usr/bin/env python
"""Does an enrolled voice sound like its owner?

    python enrolment.py MODEL ASR UNSEEN_DIR VOICES_DIR SOURCES_DIR

Each speaker of UNSEEN_DIR, whom training never had, is enrolled with 10, 30 and 60 s, as far as there is more speech
than that.  SOURCES are converted to that voice by both vocoders, with TAKES seeds each.  Each conversion is compared,
by Resemblyzer, with the rest of the speaker's recordings and with every voice of the model, and ASR counts the words
that it lost.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqspeech import SamplingConfig, audio
from vqspeech.data import corpus
from vqspeech.data.recognition import Recogniser, errors
from vqspeech.evaluation import objective
from vqspeech.inference import conversion, speaker_enrolment
from vqspeech.inference.speech_codec import VOCODERS, SpeechCodec

LENGTHS_S = (10, 30, 60)
SOURCES, OTHERS, TAKES = 6, 4, 3


class _Row(NamedTuple):
    """What one conversion came to."""

    to_target: float
    to_nearest: float
    words: float
    wrong: float


def main() -> None:
    """Parse the command line; print a row for each length and vocoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "asr", "unseen", "voices", "sources"):
        parser.add_argument(name)
    args = parser.parse_args()
    recogniser, by_speaker = Recogniser(args.asr), defaultdict(list)
    for utterance in corpus.read(args.unseen):
        by_speaker[utterance.speaker].append(utterance)
    voices = corpus.read(args.voices)
    known = [
        _mean_embedding([utt for utt in voices if utt.speaker == name]) for name in SpeechCodec(args.model).speakers
    ]
    sources = corpus.read(args.sources)
    sources = [sources[number * len(sources) // SOURCES] for number in range(SOURCES)]
    print(
        "| enrolled with | vocoder | speakers | nearest to the owner | SECS to the owner | to the nearest other | WER |"
    )
    print("|---|---|---|---|---|---|---|")
    for length_s in LENGTHS_S:
        rows: dict[str, list[_Row]] = defaultdict(list)
        speakers = 0
        for recordings in by_speaker.values():
            ends = np.cumsum([(utt.end_s or 4.0) - utt.start_s for utt in recordings])
            first = int(np.searchsorted(ends, length_s)) + 1
            if first >= len(recordings):
                continue
            speakers += 1
            target = _mean_embedding(recordings[first:])
            for vocoder, row in _conversions(args.model, recogniser, recordings[:first], sources, target, known):
                rows[vocoder].append(row)
        for vocoder, conversions in rows.items():
            to_target, to_nearest, words, wrong = np.array(conversions).T
            print(
                f"| {length_s} s | {vocoder} | {speakers} | {100 * np.mean(to_target > to_nearest):.0f} % "
                f"| {to_target.mean():.2f} | {to_nearest.mean():.2f} | {wrong.sum() / words.sum():.2f} |", flush=True
            )  # fmt: skip


def _conversions(
    name: str, recogniser: Recogniser, recordings: Sequence[corpus.Utterance], sources: Sequence[corpus.Utterance],
    target: np.ndarray, known: list[np.ndarray],
) -> list[tuple[str, _Row]]:  # fmt: skip
    """Vocoder and result of each conversion to a voice that is enrolled with recordings, and removed again."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path, paths = Path(folder) / "in.wav", []
        for number, utt in enumerate(recordings):
            paths.append(Path(folder) / f"{number}.wav")
            audio.write(paths[-1], audio.read(utt.path, objective.RATE, utt.start_s, utt.end_s), objective.RATE)
        speaker_enrolment.enrol(SpeechCodec(name), "new-voice", paths)
        try:
            for vocoder in VOCODERS:
                model = SpeechCodec(name, vocoder)
                for source in sources:
                    wave = audio.read(source.path, objective.RATE, source.start_s, source.end_s)
                    audio.write(path, wave, objective.RATE)
                    reference = recogniser.hear(wave)
                    for seed in range(TAKES):
                        out = path.with_name("out.wav")
                        conversion.convert(model, path, "new-voice", out, SamplingConfig(seed=seed))
                        converted = audio.read(out, objective.RATE)
                        embedding = objective.speaker_embedding(converted)
                        nearest = max(float(embedding @ other) for other in known)
                        wrong = errors(reference, recogniser.hear(converted))
                        lost = wrong["wer"] * wrong["words"]
                        rows.append((vocoder, _Row(float(embedding @ target), nearest, wrong["words"], lost)))
        finally:
            speaker_enrolment.remove(SpeechCodec(name), "new-voice")
    return rows


def _mean_embedding(utterances: Sequence[corpus.Utterance]) -> np.ndarray:
    """Mean Resemblyzer embedding of the first OTHERS utterances, of norm 1."""
    waves = (audio.read(utt.path, objective.RATE, utt.start_s, utt.end_s) for utt in utterances[:OTHERS])
    mean = np.mean([objective.speaker_embedding(wave) for wave in waves], axis=0)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main()
