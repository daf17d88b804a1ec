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
    utterances = corpus.read(voices)
    by_speaker = {speaker: _voice(utterances, speaker) for speaker in model.speakers}
    embeddings = [embedding for embedding in by_speaker.values() if embedding is not None]
    source_utterances = corpus.read(sources)
    print("| speaker | enrolled with | seconds | nearer to herself | cosine to herself | to the nearest other |")
    print("|---|---|---|---|---|---|")
    for speaker in speakers:
        recordings = [utt for utt in corpus.read(unseen) if utt.speaker == speaker]
        lengths = np.cumsum([(utt.end_s or 4.0) - utt.start_s for utt in recordings])
        first = recordings[: int(np.searchsorted(lengths, ENROL_S)) + 1]
        target = _voice(recordings[len(first) :], speaker)
        if target is None:
            sys.exit(f"enrolment.py: {speaker} has no more than {ENROL_S:g} s in {unseen}")
        began = time.monotonic()
        speaker_enrolment.enrol(model, f"new-{speaker}", [Path(utt.path) for utt in first])
        took = time.monotonic() - began
        loaded, similarities = SpeechCodec(name), []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(SOURCES):
                source = source_utterances[number * len(source_utterances) // SOURCES]
                path = Path(folder) / f"{number}.wav"
                conversion.convert(loaded, source.path, f"new-{speaker}", path, SamplingConfig(0.9))
                converted = objective.speaker_embedding(audio.read(path, objective.RATE))
                nearest = max(float(converted @ embedding) for embedding in embeddings)
                similarities.append((float(converted @ target), nearest))
        speaker_enrolment.remove(loaded, f"new-{speaker}")
        share = np.mean([to_target > to_nearest for to_target, to_nearest in similarities])
        to_target, to_nearest = np.mean(similarities, axis=0)
        print(f"| {speaker} | {lengths[len(first) - 1]:.0f} s | {took:.0f} | {100 * share:.0f} % ", end="")
        print(f"| {to_target:.2f} | {to_nearest:.2f} |", flush=True)


def _voice(utterances: list[corpus.Utterance], speaker: str) -> np.ndarray | None:
    chosen = [utt for utt in utterances if utt.speaker == speaker][:OTHERS]
    if not chosen:
        return None
    waves = (audio.read(utt.path, objective.RATE, utt.start_s, utt.end_s) for utt in chosen)
    mean = np.mean([objective.speaker_embedding(wave) for wave in waves], axis=0)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
