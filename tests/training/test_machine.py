"""What a training leaves of the process it ran in."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from advcam.training.machine import reproducible
from advcam.training.signals import noted_signals


def test_algorithms_and_random_numbers_are_as_before() -> None:
    before, state = torch.are_deterministic_algorithms_enabled(), torch.random.get_rng_state()
    with reproducible(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(3)
    assert torch.are_deterministic_algorithms_enabled() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_second_interrupt_does_not_wait() -> None:
    before, called = signal.getsignal(signal.SIGINT), []

    def twice() -> None:
        with noted_signals(lambda: called.append(1)) as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.number == signal.SIGTERM
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert called == [1]
    assert signal.getsignal(signal.SIGINT) == before
