"""Codes against labels: majority labels, accuracy, mutual information.

Everything here is arrays of frames: `symbols` (codes, or clusters of anything) and `labels` (phones, as integers).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.evaluation.metrics import bootstrap_interval

Frames = NDArray[np.integer]


class LabelledFrames(NamedTuple):
    """Labelled frames of one utterance: symbols and labels, (frames,) each."""

    speaker: str
    symbols: Frames
    labels: Frames


class Share(NamedTuple):
    """A share of frames that are right, with the 95 % interval of a bootstrap over speakers."""

    value: float
    low: float
    high: float


def counts(stretches: Sequence[LabelledFrames], symbols: int, labels: int) -> NDArray[np.int64]:
    """Contingency table: (symbols, labels) counts."""
    table = np.zeros(symbols * labels, np.int64)
    for stretch in stretches:
        table += np.bincount(stretch.symbols.astype(np.int64) * labels + stretch.labels, minlength=symbols * labels)
    return table.reshape(symbols, labels)


def majority_label(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Majority label of each symbol; the most frequent label for a symbol that was never seen."""
    return np.where(table.any(axis=1), table.argmax(axis=1), table.sum(axis=0).argmax())


def count_correct(mapped: NDArray[np.int64], stretches: Sequence[LabelledFrames]) -> dict[str, tuple[int, int]]:
    """Correct frames and all frames of each speaker."""
    correct: dict[str, tuple[int, int]] = {}
    for stretch in stretches:
        right, total = correct.get(stretch.speaker, (0, 0))
        right += int((mapped[stretch.symbols] == stretch.labels).sum())
        correct[stretch.speaker] = right, total + len(stretch.labels)
    return correct


def share(by_speaker: dict[str, tuple[int, int]], seed: int = 0, draws: int = 1000) -> Share:
    """Share of correct frames, with the 95 % bootstrap interval over speakers."""
    values = np.array([by_speaker[speaker] for speaker in sorted(by_speaker)], float).reshape(-1, 2)
    if not values[:, 1].sum():
        return Share(float("nan"), float("nan"), float("nan"))
    right, total = values.T
    interval = bootstrap_interval(right / np.maximum(total, 1), total, seed, draws)
    return Share(float(right.sum() / total.sum()), *interval)


def above_chance(value: float, chance: float) -> float:
    """Accuracy relative to the majority baseline: 0 is chance, 1 is perfect.

    >>> round(above_chance(0.55, 0.1), 3)
    0.5
    """
    return (value - chance) / (1 - chance)


def information(table: NDArray[np.int64]) -> dict[str, float]:
    """Entropies, mutual information and V-measure of symbols and labels, from their counts.

    `nmi`: mutual information over the geometric mean of the entropies; `homogeneity`: over that of the labels;
    `completeness`: over that of the symbols; `v_measure`: the harmonic mean of these two; `purity`: the share of
    frames with their symbol's commonest label; `bits`: the mutual information itself.

    Source: Rosenberg and Hirschberg, V-Measure (2007).

    >>> {name: round(value, 2) for name, value in information(np.diag([5, 5])).items()}
    {'nmi': 1.0, 'homogeneity': 1.0, 'completeness': 1.0, 'v_measure': 1.0, 'purity': 1.0, 'bits': 1.0}
    """
    joint = table / max(1, table.sum())
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    symbol_bits, label_bits, joint_bits = map(_entropy, (rows, columns, joint.ravel()))
    bits = max(0.0, symbol_bits + label_bits - joint_bits)
    homogeneity = bits / label_bits if label_bits else 1.0
    completeness = bits / symbol_bits if symbol_bits else 1.0
    return {
        "nmi": bits / math.sqrt(symbol_bits * label_bits) if symbol_bits and label_bits else 0.0,
        "homogeneity": homogeneity,
        "completeness": completeness,
        "v_measure": 2 * homogeneity * completeness / max(homogeneity + completeness, 1e-12),
        "purity": float(joint.max(axis=1).sum()),
        "bits": bits,
    }


def windows(symbols: Frames, width: int) -> Frames:
    """Each symbol with its neighbours: (frames,) -> (frames, width), the ends repeated."""
    padded = np.pad(symbols, width // 2, "edge")
    return np.lib.stride_tricks.sliding_window_view(padded, width)


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())
