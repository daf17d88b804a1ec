"""ABX discriminability: is X, a phone, nearer to A, the same phone, than to B, another one?

Within a speaker all three are said by one; across speakers A and B by one and X by another.  Half of the answers are
wrong by chance.

Source: Schatz et al., Evaluating speech features with the Minimal-Pair ABX task (2013), on single phones in any
    context.  Distances are angles, averaged along the path of dynamic time warping.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech.system.jit import load_librosa

Features = NDArray[np.floating]


class Token(NamedTuple):
    """Token: one instance of a phone, with its speaker and features (frames, dim)."""

    phone: str
    speaker: str
    features: Features


def error(tokens: Sequence[Token], across: bool, triples: int = 2000, seed: int = 0) -> float:
    """ABX error: share of triples answered wrongly (a tie is half wrong), averaged over pairs of phones.

    Args:
        across: X is another speaker's.
        triples: how many are drawn.

    Returns:
        0 to 1, and nan where there is no triple to draw.
    """
    draws = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, token in enumerate(tokens):
        if len(token.features):
            groups[token.speaker, token.phone].append(number)
    phones_of_speaker: dict[str, list[str]] = defaultdict(list)
    for speaker, phone in sorted(groups):
        phones_of_speaker[speaker].append(phone)
    speakers, wrong, answered = sorted(phones_of_speaker), 0.0, 0
    for _ in range(20 * triples):  # some draws have no triple
        if answered == triples or not speakers:
            break
        speaker = speakers[draws.integers(len(speakers))]
        if len(phones_of_speaker[speaker]) < 2:
            continue
        target, contrast = draws.choice(phones_of_speaker[speaker], 2, replace=False)
        other_speakers = [name for name in speakers if name != speaker and (name, target) in groups]
        if across and not other_speakers:
            continue
        of_x = groups[other_speakers[draws.integers(len(other_speakers))] if across else speaker, target]
        of_a, of_b = groups[speaker, target], groups[speaker, contrast]
        a, b, x = of_a[draws.integers(len(of_a))], draws.choice(of_b), of_x[draws.integers(len(of_x))]
        if a == x:
            continue
        to_a, to_b = (distance(tokens[index].features, tokens[x].features) for index in (a, b))
        wrong += 0.5 if np.isclose(to_a, to_b) else float(to_a > to_b)
        answered += 1
    return wrong / answered if answered else float("nan")


def distance(a: Features, b: Features) -> float:
    """Mean angle of two sequences (frames, dim) along the dynamic time warping path, 0 to 1."""
    norms = [np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b)]
    first, second = (side / np.maximum(norm, 1e-12) for side, norm in zip((a, b), norms, strict=True))
    angles = np.arccos(np.clip(first @ second.T, -1, 1)) / np.pi
    costs, path = load_librosa().sequence.dtw(C=angles.astype(np.float64))
    return float(costs[-1, -1] / len(path))
