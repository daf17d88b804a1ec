#!/usr/bin/env python
"""Where a model loses words: word error rates from natural features to codes, by the source-filter vocoder.

    python docs/scripts/words.py MODEL ASR DATA_DIR... [--voice NAME]

Each utterance is said in its speaker's own voice, or in the voice NAME.  The reference is what the faster-whisper model
ASR recognises in the recording itself.
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
from vqspeech.data.recognition import Recogniser, errors
from vqspeech.inference.source_filter_vocoder import sharpen_formants
from vqspeech.inference.speech_codec import SpeechCodec
from vqspeech.nn.acoustic_model import N_MELS
from vqspeech.nn.f0 import estimate_f0, f0_to_phase, interpolate_f0
from vqspeech.nn.mel import dct_basis
from vqspeech.nn.source_filter import synthesize

N_MFCC = 20


@torch.inference_mode()
def main() -> None:
    """Parse the command line and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("asr")
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--voice")
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec, recogniser = SpeechCodec(args.model), Recogniser(args.asr)
    rates: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for utterance in (utterance for directory in args.data for utterance in corpus.read(directory)):
        speaker = args.voice or utterance.speaker
        if speaker not in codec.speakers:
            continue
        wave = audio.read(utterance.path, codec.sample_rate, utterance.start_s, utterance.end_s)
        wave = np.concatenate([*preprocessed([wave], codec.sample_rate)])[: len(wave) // codec.hop * codec.hop]
        reference = recogniser.hear(wave)
        for name, spoken in renderings(codec, wave, codec.speaker_index(speaker)).items():
            wrong = errors(reference, recogniser.hear(spoken))
            rates[name].append((wrong["words"], wrong["wer"] * wrong["words"], wrong["cer"] * wrong["letters"]))
    for name, rows in rates.items():
        words, wrong, _ = np.array(rows).sum(0)
        print(f"{name:42} {len(rows):4} recordings {words:5.0f} words  WER {wrong / words:.3f}")


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
        return sharpen_formants(prediction.log_mel.reshape(1, -1, N_MELS)), prediction.f0

    def speak(log_mel: torch.Tensor, f0: torch.Tensor) -> np.ndarray:
        hertz = interpolate_f0(f0, codec.hop)
        noise = torch.from_numpy(np.random.default_rng(0).random((1, hertz.shape[1]), dtype=np.float32))
        phase = f0_to_phase(hertz, codec.sample_rate)
        return synthesize(acoustic_model.mel, log_mel, hertz, phase, noise, codec.sample_rate)[0].numpy()

    latents = model.latents(classes)
    codes = model.quantizer.encode(latents)
    mel, f0 = predicted(model.quantizer.decode(codes))
    spoken = {
        "natural spectra and F0": speak(own_mel, own_f0),
        f"natural F0, spectra of {N_MFCC} MFCC": speak(own_mel @ basis.T @ basis, own_f0),
        "natural spectra, predicted F0": speak(own_mel, f0),
        "predicted spectra, natural F0": speak(mel, own_f0),
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
