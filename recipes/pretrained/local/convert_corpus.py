#!/usr/bin/env python
"""Speech in other voices, to train a WaveNet vocoder on.

    convert_corpus.py MODEL OUT DATA_DIR... [--hours H] [--enrol N]

Utterances of the Kaldi data directories, in random order, are each converted to a random voice of MODEL by the
source-filter vocoder, until there are H hours or each was taken twice.  The model first enrols N speakers of these
directories, with up to 10 to 60 s of speech, and half of the utterances are converted to them.  OUT gets
`audio/*.flac`, 16 bit, and tables.

Of a conversion there is no recording.  So a WaveNet hears smooth predicted features with recordings that differ from
them; with these waves it hears them with speech that follows them.

Source: training on the output of another synthesiser is knowledge distillation, Kim and Rush, Sequence-level knowledge
    distillation (2016).
"""

import argparse
import contextlib
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vqspeech import InputError, audio
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import corpus
from vqspeech.inference import speaker_enrolment
from vqspeech.inference.speech_codec import SpeechCodec

ENROLMENT_S = (10, 60)


def main() -> None:
    """Parse the command line and write the converted directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--enrol", type=int, default=0, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws, seconds, converted = random.Random(0), 0.0, []
    utterances = 2 * [utt for directory in args.data for utt in corpus.read(directory)]
    draws.shuffle(utterances)
    (args.out / "audio").mkdir(parents=True, exist_ok=True)
    with enrolled_speakers(args.model, utterances, args.enrol, draws) as enrolled:
        codec = SpeechCodec(args.model, "source-filter")
        known = [name for name in codec.speakers if name not in enrolled]
        for number, utt in enumerate(utterances):
            if seconds > 3600 * args.hours:
                break
            wave = read(codec, utt)
            speaker = draws.choice(draws.choice([known, enrolled or known]))
            wave = codec.decode(codec.encode(wave), speaker)
            key = f"{speaker}-x{number:05d}"
            path = args.out / "audio" / f"{key}.flac"
            audio.write(path, wave, codec.sample_rate)
            converted.append(corpus.Utterance(key, speaker, str(path)))
            seconds += len(wave) / codec.sample_rate
    corpus.write(args.out, sorted(converted, key=lambda utt: utt.key))


@contextlib.contextmanager
def enrolled_speakers(
    model: str, utterances: list[corpus.Utterance], number: int, draws: random.Random
) -> Iterator[list[str]]:
    """Names of speakers of the utterances that MODEL has enrolled until this is left."""
    by_speaker, names = defaultdict(list), []
    for utt in dict.fromkeys(utterances):
        by_speaker[utt.speaker].append(utt)
    try:
        for speaker in draws.sample(sorted(by_speaker), len(by_speaker)):
            if len(names) == number:
                break
            codec, limit_s = SpeechCodec(model, "source-filter"), draws.uniform(*ENROLMENT_S)
            with tempfile.TemporaryDirectory() as folder:
                paths, seconds = [], 0.0
                for utt in by_speaker[speaker]:
                    if seconds < limit_s:
                        paths.append(Path(folder) / f"{len(paths)}.wav")
                        wave = read(codec, utt)
                        audio.write(paths[-1], wave, codec.sample_rate)
                        seconds += len(wave) / codec.sample_rate
                with contextlib.suppress(InputError):  # too little speech
                    speaker_enrolment.enrol(codec, f"enrolled-{speaker}", paths)
                    names.append(f"enrolled-{speaker}")
        yield names
    finally:
        codec = SpeechCodec(model, "source-filter")
        for name in names:
            speaker_enrolment.remove(codec, name)


def read(codec: SpeechCodec, utt: corpus.Utterance) -> np.ndarray:
    """The wave of an utterance, (time,), as the codec takes it."""
    wave = audio.read(utt.path, codec.sample_rate, utt.start_s, utt.end_s)
    return np.concatenate([*preprocessed([wave], codec.sample_rate)])


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"convert_corpus.py: {error}")
