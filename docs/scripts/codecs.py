"""Rates, times and quality of a trained model's files beside the classical codecs that are installed.

python docs/scripts/codecs.py MODEL PRIOR_DIR DATA_DIR [UTTERANCES]

Needs `pip install 'vqspeech[measure]'`; of codec2, opus-tools and speex what is missing is left out.  Every recording
of a speaker whose voice the model has is cut to its utterance, coded, decoded in that voice, moved by up to 60 ms to
where it fits the original best, and measured against it: DNSMOS (overall; needs no original), ESTOI, wide-band PESQ.
"""

import sys
import time

import numpy as np

import vqspeech
from vqspeech import audio
from vqspeech.audio import mulaw
from vqspeech.codec import entropy_coding, vqs_files
from vqspeech.data import corpus
from vqspeech.evaluation import objective, reference_codecs
from vqspeech.evaluation.objective import RATE, Comparison, dnsmos, pesq
from vqspeech.inference.prior_sampler import PriorSampler
from vqspeech.inference.speech_codec import SpeechCodec


def main(run: str, prior: str, data: str, number: str = "16") -> None:
    """Prints a Markdown table."""
    model = vqspeech.load(run, "source-filter")
    composer = PriorSampler(prior, model)
    utterances = [utt for utt in corpus.read(data) if utt.speaker in model.speakers]
    chosen = utterances[:: max(1, len(utterances) // int(number))][: int(number)]
    waves = [(one.speaker, audio.read(one.path, RATE, one.start_s, one.end_s)) for one in chosen]
    seconds = sum(len(wave) for _, wave in waves) / RATE
    print(f"{len(waves)} utterances of {data}, {seconds:.0f} s")
    print(
        "| | bit/s | encode x real time | decode x real time | DNSMOS | ESTOI | PESQ |\n|---|---|---|---|---|---|---|"
    )
    print(row("original", 16 * RATE * seconds, seconds, [(0.0, 0.0, wave, wave) for _, wave in waves]))
    levels = [(0.0, 0.0, wave, mulaw.expand(mulaw.compress(wave))) for _, wave in waves]
    print(row("8-bit mu-law", 8 * RATE * seconds, seconds, levels))
    for codebooks in range(model.codebooks, 0, -1):
        for entropy in entropy_coding.CODERS if codebooks == composer.codebooks else ("packed", "adaptive"):
            print(ours(model, composer, entropy, codebooks, waves, seconds))
    for coder in reference_codecs.installed():
        print(peer(coder, waves, seconds))


def ours(model: SpeechCodec, composer: PriorSampler, entropy: str, codebooks: int, waves: list, seconds: float) -> str:
    """A row of ours; the sound of as many codebooks is the same in all modes."""
    found, bits = [], 0.0
    for speaker, wave in waves:
        began = time.perf_counter()
        data = b"".join(vqs_files.encode_blocks(model, [wave], speaker, entropy, composer, codebooks))
        coded = time.perf_counter()
        decoded = np.concatenate([*vqs_files.decode_blocks(model, [data], prior=composer)])
        found.append((coded - began, time.perf_counter() - coded, wave, decoded))
        bits += 8 * len(data)
    return row(f"vqspeech, {codebooks} of {model.codebooks} codebooks, {entropy}", bits, seconds, found)


def peer(coder: reference_codecs.ReferenceCodec, waves: list, seconds: float) -> str:
    """A row of a codec that is a program."""
    found, bits = [], 0.0
    for _, wave in waves:
        coded = coder(wave)
        found.append((coded.encode_s, coded.decode_s, wave, coded.wave))
        bits += 8 * coded.size
    return row(coder.name, bits, seconds, found)


def row(name: str, bits: float, seconds: float, found: list) -> str:
    """Means over the recordings: (seconds to encode, to decode, original, decoded)."""
    encode, decode = (sum(one[at] for one in found) for at in (0, 1))
    pairs = [Comparison(wave, heard) for _, _, wave, heard in found]
    mos, estoi, quality = (np.mean([of(pair) for pair in pairs]) for of in (dnsmos, objective.estoi, pesq))
    times = [f"{seconds / spent:.1f}" if spent else "" for spent in (encode, decode)]
    return f"| {name} | {bits / seconds:,.0f} | {times[0]} | {times[1]} | {mos:.2f} | {estoi:.2f} | {quality:.2f} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
