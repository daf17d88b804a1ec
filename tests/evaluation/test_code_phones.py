"""Codes mapped to phones."""

import numpy as np
import pytest

from vqspeech.evaluation import information
from vqspeech.evaluation.information import LabelledFrames

DRAWS = np.random.default_rng(0)


def stretches(symbols, labels, speakers="ab"):
    size = len(labels) // len(speakers)
    return [
        LabelledFrames(name, symbols[at * size : (at + 1) * size], labels[at * size : (at + 1) * size])
        for at, name in enumerate(speakers)
    ]


def test_codes_that_are_phones_by_another_name_are_all_mapped():
    labels = DRAWS.integers(0, 5, 1000)
    names = DRAWS.permutation(12)[:5]
    labelled = stretches(names[labels], labels)
    mapped = information.majority_label(information.counts(labelled, 12, 5))
    assert information.share(information.count_correct(mapped, labelled)).value == 1
    assert (mapped[names] == np.arange(5)).all()
    assert information.information(information.counts(labelled, 12, 5))["nmi"] == pytest.approx(1)


def test_a_symbol_never_seen_is_the_commonest_phone():
    table = np.array([[0, 3], [5, 1], [0, 0]])
    assert information.majority_label(table).tolist() == [1, 0, 0]
