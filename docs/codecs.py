"""Rates, times and quality of a trained model's files beside the classical codecs that are installed.

python docs/codecs.py RUN_DIR PRIOR_DIR DATA_DIR [UTTERANCES]

Needs `pip install 'vqspeech[measure]'`; of codec2, opus-tools and speex what is missing is left out.  Every recording
is cut to its utterance, coded, decoded, moved by up to 60 ms to where it fits the original best, and measured against
it: DNSMOS (overall; needs no original), ESTOI, wide-band PESQ.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from pesq import pesq
from pystoi import stoi
from speechmos import dnsmos

import vqspeech
from vqspeech import audio, codec, coding, corpus, mulaw
from vqspeech.composing import Composer
from vqspeech.synthesis import Model

RATE = 16000
Coder = Callable[[np.ndarray, str, Path], np.ndarray]


def main(run: str, prior: str, data: str, number: str = "16") -> None:
    """Prints a Markdown table."""
    model = vqspeech.load(run)
    composer = Composer(prior, model)
    utterances = corpus.read(data)
    chosen = utterances[:: max(1, len(utterances) // int(number))][: int(number)]
    waves = [(one.speaker, audio.read(one.path, RATE, one.start_s, one.end_s)) for one in chosen]
    seconds = sum(len(wave) for _, wave in waves) / RATE
    print(f"{len(waves)} utterances of {data}, {seconds:.0f} s")
    print(
        "| | bit/s | encode x real time | decode x real time | DNSMOS | ESTOI | PESQ |\n|---|---|---|---|---|---|---|"
    )
    print(row("original", 16 * RATE * seconds, seconds, [(0.0, 0.0, wave, wave) for _, wave in waves]))
    levels = [(0.0, 0.0, wave, through_mulaw(wave)) for _, wave in waves]
    print(row("8-bit mu-law", 8 * RATE * seconds, seconds, levels))
    for entropy in coding.ENTROPIES:
        print(ours(model, composer, entropy, waves, seconds))
    for name, tool, coder in PEERS:
        if shutil.which(tool):
            print(peer(name, coder, waves, seconds))


def ours(model: Model, composer: Composer, entropy: str, waves: list, seconds: float) -> str:
    """A row of ours; the sound is the same in all modes."""
    found, bits = [], 0.0
    for speaker, wave in waves:
        began = time.perf_counter()
        data = b"".join(codec.encode_blocks(model, [wave], speaker, entropy, composer))
        coded = time.perf_counter()
        heard = np.concatenate([*codec.decode_blocks(model, [data], temperature=0.8, prior=composer)])
        found.append((coded - began, time.perf_counter() - coded, wave, heard))
        bits += 8 * len(data)
    return row(f"vqspeech, {entropy}", bits, seconds, found)


def peer(name: str, coder: Coder, waves: list, seconds: float) -> str:
    """A row of a codec that is a program."""
    found, bits = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        for _, wave in waves:
            heard, size, times = coder(wave, name, room)
            found.append((*times, wave, heard))
            bits += 8 * size
    return row(name, bits, seconds, found)


def row(name: str, bits: float, seconds: float, found: list) -> str:
    """Means over the recordings: (seconds to encode, to decode, original, decoded)."""
    encode, decode = (sum(one[at] for one in found) for at in (0, 1))
    fitted = [(wave, fit(wave, heard)) for _, _, wave, heard in found]
    mos = np.mean([dnsmos.run(np.clip(heard, -1, 1), RATE)["ovrl_mos"] for _, heard in fitted])
    estoi = np.mean([stoi(wave, heard, RATE, extended=True) for wave, heard in fitted])
    quality = np.mean([pesq(RATE, wave, heard, "wb") for wave, heard in fitted])
    times = [f"{seconds / spent:.1f}" if spent else "" for spent in (encode, decode)]
    return f"| {name} | {bits / seconds:,.0f} | {times[0]} | {times[1]} | {mos:.2f} | {estoi:.2f} | {quality:.2f} |"


def fit(wave: np.ndarray, heard: np.ndarray, reach: int = round(0.06 * RATE)) -> np.ndarray:
    """What was heard, as long as the original and moved to where they correlate most."""
    padded = np.pad(heard, (reach, reach + max(0, len(wave) - len(heard))))
    gains = [abs(float(wave @ padded[at : at + len(wave)])) for at in range(0, 2 * reach + 1, 4)]
    at = 4 * int(np.argmax(gains))
    return padded[at : at + len(wave)].astype(np.float32)


def through_mulaw(wave: np.ndarray) -> np.ndarray:
    """The wave as 8-bit classes say it: the best that a model of them can do."""
    return mulaw.expand(mulaw.compress(wave))


def codec2(wave: np.ndarray, name: str, room: Path) -> tuple:
    """Codec 2, which has 8 kHz and no container."""
    mode = name.split()[2]
    narrow = b"".join(
        (np.clip(one, -1, 1) * 32767).astype("<i2").tobytes() for one in audio.resampled([wave], RATE, 8000)
    )
    (room / "in.raw").write_bytes(narrow + bytes(2 * 8 * 80))
    times = timed(["c2enc", mode, "in.raw", "out.bit"], room), timed(["c2dec", mode, "out.bit", "out.raw"], room)
    heard = np.frombuffer((room / "out.raw").read_bytes(), "<i2").astype(np.float32) / 32768
    wide = np.concatenate([*audio.resampled([heard], 8000, RATE)])
    return wide, (room / "out.bit").stat().st_size * len(narrow) / (len(narrow) + 1280), times


def opus(wave: np.ndarray, _: str, room: Path) -> tuple:
    """Opus in Ogg at the lowest rate it has."""
    soundfile.write(room / "in.wav", wave, RATE)
    encode = ["opusenc", "--quiet", "--speech", "--bitrate", "6", "--framesize", "60", "in.wav", "out.opus"]
    times = timed(encode, room), timed(["opusdec", "--quiet", "--rate", str(RATE), "out.opus", "out.wav"], room)
    return soundfile.read(room / "out.wav")[0], (room / "out.opus").stat().st_size, times


def speex(wave: np.ndarray, _: str, room: Path) -> tuple:
    """Speex in Ogg at the lowest rate that it has for 16 kHz."""
    soundfile.write(room / "in.wav", wave, RATE)
    encode = ["speexenc", "--wideband", "--quality", "0", "--nframes", "10", "in.wav", "out.spx"]
    times = timed(encode, room), timed(["speexdec", "out.spx", "out.wav"], room)
    return soundfile.read(room / "out.wav")[0], (room / "out.spx").stat().st_size, times


def timed(words: list[str], room: Path) -> float:
    """The seconds that a program takes, its start included."""
    began = time.perf_counter()
    subprocess.run(words, cwd=room, check=True, capture_output=True)
    return time.perf_counter() - began


PEERS = [
    ("codec2 at 2400 bit/s", "c2enc", codec2),
    ("codec2 at 1600 bit/s", "c2enc", codec2),
    ("Opus at 6 kbit/s", "opusenc", opus),
    ("Speex, quality 0", "speexenc", speex),
]

if __name__ == "__main__":
    main(*sys.argv[1:])
