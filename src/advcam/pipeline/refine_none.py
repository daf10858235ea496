"""The seed as the mask."""

from __future__ import annotations

from typing import Any

from advcam.pipeline import refine_crf
from advcam.pipeline.refine_crf import CRFRefiner
from advcam.pipeline.run import Run
from advcam.pipeline.thresholds import choose


def refiner(run: Run, kind: str) -> CRFRefiner:
    """For ``refine.method none``."""
    return CRFRefiner(run, choose(run, kind), crf=False)


def asked(run: Run) -> dict[str, Any]:
    """As of the CRF's masks."""
    return refine_crf.asked(run, crf=False)
