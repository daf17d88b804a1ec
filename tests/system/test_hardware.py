"""Hardware: signals that wait for a step to end, and what a processor can do."""

import os
import signal
import time

import pytest
import torch

from vqspeech.system import hardware
from vqspeech.system.hardware import GracefulInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_remembered_and_handlers_are_restored(number):
    before = signal.getsignal(number)
    with GracefulInterrupt() as interrupt:
        assert interrupt.signal == 0
        os.kill(os.getpid(), number)
        assert interrupt.signal == number
    assert signal.getsignal(number) is before


def test_work_ends_at_once_when_a_signal_comes_and_is_not_begun_after_it():
    steps = []

    def work():
        steps.append("begun")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # a handler runs between two instructions
        steps.append("ended")

    with GracefulInterrupt() as interrupt:
        assert interrupt.run_unless_signalled(lambda: 7) == 7
        assert interrupt.run_unless_signalled(work) is None
        assert interrupt.run_unless_signalled(lambda: 7) is None
    assert steps == ["begun"]


def test_an_error_of_the_work_is_no_signal():
    with GracefulInterrupt() as interrupt, pytest.raises(ZeroDivisionError):
        interrupt.run_unless_signalled(lambda: 1 // 0)
    assert interrupt.signal == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core")
def test_cores_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert hardware.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert hardware.cores() == len(allowed)


def test_a_precision_that_is_named_is_taken_and_auto_is_what_the_processor_does(monkeypatch):
    assert hardware.in_bfloat16("bfloat16")
    assert not hardware.in_bfloat16("float32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda supported=supported: supported)
        assert hardware.in_bfloat16("auto") is supported
