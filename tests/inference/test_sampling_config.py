"""Sampling parameters: what is in range, and what is said of what is not."""

import math

import pytest

from vqspeech import InputError, SamplingConfig
from vqspeech.inference.sampling_config import MAX_TEMPERATURE


@pytest.mark.parametrize("temperature", [0.0, 1.0, MAX_TEMPERATURE])
@pytest.mark.parametrize("top_p", [1e-9, 1.0])
def test_the_ends_of_the_ranges_are_in_range(temperature, top_p):
    SamplingConfig(temperature, top_p).check()


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (SamplingConfig(-0.01), "temperature -0.01 is out of range; choose 0 (the likeliest) to 10"),
        (SamplingConfig(math.nan), "temperature nan is out of range; choose 0 (the likeliest) to 10"),
        (SamplingConfig(10.5), "temperature 10.5 is out of range; choose 0 (the likeliest) to 10"),
        (SamplingConfig(top_p=0.0), "top_p 0 is out of range; choose above 0 (the likeliest) to 1 (all)"),
        (SamplingConfig(top_p=1.01), "top_p 1.01 is out of range; choose above 0 (the likeliest) to 1 (all)"),
        (SamplingConfig(top_p=math.nan), "top_p nan is out of range; choose above 0 (the likeliest) to 1 (all)"),
    ],
)
def test_what_is_out_of_range_is_named_with_the_range(sampling, message):
    with pytest.raises(InputError) as error:
        sampling.check()
    assert str(error.value) == message
