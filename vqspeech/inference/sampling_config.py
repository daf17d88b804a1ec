"""Sampling parameters: temperature, nucleus and random seed."""

from typing import NamedTuple

from vqspeech.errors import InputError

MAX_TEMPERATURE = 10.0


class SamplingConfig(NamedTuple):
    """How symbols are drawn from predicted distributions.

    `temperature`: divides the logits; 1 samples the model's distribution, 0 takes the likeliest class.  `top_p`: share
    of the probability mass that is sampled from (nucleus sampling, Holtzman et al., 2020); 1 is all of it.  `seed`: of
    the random numbers; the same seed gives the same samples.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a temperature or top_p out of range.
        """
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise InputError(
                f"temperature {self.temperature:g} is out of range; choose 0 (the likeliest) to {MAX_TEMPERATURE:g}"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p {self.top_p:g} is out of range; choose above 0 (the likeliest) to 1 (all)")
