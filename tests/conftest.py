"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before torch is loaded, as the command line does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the reference programs' vectors and the real images; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (reference vectors and real images), which is not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """``golden("climb/case_A")``: the arrays of one file of reference vectors."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "golden" / f"{name}.npz") as arrays:
            return dict(arrays)

    return load


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
