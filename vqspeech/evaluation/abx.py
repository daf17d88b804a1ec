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
    for number, one in enumerate(tokens):
        if len(one.features):
            groups[one.speaker, one.phone].append(number)
    said: dict[str, list[str]] = defaultdict(list)
    for speaker, phone in sorted(groups):
        said[speaker].append(phone)
    speakers, wrong, answered = sorted(said), 0.0, 0
    for _ in range(20 * triples):  # some draws have no triple
        if answered == triples or not speakers:
            break
        speaker = speakers[draws.integers(len(speakers))]
        if len(said[speaker]) < 2:
            continue
        same, other = draws.choice(said[speaker], 2, replace=False)
        others = [one for one in speakers if one != speaker and (one, same) in groups]
        if across and not others:
            continue
        of_x = groups[others[draws.integers(len(others))] if across else speaker, same]
        of_a = groups[speaker, same]
        a, b, x = of_a[draws.integers(len(of_a))], draws.choice(groups[speaker, other]), of_x[draws.integers(len(of_x))]
        if a == x:
            continue
        near, far = (distance(tokens[one].features, tokens[x].features) for one in (a, b))
        wrong += 0.5 if np.isclose(near, far) else float(near > far)
        answered += 1
    return wrong / answered if answered else float("nan")


def distance(one: Features, other: Features) -> float:
    """Mean angle of two sequences (frames, dim) along the dynamic time warping path, 0 to 1."""
    norms = [np.linalg.norm(side, axis=1, keepdims=True) for side in (one, other)]
    first, second = (side / np.maximum(norm, 1e-12) for side, norm in zip((one, other), norms, strict=True))
    angles = np.arccos(np.clip(first @ second.T, -1, 1)) / np.pi
    costs, path = load_librosa().sequence.dtw(C=angles.astype(np.float64))
    return float(costs[-1, -1] / len(path))
