"""Random numbers of a training that depend on its seed alone, whatever was drawn before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Seed torch's generator of the CPU, on which networks are built, and leave it as it was found.

    No GPU is touched. Several numbers give a stream of its own for each part of a network that is built apart.

    >>> with seeded(1):
    ...     first = torch.rand(2)
    >>> with seeded(1):
    ...     torch.equal(torch.rand(2), first)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed[0] if len(seed) == 1 else drawn(*seed))
        yield


def drawn(*key: int) -> int:
    """One seed of 64 bits from several numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
