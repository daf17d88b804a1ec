#!/usr/bin/env python
"""Where a model loses words: word error rates from natural features to codes, by the source-filter vocoder.

    python docs/scripts/words.py MODEL ASR DATA_DIR... [--voice NAME] [--layer posteriors/layer.safetensors]

Each utterance is said in its speaker's own voice, or in the voice NAME.  The reference is what the faster-whisper model
ASR recognises in the recording itself.  With the layer of `vqspeech data posteriors`, the divergence of its phones from
those of the recording is printed too, in nats a frame, which differs less from one sample of recordings to another.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vqspeech import audio
from vqspeech.audio import mulaw
from vqspeech.audio.preprocessing import preprocessed
from vqspeech.data import corpus
from vqspeech.data.posteriors import HOP, Encoder, read_layer
from vqspeech.data.recognition import Recogniser, errors
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import estimate_f0, f0_to_phase, interpolate_f0
from vqspeech.nn.mel import dct_basis
from vqspeech.nn.source_filter import synthesize

N_MFCC, HIGH_BAND = 20, 30


@torch.inference_mode()
def main() -> None:
    """Parse the command line and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("asr")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--voice")
    parser.add_argument("--layer", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec, recogniser, encoder = SpeechCodec(args.model), Recogniser(args.asr), Encoder(args.asr)
    layer = read_layer(args.layer) if args.layer else None
    rates: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for utterance in (utterance for directory in args.data for utterance in corpus.read(directory)):
        speaker = args.voice or utterance.speaker
        if speaker not in codec.speakers:
            continue
        wave = audio.read(utterance.path, codec.sample_rate, utterance.start_s, utterance.end_s)
        wave = np.concatenate([*preprocessed([wave], codec.sample_rate)])[: len(wave) // codec.hop * codec.hop]
        reference = recogniser.hear(wave)
        phones = log_posteriors(encoder, layer, wave) if layer else None
        for name, spoken in renderings(codec, wave, codec.speaker_index(speaker)).items():
            wrong = errors(reference, recogniser.hear(spoken))
            nats = divergence(phones, log_posteriors(encoder, layer, spoken)) if phones is not None else np.nan
            frames = len(wave) // HOP
            rates[name].append((wrong["words"], wrong["wer"] * wrong["words"], frames, nats * frames))
    for name, rows in rates.items():
        words, wrong, frames, nats = np.array(rows).sum(0)
        print(
            f"{name:42} {len(rows):4} recordings {words:5.0f} words  WER {wrong / words:.3f}  "
            f"phones {nats / frames:.3f} nats"
        )


def log_posteriors(encoder: Encoder, layer: tuple[np.ndarray, np.ndarray], wave: np.ndarray) -> np.ndarray:
    """Log posteriors of the phones of a recording, (frames, phones)."""
    return F.log_softmax(torch.from_numpy(encoder.encode_wave(wave) @ layer[0].T + layer[1]), dim=1).numpy()


def divergence(reference: np.ndarray, spoken: np.ndarray) -> float:
    """Mean divergence of phone posteriors from those of a reference, in nats a frame."""
    frames = min(len(reference), len(spoken))
    reference, spoken = reference[:frames], spoken[:frames]
    return float((np.exp(reference) * (reference - spoken)).sum(1).mean())


def renderings(codec: SpeechCodec, wave: np.ndarray, speaker: int) -> dict[str, np.ndarray]:
    """A recording from its own features, from predicted ones, and from mixtures of both."""
    model, speakers = codec.net, torch.tensor([speaker])
    acoustic_model = model.acoustic_model
    assert acoustic_model, "this model has no acoustic model"
    signal, basis = torch.from_numpy(wave)[None], F.normalize(dct_basis(N_MELS, N_MFCC))
    own_mel = acoustic_model.mel(signal).transpose(1, 2)
    own_f0 = estimate_f0(signal, codec.sample_rate, codec.hop)
    classes = torch.from_numpy(mulaw.compress(wave))[None]

    def predicted(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = model.predict_acoustics(latents, speakers)
        return prediction.log_mel.reshape(1, -1, N_MELS), prediction.f0

    def speak(log_mel: torch.Tensor, f0: torch.Tensor) -> np.ndarray:
        hertz = interpolate_f0(f0, codec.hop)
        noise = torch.from_numpy(np.random.default_rng(0).random((1, hertz.shape[1]), dtype=np.float32))
        phase = f0_to_phase(hertz, codec.sample_rate)
        return synthesize(acoustic_model.mel, log_mel, hertz, phase, noise, codec.sample_rate)[0].numpy()

    latents = model.latents(classes)
    codes = model.quantizer.encode(latents)
    mel, f0 = predicted(model.quantizer.decode(codes))
    voiced = (own_f0 > 0).repeat_interleave(acoustic_model.parts, 1)[:, :, None]
    high = torch.arange(N_MELS) >= HIGH_BAND
    spoken = {
        "natural spectra and F0": speak(own_mel, own_f0),
        f"natural F0, spectra of {N_MFCC} MFCC": speak(own_mel @ basis.T @ basis, own_f0),
        "natural spectra, predicted F0": speak(own_mel, f0),
        "predicted spectra, natural F0": speak(mel, own_f0),
        "the same, 30 % natural": speak(0.7 * mel + 0.3 * own_mel, own_f0),
        "the same, half natural": speak(0.5 * mel + 0.5 * own_mel, own_f0),
        "the same, natural where voiced": speak(torch.where(voiced, own_mel, mel), own_f0),
        "the same, natural where unvoiced": speak(torch.where(voiced, mel, own_mel), own_f0),
        f"the same, natural from band {HIGH_BAND} up": speak(torch.where(high, own_mel, mel), own_f0),
        f"the same, natural below band {HIGH_BAND}": speak(torch.where(high, mel, own_mel), own_f0),
        "predicted, latents not quantised": speak(*predicted(latents)),
    }
    for books in range(codes.shape[2], 0, -1):
        quantised = model.quantizer.decode(codes[:, :, :books])
        spoken[f"predicted, codebooks: {books}"] = speak(*predicted(quantised))
    for lookahead_s in (0.5, 0.0):
        quantised = model.quantizer.decode(model.quantizer.encode(model.latents(classes, lookahead_s=lookahead_s)))
        spoken[f"predicted, look-ahead {lookahead_s:g} s"] = speak(*predicted(quantised))
    return spoken


if __name__ == "__main__":
    main()
