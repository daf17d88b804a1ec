"""Engine interface: every engine has every method, with the parameters of the interface."""

import inspect

import pytest

from vqspeech import InputError
from vqspeech.engines.protocol import ENGINES, Engine, load_engine


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("method", ["generate", "logits", "step"])
def test_every_engine_takes_what_the_interface_says(name, method):
    parameters = lambda function: {  # noqa: E731
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
    }
    expected = parameters(getattr(Engine, method))
    assert expected
    assert parameters(getattr(load_engine(name), method)) == expected


def test_an_unknown_engine_or_precision_is_refused_with_the_choice():
    with pytest.raises(InputError, match="engine 'abacus' is unknown; choose from numba, torch"):
        load_engine("abacus")
    with pytest.raises(InputError, match="precision 'int3' is unknown; choose from bfloat16, float32"):
        load_engine("numba", "int3")
