#!/usr/bin/env python
"""Does an enrolled voice sound like its owner?  enrolment.py MODEL UNSEEN_DIR VOICES_DIR SOURCES_DIR SPEAKER...

Each SPEAKER of UNSEEN_DIR, whom training never heard, is enrolled with some 30 s; SOURCES are converted to that voice,
and each conversion is compared, by Resemblyzer, with the rest of the speaker's recordings and with every voice of the
model.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vqspeech import SamplingConfig, audio
from vqspeech.data import corpus
from vqspeech.evaluation import objective
from vqspeech.inference import conversion, speaker_enrolment
from vqspeech.inference.speech_codec import SpeechCodec

ENROL_S, SOURCES, OTHERS = 30.0, 6, 4


def main(name: str, unseen: str, voices: str, sources: str, speakers: list[str]) -> None:
    """Prints a row a speaker."""
    model = SpeechCodec(name)
    known = {one: heard for one in model.speakers if (heard := _voice(corpus.read(voices), one)) is not None}
    said_by = corpus.read(sources)
    print("| speaker | enrolled with | seconds | nearer to herself | cosine to herself | to the nearest other |")
    print("|---|---|---|---|---|---|")
    for speaker in speakers:
        own = [one for one in corpus.read(unseen) if one.speaker == speaker]
        lengths = np.cumsum([(one.end_s or 4.0) - one.start_s for one in own])
        first = own[: int(np.searchsorted(lengths, ENROL_S)) + 1]
        herself = _voice(own[len(first) :], speaker)
        if herself is None:
            sys.exit(f"enrolment.py: {speaker} has no more than {ENROL_S:g} s in {unseen}")
        began = time.monotonic()
        speaker_enrolment.enrol(model, f"new-{speaker}", [Path(one.path) for one in first])
        took = time.monotonic() - began
        loaded, near = SpeechCodec(name), []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(SOURCES):
                source = said_by[number * len(said_by) // SOURCES]
                path = Path(folder) / f"{number}.wav"
                conversion.convert(loaded, source.path, f"new-{speaker}", path, SamplingConfig(0.9))
                heard = objective.speaker_embedding(audio.read(path, objective.RATE))
                near.append((float(heard @ herself), max(float(heard @ other) for other in known.values())))
        speaker_enrolment.remove(loaded, f"new-{speaker}")
        share = np.mean([one > other for one, other in near])
        print(f"| {speaker} | {lengths[len(first) - 1]:.0f} s | {took:.0f} | {100 * share:.0f} % ", end="")
        print(f"| {np.mean([one for one, _ in near]):.2f} | {np.mean([other for _, other in near]):.2f} |", flush=True)


def _voice(utterances: list[corpus.Utterance], speaker: str) -> np.ndarray | None:
    own = [one for one in utterances if one.speaker == speaker][:OTHERS]
    if not own:
        return None
    heard = [objective.speaker_embedding(audio.read(one.path, objective.RATE, one.start_s, one.end_s)) for one in own]
    return np.mean(heard, axis=0) / np.linalg.norm(np.mean(heard, axis=0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
