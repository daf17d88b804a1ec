"""Splits: parts share no sentence."""

import pytest

from vqspeech import InputError
from vqspeech.data import splits
from vqspeech.data.corpus import Utterance


def some(speakers: int = 4, each: int = 25) -> list[Utterance]:
    """Everybody reads the first five sentences; the others have one reader each."""
    return [
        Utterance(f"s{s}_{n:03d}", f"s{s}", f"{s}-{n}.wav", text=f"common {n}" if n < 5 else f"only {s} says {n}")
        for s in range(speakers)
        for n in range(each)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_parts_share_no_sentence_and_drop_nothing(seed: int):
    utterances = some()
    parts = splits.split(utterances, seed)
    assert sorted(utt.key for part in parts.values() for utt in part) == sorted(utt.key for utt in utterances)
    words = [{splits.sentence(utt) for utt in part} for part in parts.values()]
    assert sum(map(len, words)) == len(set.union(*words))
    assert {utt.speaker for utt in parts["dev"] + parts["test"]} <= {utt.speaker for utt in parts["train"]}


def test_what_everybody_reads_is_held_out_only_where_the_rest_is_too_little():
    large, small = splits.split(some(5, 105)), [splits.split(some(), seed) for seed in range(20)]
    assert not any(utt.text.startswith("common") for utt in large["dev"] + large["test"])
    assert any(utt.text.startswith("common") for parts in small for utt in parts["dev"] + parts["test"])


def test_a_sentence_stays_in_its_part_while_the_corpus_grows():
    before, after = splits.split(some(6, 90)), splits.split(some(9, 90))
    where = {utt.key: name for name, part in after.items() for utt in part}
    assert all(where[utt.key] == name for name, part in before.items() for utt in part)


def test_another_seed_gives_another_split():
    assert splits.split(some(), 0)["test"] != splits.split(some(), 1)["test"]


def test_case_and_punctuation_make_no_other_sentence():
    utt, plain = (Utterance("k", "s", "x", text=text) for text in ("Ask her -- NOW, please!", "ask her now please"))
    assert splits.sentence(utt) == splits.sentence(plain)


def test_held_out_speakers_are_in_no_other_part():
    parts = splits.split_speakers(some(), 1)
    unseen = {utt.speaker for utt in parts.pop("unseen")}
    assert len(unseen) == 1
    assert not unseen & {utt.speaker for part in parts.values() for utt in part}
    with pytest.raises(InputError, match="4 of 4 speakers cannot be held out; choose 1 to 3"):
        splits.split_speakers(some(), 4)


def test_too_little_to_split_is_refused():
    with pytest.raises(
        InputError,
        match=r"2 utterances of 1 sentences by 1 speakers cannot be split: a part would be empty.*--unseen-speakers",
    ):
        splits.split([Utterance("a", "s", "x", text="t"), Utterance("b", "s", "y", text="t")])


@pytest.mark.parametrize("seed", range(20))
def test_somebody_with_one_sentence_does_not_spoil_the_split(seed: int):
    singles = [Utterance(f"t{n}_0", f"t{n}", "x", text=f"mine {n}") for n in range(40)]
    parts = splits.split(singles + some(2, 12), seed)
    assert all(parts.values())
    assert {utt.key for utt in singles} <= {utt.key for utt in parts["train"]}
