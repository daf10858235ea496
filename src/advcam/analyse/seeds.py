"""How good the seeds are after every step of a climb, against ground truth.

The best threshold is chosen on the very images that are scored, as the paper does for its seeds (section 5.2): the
figures compare settings, they are not results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from advcam.analyse.climbs import all_steps, fused
from advcam.analyse.subject import Subject
from advcam.data import image_size, read_mask
from advcam.evaluate import SegmentationScores, SweepCounts, SweepSettings, ThresholdSweep

# Steps that are scored; the last one of a climb is scored as well.
MARKS = (0, 1, 2, 3, 5, 8, 10, 13, 16, 20, 26, 30)
# The maps of small networks are wider than the paper's.
THRESHOLDS = SweepSettings(low=0.01, high=0.9).thresholds


@dataclass(frozen=True)
class SeedCurve:
    """Seeds after some of a climb's steps, at all thresholds."""

    steps: tuple[int, ...]
    sweeps: tuple[ThresholdSweep, ...]

    @cached_property
    def _best(self) -> list[int]:
        return [sweep.best_index for sweep in self.sweeps]

    @cached_property
    def best_scores(self) -> list[SegmentationScores]:
        """The scores at each step's own best threshold."""
        return [sweep.at(threshold) for sweep, threshold in zip(self.sweeps, self.thresholds, strict=True)]

    @property
    def miou(self) -> list[float]:
        """mIoU at each step's own best threshold."""
        return [scores.miou for scores in self.best_scores]

    @property
    def thresholds(self) -> list[float]:
        """Each step's own best threshold."""
        return [sweep.thresholds[index] for sweep, index in zip(self.sweeps, self._best, strict=True)]

    @cached_property
    def carried(self) -> list[float]:
        """mIoU at the plain map's best threshold, kept for all steps."""
        return [sweep.at(self.thresholds[0]).miou for sweep in self.sweeps]

    @property
    def best(self) -> int:
        """Index of the step with the highest mIoU."""
        return max(range(len(self.steps)), key=self.miou.__getitem__)


def marks(count: int) -> tuple[int, ...]:
    """The steps that are scored of a climb with ``count`` maps.

    >>> marks(5)
    (0, 1, 2, 3, 4)
    """
    return tuple(sorted({step for step in MARKS if step < count} | {count - 1}))


def seed_curve(subject: Subject, what: str, steps: Sequence[int] | None = None, *, last: bool = False) -> SeedCurve:
    """Score the seeds of a subject's images after some of their steps.

    Args:
        subject: its images need masks.
        what: a name for the progress.
        steps: which ones; ``marks`` unless told.
        last: each step's map alone in place of the sum (Table 11).

    Raises:
        DataError: an image has no ground truth.
    """
    subject.need_masks(what)
    wanted = tuple(steps) if steps is not None else marks(subject.climb.maps)
    counts = [SweepCounts(len(subject.class_names) + 1, THRESHOLDS) for _ in wanted]
    for record, scales in all_steps(subject, what):
        size = image_size(record.image)
        target = torch.from_numpy(read_mask(record, size))
        for count, maps in zip(counts, fused(scales, size, wanted, last=last), strict=True):
            count.update(maps, torch.tensor(record.classes), target, record.id)
    return SeedCurve(wanted, tuple(count.compute() for count in counts))


def seed_columns(sweep: ThresholdSweep) -> dict[str, float]:
    """The scores of seeds at their best threshold, in percent, for a table."""
    threshold = sweep.best_threshold
    best = sweep.at(threshold)
    names = ("miou", "precision", "recall", "f1")
    return {name: 100 * getattr(best, name) for name in names} | {"noise": best.noise, "threshold": threshold}
