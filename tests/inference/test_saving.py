"""Saving of several results: each in its file, and one that fails stops no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqspeech import InputError
from vqspeech.inference.saving import save_each, stop


def pieces(lengths: list[int]):
    """Pairs of a request's number and a part of its wave: as many parts of one sample as its length."""
    return ((number, np.full(1, number)) for number, length in enumerate(lengths) for _ in range(length))


def join(waves) -> list[int]:
    return [int(sample) for wave in waves for sample in wave]


@given(st.lists(st.integers(0, 3), max_size=8), st.sets(st.integers(0, 7)))
def test_each_request_is_saved_once_in_order_and_failures_are_told(lengths, failing):
    saved, failures = {}, []

    def save(number, waves):
        saved[number] = join(waves)
        if number in failing:
            raise InputError(f"{number} cannot be written")

    done = [*save_each(len(lengths), pieces(lengths), save, failures.append)]
    assert list(saved) == [*range(len(lengths))]
    assert saved == {number: [number] * length for number, length in enumerate(lengths)}
    assert done == [number for number in saved if number not in failing]
    assert [str(failure) for failure in failures] == [f"{n} cannot be written" for n in saved if n in failing]


def test_a_file_that_fails_before_it_reads_its_wave_leaves_the_next_one_whole():
    saved = {}

    def save(number, waves):
        if number == 0:
            raise InputError("disk is full")
        saved[number] = join(waves)

    assert [*save_each(2, pieces([3, 2]), save, lambda _: None)] == [1]
    assert saved == {1: [1, 1]}


def test_the_first_failure_may_stop_the_rest():
    saved = []

    def save(number, waves):
        saved.append(number)
        raise InputError("disk is full")

    with pytest.raises(InputError, match="disk is full"):
        [*save_each(3, pieces([1, 1, 1]), save, stop)]
    assert saved == [0]


def test_an_error_of_the_decoder_stops_everything_and_is_no_failure_of_a_file():
    def decoded():
        yield 0, np.zeros(1)
        yield 1, np.zeros(1)
        raise InputError("code 512 is not in 0..511")

    saved, failures = [], []

    def save(number, waves):
        join(waves)
        saved.append(number)

    with pytest.raises(InputError, match="code 512"):
        [*save_each(3, decoded(), save, failures.append)]
    assert saved == [0]
    assert failures == []
