"""What every measure says of known faults: the table of docs/explanation/measures.md.

python docs/scripts/measures.py DATA_DIR [RECORDINGS]

Needs `pip install 'vqspeech[measure]'`; what is missing is left out.  The wrong speaker says the same sentence, so the
directory needs `text` and sentences that several speakers read.
"""

import sys
from collections import defaultdict

import numpy as np

from vqspeech import audio
from vqspeech.data import corpus, splits
from vqspeech.evaluation import objective, tables
from vqspeech.evaluation.objective import MEASURES, RATE, Comparison


def main(data: str, number: str = "8") -> None:
    """Prints the table."""
    readers = defaultdict(list)
    for one in corpus.read(data):
        readers[splits.sentence(one)].append(one)
    twice = [several[:2] for several in readers.values() if len({one.speaker for one in several[:2]}) == 2]
    pairs = [[audio.read(one.path, RATE, one.start_s, one.end_s) for one in two] for two in twice[: int(number)]]
    usable = [one for one in MEASURES if not one.missing]
    columns = [["", *(f"{one.name}, {one.unit}" for one in usable), "voice"]]
    for name in faults(*pairs[0]):
        changed = [(wave, faults(wave, other)[name]) for wave, other in pairs]
        values = [[one.of(Comparison(*pair)) for pair in changed] for one in usable]
        values.append(
            [float(objective.speaker_embedding(wave) @ objective.speaker_embedding(heard)) for wave, heard in changed]
        )
        columns.append([name, *(f"{np.mean(one):.2f}" for one in values)])
    header, *rows = zip(*columns, strict=True)
    print(f"{len(pairs)} recordings of {data}\n")
    print(tables.markdown([tables.Table(header, rows)]))


def faults(wave: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """The wave, and what can be wrong with it."""
    noise = np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32) * wave.std()
    return {
        "itself": wave,
        "40 ms later": np.concatenate([np.zeros(round(0.04 * RATE), np.float32), wave]),
        "half the amplitude": wave / 2,
        "noise 20 dB below": wave + noise / 10,
        "noise 10 dB below": wave + noise / np.sqrt(10),
        "noise as loud": wave + noise,
        "another speaker, same words": other,
        "reversed": wave[::-1].copy(),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
