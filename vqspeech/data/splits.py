"""Splits into train, dev and test: by a rule with a seed, without common sentences."""

import hashlib
import re
from collections import Counter, defaultdict

from vqspeech.data.corpus import Utterance
from vqspeech.errors import InputError

PARTS = ("train", "dev", "test")
HELD_OUT = 0.05
"""Share of the eligible sentences in each of dev and test."""
ENOUGH = 20
"""Sentences that a held-out part must expect for the eligible ones to be those of one reader only."""


def split(utterances: list[Utterance], seed: int = 0) -> dict[str, list[Utterance]]:
    """Train, dev and test without a common sentence, by a rule: a sentence's part depends on seed and words.

    Only sentences with one reader are held out, where there are enough of them: so nothing of what the
    others read is lost.  A speaker with no other sentence stays in train.  Without text, every utterance
    counts as a sentence.

    Args:
        seed: another seed, another split.

    Raises:
        InputError: too few sentences for a dev and a test part.
    """
    sentences, readers = {utt.key: sentence(utt) for utt in utterances}, defaultdict(set)
    for utt in utterances:
        readers[sentences[utt.key]].add(utt.speaker)
    counts = Counter(speaker for speakers in readers.values() for speaker in speakers)
    free = {words for words, speakers in readers.items() if all(counts[name] > 1 for name in speakers)}
    single = {words for words in free if len(readers[words]) == 1}
    eligible = single if len(single) * HELD_OUT >= ENOUGH else free
    ranked = sorted(eligible, key=lambda words: _share(seed, words))
    part = {words: _part(_share(seed, words)) for words in eligible}
    for name, words in zip(("dev", "test"), ranked, strict=False):
        if name not in part.values():  # a small corpus: the luck of the draw must not leave a part empty
            part[words] = name
    parts: dict[str, list[Utterance]] = {name: [] for name in PARTS}
    train_speakers = {utt.speaker for utt in utterances if part.get(sentences[utt.key], "train") == "train"}
    moved = {sentences[utt.key] for utt in utterances if utt.speaker not in train_speakers}
    for utt in utterances:
        words = sentences[utt.key]
        parts["train" if words in moved else part.get(words, "train")].append(utt)
    if not all(parts.values()):
        raise InputError(
            f"{len(utterances)} utterances of {len(readers)} sentences by {len(counts)} speakers cannot be split: "
            "a part would be empty, for no speaker leaves train; hold out whole speakers (--unseen-speakers), "
            "or train on all"
        )
    return parts


def split_speakers(utterances: list[Utterance], count: int, seed: int = 0) -> dict[str, list[Utterance]]:
    """The parts of `split`, and `unseen`: all utterances of `count` speakers that none of the others has.

    Raises:
        InputError: there are not more speakers than that.
    """
    speakers = sorted({utt.speaker for utt in utterances}, key=lambda name: _share(seed, name))
    if not 0 < count < len(speakers):
        raise InputError(f"{count} of {len(speakers)} speakers cannot be held out; choose 1 to {len(speakers) - 1}")
    unseen = set(speakers[:count])
    parts = split([utt for utt in utterances if utt.speaker not in unseen], seed)
    return parts | {"unseen": [utt for utt in utterances if utt.speaker in unseen]}


def sentence(utterance: Utterance) -> str:
    """Normalised sentence: words in lower case."""
    if utterance.text is None:
        return f"({utterance.key})"
    return " ".join(re.sub(r"[^\w' ]+", " ", utterance.text.casefold()).split())


def _share(seed: int, words: str) -> float:
    """Hash of the arguments as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {words}".encode()).digest()[:8], "big") / 2**64


def _part(share: float) -> str:
    return "dev" if share < HELD_OUT else "test" if share < 2 * HELD_OUT else "train"
