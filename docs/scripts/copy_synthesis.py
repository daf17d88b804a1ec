#!/usr/bin/env python
"""What vocoders make of a recording's own acoustic features, by the measures of the card.

    python docs/scripts/copy_synthesis.py VOCODER ASR DATA_DIR... [--every N]

VOCODER is a WaveNet vocoder's folder, such as english-16k's `vocoder/`.  Each Nth utterance is analysed and synthesised
by the source-filter vocoder and by the WaveNet.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from vqspeech import audio
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import corpus
from vqspeech.data.recognition import Recogniser, errors
from vqspeech.engines.protocol import load_engine
from vqspeech.evaluation import objective
from vqspeech.models import checkpoint
from vqspeech.models.wavenet_vocoder import AcousticFeatures, WaveNetVocoder
from vqspeech.nn.f0 import f0_to_phase, interpolate_f0
from vqspeech.nn.source_filter import synthesize


@torch.inference_mode()
def main() -> None:
    """Parse the command line and print a row for each vocoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocoder")
    parser.add_argument("asr")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    vocoder, recogniser, rows = checkpoint.load_vocoder(args.vocoder).model, Recogniser(args.asr), defaultdict(list)
    rate = vocoder.sample_rate
    for utterance in [utterance for directory in args.data for utterance in corpus.read(directory)][:: args.every]:
        wave = audio.read(utterance.path, rate, utterance.start_s, utterance.end_s)
        wave = np.concatenate([*preprocessed([wave], rate)])[: len(wave) // vocoder.step * vocoder.step]
        features, reference = vocoder.features(torch.from_numpy(wave)[None]), recogniser.hear(wave)
        own = objective.speaker_embedding(wave)
        spoken = {
            "recording": wave,
            "source-filter": source_filter(vocoder, features),
            "WaveNet": wavenet(vocoder, features),
        }
        for name, copy in spoken.items():
            wrong, pair = errors(reference, recogniser.hear(copy)), objective.Comparison(wave, copy)
            rows[name].append((
                wrong["words"], wrong["wer"] * wrong["words"], objective.dnsmos(pair),
                objective.pitch_correlation(pair), float(own @ objective.speaker_embedding(copy)),
            ))  # fmt: skip
    print(
        "| from the recording's own features | recordings | WER | DNSMOS | F0 corr. | SECS |\n|---|---|---|---|---|---|"
    )
    for name, results in rows.items():
        words, wrong, dnsmos, f0, similarity = np.array(results).T
        means = f"{np.nanmean(dnsmos):.2f} | {np.nanmean(f0):.2f} | {similarity.mean():.2f}"
        print(f"| {name} | {len(results)} | {wrong.sum() / words.sum():.2f} | {means} |")


def source_filter(vocoder: WaveNetVocoder, features: AcousticFeatures) -> np.ndarray:
    """A wave by the source-filter vocoder, (time,)."""
    hertz, rate = interpolate_f0(features.f0, vocoder.step), vocoder.sample_rate
    noise = torch.from_numpy(np.random.default_rng(0).random(tuple(hertz.shape), dtype=np.float32))
    log_mel = features.log_mel.transpose(1, 2)
    return synthesize(vocoder.mel, log_mel, hertz, f0_to_phase(hertz, rate), noise, rate)[0].numpy()


def wavenet(vocoder: WaveNetVocoder, features: AcousticFeatures) -> np.ndarray:
    """A wave sampled from the WaveNet, (time,)."""
    cond = vocoder.condition(features)
    uniforms = torch.from_numpy(np.random.default_rng(0).random((1, cond.shape[2] * vocoder.step), dtype=np.float32))
    temperatures = vocoder.temperatures.repeat(uniforms.shape[1] // vocoder.bands)
    symbols, _ = load_engine("numba", "bfloat16").generate(vocoder.wavenet, cond, uniforms, temperatures)
    return vocoder.wave(symbols, features.log_mel)[0].numpy()


if __name__ == "__main__":
    main()
