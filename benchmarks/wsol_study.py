"""Box accuracy over the steps of a climb, with and without the regularizer, for one trained classifier.

    python benchmarks/wsol_study.py CLASSIFIER --data VOC/wsol --steps 1 2 4 6 --reg 0 0.01 0.1

Prints one line for each weight of the regularizer, number of steps and split; step 1 is the plain map. lambda is in
the units of cells of 8 pixels (``advcam.adapted``).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import torch

from advcam.attribute.climb import ClimbStep, climb_pairs
from advcam.attribute.maps.cam import CAM
from advcam.attribute.settings import ClimbSettings, adapted
from advcam.classify.methods import load_method
from advcam.classify.wsol.method import LocalizationMethod
from advcam.classify.wsol.task import whole_square
from advcam.data import open_dataset
from advcam.data.record import ImageSet
from advcam.evaluate import BoxAccSettings, BoxAccuracy
from advcam.evaluate.boxes_result import BoxScores
from advcam.evaluate.validation import true_corners
from advcam.models.fold import fold_batch_norm

BATCH = 16


def study(
    network: LocalizationMethod, images: ImageSet, climb: ClimbSettings, steps: list[int], side: int
) -> dict[int, BoxScores]:
    """The scores of the maps summed over the first so many steps."""
    classifier = network.classifier
    mapper = fold_batch_norm(classifier.mapper())
    climb = replace(adapted(climb, CAM(mapper, signed=True).units), steps=max(steps))
    scores = {count: BoxAccuracy(BoxAccSettings()) for count in steps}
    for start in range(0, len(images), BATCH):
        records = images.records[start : start + BATCH]
        squares = [whole_square(record, side, mapper.mean, mapper.std) for record in records]
        sizes, inputs = [size for size, _ in squares], torch.stack([square for _, square in squares])
        classes = torch.tensor([record.classes[0] for record in records])
        seen: list[torch.Tensor] = []
        found = climb_pairs(mapper, inputs, classes, climb, on_step=partial(note, seen))
        sums = torch.stack(seen).cumsum(dim=0)
        right = found.logits.argmax(dim=1) == classes
        for index, (record, (height, width)) in enumerate(zip(records, sizes, strict=True)):
            for count, accuracy in scores.items():
                accuracy.update(sums[count - 1, index], true_corners(record), (width, height), bool(right[index]))
    return {count: accuracy.compute() for count, accuracy in scores.items()}


def note(seen: list[torch.Tensor], step: ClimbStep) -> None:
    seen.append(step.maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--splits", nargs="+", default=["val", "test"])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 6])
    parser.add_argument("--reg", type=float, nargs="+", default=[0.0, 0.01, 0.1])
    parser.add_argument("--step-size", type=float, default=ClimbSettings.localization().step_size)
    parser.add_argument("--side", type=int, default=192)
    asked = parser.parse_args()
    network, names = load_method(asked.classifier)
    started = time.process_time()
    print("split lambda steps |  0.3   0.5   0.7  mean | V1 | Top-1 Cls  Loc | thresholds | median best IoU")
    for reg in asked.reg:
        climb = replace(ClimbSettings.localization(), reg_weight=reg, step_size=asked.step_size)
        for split in asked.splits:
            images = open_dataset(asked.data, split, classes=names)
            method = cast(LocalizationMethod, network)
            for count, found in study(method, images, climb, asked.steps, asked.side).items():
                levels = " ".join(f"{value:5.1f}" for value in found.v2.values())
                taus = "/".join(f"{tau:.2f}" for tau in found.thresholds.values())
                said = f"{found.mean:5.1f} | {found.v1:.1f} | {found.top1_cls:.1f} {found.top1_loc:.1f}"
                median = float(found.all.best_iou.median())
                print(f"{split:5} {reg:6g} {count:5} | {levels} {said} | {taus} | {median:.3f}", flush=True)
    print(f"{time.process_time() - started:.0f} s of CPU time")


if __name__ == "__main__":
    main()
