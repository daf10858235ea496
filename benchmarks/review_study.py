"""Does the review queue find what is wrong? Its order against the true IoU, for each reason and all together.

    python benchmarks/review_study.py RUN

RUN is a run folder whose images have true masks. Of each pair of image and class: Spearman's rank correlation of the
doubt with 1 - IoU, and how much of the worst tenth is found in the first fifth of the queue (0.2 by chance). Of labels:
how many the classifier would name were they taken away, and how many it names that no image has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import spearmanr

from advcam.data import open_dataset, splits
from advcam.data.masks import read_mask
from advcam.export.source import open_view
from advcam.review.doubt import disagreement, together
from advcam.review.queue import SEEN, pairs_of
from advcam.verbs.annotation import looking


def true_overlaps(run: Path, images: list[str], classes: list[int]) -> np.ndarray:
    """The IoU of each pair with its ground truth; NaN where there is none."""
    settings = yaml.safe_load((run / "run.yaml").read_text())["settings"]
    names = settings["splits"]["maps"] or splits(settings["data"]) or (None,)
    records = {r.id: r for name in names for r in open_dataset(settings["data"], name).records}
    view = open_view(run)
    found = []
    for image, index in zip(images, classes, strict=True):
        mask = view.mask(image)
        assert mask is not None
        truth = None if records[image].mask is None else read_mask(records[image], mask.shape)
        found.append(np.nan if truth is None else 1 - disagreement(mask, truth, index))
    return np.array(found)


def found_early(doubt: np.ndarray, iou: np.ndarray, worst: float, looked: float) -> float:
    """The part of the ``worst`` share of the masks that is among the ``looked`` share first in the queue."""
    wanted = np.argsort(iou, kind="stable")[: max(1, round(worst * len(iou)))]
    seen = np.argsort(-doubt, kind="stable")[: max(1, round(looked * len(doubt)))]
    return len(np.intersect1d(wanted, seen)) / len(wanted)


def main() -> None:
    run = Path(sys.argv[1])
    pairs = pairs_of(open_view(run))
    iou = true_overlaps(run, pairs.images, pairs.classes)
    known = ~np.isnan(iou)
    reasons = {name: values[known] for name, values in pairs.reasons().items()}
    print(f"{known.sum()} pairs, mean IoU {iou[known].mean():.3f}")
    print(f"{'reason':<10} {'rank correlation':>16} {'worst tenth in first fifth':>27}")
    for name, values in {**reasons, "together": together(reasons)}.items():
        rho, early = spearmanr(values, 1 - iou[known]).statistic, found_early(values, iou[known], 0.1, 0.2)
        print(f"{name:<10} {rho:>16.2f} {early:>27.2f}")
    view = open_view(run)
    if (look := looking(view)) is not None:
        named = {image: {k for k, p in look(image).items() if p >= SEEN} for image in dict.fromkeys(pairs.images)}
        own = {image: set(view.labels[image]) for image in named}
        found, wrong = (
            sum(len(part) for part in parts)
            for parts in zip(*((named[image] & own[image], named[image] - own[image]) for image in named), strict=True)
        )
        labels = sum(map(len, own.values()))
        others = len(own) * len(view.class_names) - labels
        print(f"unlabelled: {found} of {labels} labels would be named, and {wrong} of {others} that no image has")


if __name__ == "__main__":
    main()
