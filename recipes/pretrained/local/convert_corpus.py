#!/usr/bin/env python
"""Speech in other voices, to train a WaveNet vocoder on: convert_corpus.py MODEL OUT DATA_DIR... [--hours H].

Utterances of the Kaldi data directories, in random order, are each converted to a random voice of MODEL by the
source-filter vocoder, until there are H hours or each was taken twice.  OUT gets `audio/*.flac`, 16 bit, and tables.

Of a conversion there is no recording.  So a WaveNet hears smooth predicted features with recordings that differ from
them; with these waves it hears them with speech that follows them.

Source: training on the output of another synthesiser is knowledge distillation, Kim and Rush, Sequence-level knowledge
    distillation (2016).
"""

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch

from vqspeech import InputError, audio
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import corpus
from vqspeech.inference.speech_codec import SpeechCodec


def main() -> None:
    """Parse the command line and write the converted directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--hours", type=float, default=4.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec, draws, seconds, converted = SpeechCodec(args.model, "source-filter"), random.Random(0), 0.0, []
    utterances = 2 * [utt for directory in args.data for utt in corpus.read(directory)]
    draws.shuffle(utterances)
    (args.out / "audio").mkdir(parents=True, exist_ok=True)
    for number, utt in enumerate(utterances):
        if seconds > 3600 * args.hours:
            break
        wave = audio.read(utt.path, codec.sample_rate, utt.start_s, utt.end_s)
        speaker = draws.choice(codec.speakers)
        wave = codec.decode(codec.encode(np.concatenate([*preprocessed([wave], codec.sample_rate)])), speaker)
        key = f"{speaker}-x{number:05d}"
        path = args.out / "audio" / f"{key}.flac"
        audio.write(path, wave, codec.sample_rate)
        converted.append(corpus.Utterance(key, speaker, str(path)))
        seconds += len(wave) / codec.sample_rate
    corpus.write(args.out, sorted(converted, key=lambda utt: utt.key))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"convert_corpus.py: {error}")
