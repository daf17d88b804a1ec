#!/usr/bin/env python
"""Live conversion measured: delay and dropouts through a pipe at real-time pace, memory, and quality by look-ahead.

    python docs/scripts/live.py pace RECORDING... [--minutes 10] [--cores 1] [-- OPTION...]
    python docs/scripts/live.py memory RECORDING... [--minutes 60] [-- OPTION...]
    python docs/scripts/live.py quality PAIRS VOICES ASR

OPTIONs are those of `vqspeech live`.  PAIRS has rows of a recording, a tab and a speaker; VOICES is a data directory of
the speakers' own recordings, ASR a faster-whisper model.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import numpy as np

import vqspeech
from vqspeech import audio
from vqspeech.data import corpus
from vqspeech.data.recognition import Recogniser, errors
from vqspeech.evaluation.objective import speaker_embedding

RATE, BLOCK = 16000, 320
SPEAKER = "kokoro_af_heart"


def main() -> None:
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pace", "memory", "quality"])
    parser.add_argument("arguments", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=1)
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args, options = parser.parse_args(sys.argv[1:cut]), sys.argv[cut + 1 :]
    if args.what == "quality":
        quality(*args.arguments)
    else:
        pipe(args.arguments, args.minutes, args.cores, options, args.what == "pace")


def pipe(recordings: list[Path], minutes: float, cores: int, options: list[str], paced: bool) -> None:
    """Pipe recordings, one after the other, through `vqspeech live`, at real-time pace or as fast as it goes."""
    command = ["taskset", "-c", f"0-{cores - 1}", sys.executable, "-m", "vqspeech", "live", "-", "-o", "-"]
    process = subprocess.Popen(
        [*command, "--speaker", SPEAKER, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    stdin, stdout = process.stdin, process.stdout
    total = round(minutes * 60 * RATE) // BLOCK * BLOCK
    written, read, memory = np.zeros(total // BLOCK), [], []

    def write() -> None:
        start, place, buffer = time.perf_counter() + 10.0, 0, np.zeros(0, np.float32)  # 10 s to load the model
        time.sleep(10.0 if paced else 0.0)
        for path in cycle(recordings):
            buffer = np.concatenate([buffer, audio.read(path, RATE)])
            while len(buffer) >= BLOCK and place < total:
                if paced:
                    time.sleep(max(0.0, start + (place + BLOCK) / RATE - time.perf_counter()))
                stdin.write((32767 * buffer[:BLOCK]).astype("<i2").tobytes())
                stdin.flush()
                written[place // BLOCK] = time.perf_counter()
                buffer, place = buffer[BLOCK:], place + BLOCK
                if place % (total // 10 // BLOCK * BLOCK) == 0:
                    memory.append(resident_mib(process.pid))
            if place >= total:
                break
        stdin.close()

    thread = threading.Thread(target=write)
    thread.start()
    samples = 0
    while data := stdout.read(2 * BLOCK):
        samples += len(data) // 2
        read.append((samples, time.perf_counter()))
    thread.join()
    assert samples == total, (samples, total)
    print(process.stderr.read().decode().strip() if process.stderr else "")
    print("resident memory, MiB, at each tenth:", *memory)
    if paced:
        delays = np.array([when - written[(number - 1) // BLOCK] for number, when in read[:-20]])
        print(
            "delay of a sample, ms: "
            + ", ".join(f"{q} % {1000 * np.quantile(delays, q / 100):.0f}" for q in (1, 50, 99, 100))
        )
        late = delays > np.median(delays) + 0.08
        print(f"dropouts (blocks more than 80 ms later than the median): {int(late.sum())} of {len(late)}")


def resident_mib(pid: int) -> int:
    """Resident memory of a process."""
    (row,) = (row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(row.split()[1]) // 1024


def quality(pairs: Path, voices: Path, asr: Path) -> None:
    """WER and speaker similarity of live conversions by look-ahead, beside those of `convert`."""
    recogniser, model = Recogniser(str(asr)), vqspeech.load(vocoder="source-filter")
    rows = [line.split("\t") for line in pairs.read_text().splitlines() if line]
    means = {speaker: mean_embedding(voices, speaker) for speaker in {speaker for _, speaker in rows}}
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for source, speaker in rows:
            reference = recogniser.hear(audio.read(source, RATE))
            for how in ("0", "0.2", "0.5", "2", "offline"):
                path = Path(folder) / f"{how}.wav"
                if how == "offline":
                    vqspeech.convert(source, speaker, model, path)
                else:
                    live(model, source, speaker, float(how), path)
                wave = audio.read(path, RATE)
                wrong = errors(reference, recogniser.hear(wave))
                likeness = float(np.dot(speaker_embedding(wave), means[speaker]))
                found[how].append((wrong["wer"] * wrong["words"], wrong["words"], likeness))
                path.unlink()
    print(f"{'look-ahead':>10} recordings  WER  SECS")
    for how, numbers in found.items():
        wrong, words, likeness = np.array(numbers).T
        print(f"{how:>10} {len(numbers):10} {wrong.sum() / words.sum():5.2f} {likeness.mean():5.2f}")


def live(model, source: str, speaker: str, lookahead_s: float, path: Path) -> None:
    """Convert a recording live, in blocks of 40 ms."""
    from vqspeech.inference.live import LiveConverter

    converter = LiveConverter(model, speaker, 40.0, lookahead_s)
    with audio.Writer(path, RATE) as writer:
        for block in audio.blocks(source, RATE, block_s=0.04):
            writer.write(converter.push(block))
        writer.write(converter.finish())


def mean_embedding(voices: Path, speaker: str) -> np.ndarray:
    """Mean embedding of up to 12 recordings of a speaker."""
    own = [utterance for utterance in corpus.read(voices) if utterance.speaker == speaker][:12]
    mean = np.mean([speaker_embedding(audio.read(one.path, RATE, one.start_s, one.end_s)) for one in own], axis=0)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main()
