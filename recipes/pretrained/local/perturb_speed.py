#!/usr/bin/env python
"""Speed perturbation of a Kaldi data directory: perturb_speed.py DATA_DIR FACTOR OUT.

Each utterance is resampled, which changes tempo and pitch together; keys and speakers get the prefix `spFACTOR-`, as
those of Kaldi's `perturb_data_dir_speed.sh` do.  OUT gets `audio/*.flac`, 16 bit, 16 kHz, and the tables.

Source: Ko et al., Audio augmentation for speech recognition (2015).
"""

import sys
from dataclasses import replace
from pathlib import Path

import soxr

from vqspeech import InputError, audio
from vqspeech.data import corpus

SAMPLE_RATE = 16000


def main(directory: str, factor: str, out: str) -> None:
    """Write the perturbed directory."""
    folder = Path(out) / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    perturbed = []
    for utt in corpus.read(directory):
        wave = audio.read(utt.path, SAMPLE_RATE)
        end = len(wave) if utt.end_s is None else round(utt.end_s * SAMPLE_RATE)
        wave = soxr.resample(wave[round(utt.start_s * SAMPLE_RATE) : end], SAMPLE_RATE * float(factor), SAMPLE_RATE)
        path = folder / f"{utt.key}.flac"
        audio.write(path, wave, SAMPLE_RATE)
        prefix = f"sp{factor}-"
        speaker, key = prefix + utt.speaker, prefix + utt.key
        perturbed.append(replace(utt, key=key, speaker=speaker, path=str(path), start_s=0.0, end_s=None))
    corpus.write(out, perturbed)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (InputError, TypeError, ValueError) as error:
        sys.exit(f"perturb_speed.py: {error}")
