#!/usr/bin/env python
"""Synthetic speech as a Kaldi data directory, from plain text and the voices of Kokoro-82M.

    synthesise.py MODEL.onnx VOICES TEXT OUT [--minutes 120] [--seed 1]

MODEL is Kokoro's network and VOICES a folder of its style tables (float32, 510 x 256, one `NAME.bin` a voice); the
English ones are used, those whose names begin with `af`, `am`, `bf` and `bm`.  TEXT is plain text, a book say: its
sentences of 4 to 22 words are dealt out among the voices, no sentence twice, so each voice reads text of its own.
Speed, pauses and level vary.  OUT gets `wav.scp`, `text`, `utt2spk` and `audio/*.flac` at 16 kHz.  The same command
goes on where it was stopped.  Needs `pip install kokoro-onnx soxr soundfile`; nothing is downloaded.
"""

import argparse
import random
import re
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from kokoro_onnx import Kokoro
from kokoro_onnx.session import rt

SAMPLE_RATE = 16000
WORDS = (4, 22)
SPEED = (0.85, 1.15)
PAUSE_S = (0.05, 0.4)
PEAK_DB = (-14.0, -2.0)
TABLE_EVERY = 50


def main() -> None:
    """Parse the command line and synthesise until the minutes are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("voices", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    names = sorted(path.stem for path in args.voices.glob("[ab][fm]_*.bin"))
    sentences = split_sentences(args.text.read_text(encoding="utf-8"))
    if not names or not sentences:
        parser.error("no English voice in VOICES, or no sentence of 4 to 22 words in TEXT")
    random.Random(args.seed).shuffle(sentences)
    kokoro = load(args.model, args.voices, names)
    (args.out / "audio").mkdir(parents=True, exist_ok=True)
    minutes, rows = 0.0, []
    for number, sentence in enumerate(sentences):
        if minutes >= args.minutes:
            break
        name = names[number % len(names)]
        key = f"kokoro_{name}-{number:05d}"
        path = args.out / "audio" / f"{key}.flac"
        if not path.exists():
            wave = speak(kokoro, name, sentence, np.random.default_rng([args.seed, number]))
            part = path.with_name(path.name + ".part")
            soundfile.write(part, wave, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            part.rename(path)
        minutes += soundfile.info(path).duration / 60
        rows.append((key, name, sentence, path))
        if number % TABLE_EVERY == 0:
            write_tables(args.out, rows)
            print(f"{number + 1} sentences, {minutes:.1f} minutes", flush=True)
    write_tables(args.out, rows)


def split_sentences(text: str) -> list[str]:
    """The sentences of WORDS words, without quotation marks, each once."""
    paragraphs = re.split(r"\n\s*\n", text)
    unique = {}
    for paragraph in paragraphs:
        flat = re.sub(r"[\"_“”*\[\]()]|--+", " ", " ".join(paragraph.split()))
        for sentence in re.split(r"(?<=[.!?])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)\s+", " ".join(flat.split())):
            words = re.findall(r"[A-Za-z']+", sentence)
            if WORDS[0] <= len(words) <= WORDS[1] and not sentence.isupper() and sentence[-1] in ".!?":
                unique[sentence] = None
    return list(unique)


def load(model: Path, voices: Path, names: list[str]) -> Kokoro:
    """Kokoro on one core, with the style tables of `names`."""
    options = rt.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = rt.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "voices.npz"
        styles = {name: np.fromfile(voices / f"{name}.bin", np.float32).reshape(510, 1, 256) for name in names}
        np.savez(table, allow_pickle=False, **styles)
        return Kokoro.from_session(session, str(table))


def speak(kokoro: Kokoro, name: str, sentence: str, rng: np.random.Generator) -> np.ndarray:
    """A sentence at 16 kHz, float32, at a random speed and level, with a random pause before and after it."""
    language = "en-gb" if name.startswith("b") else "en-us"
    wave, rate = kokoro.create(sentence, name, speed=float(rng.uniform(*SPEED)), lang=language)
    wave = soxr.resample(wave.astype(np.float32).ravel(), rate, SAMPLE_RATE)
    wave *= 10 ** (rng.uniform(*PEAK_DB) / 20) / max(1e-3, float(np.abs(wave).max()))
    leading, trailing = (round(seconds * SAMPLE_RATE) for seconds in rng.uniform(*PAUSE_S, size=2))
    return np.pad(wave, (leading, trailing))


def write_tables(out: Path, rows: list[tuple[str, str, str, Path]]) -> None:
    """`wav.scp`, `text` and `utt2spk`, sorted by key."""
    rows = sorted(rows)
    (out / "wav.scp").write_text("".join(f"{key} {path}\n" for key, _, _, path in rows), encoding="utf-8")
    (out / "text").write_text("".join(f"{key} {sentence}\n" for key, _, sentence, _ in rows), encoding="utf-8")
    (out / "utt2spk").write_text("".join(f"{key} kokoro_{name}\n" for key, name, _, _ in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
