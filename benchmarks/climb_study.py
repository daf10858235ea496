"""Seed mIoU of climbing over its steps, for one setting and one scale, on part of a split. Resumable; one thread.

Writes the sums of the maps after 1, 3, 5, ... steps, and prints the best-threshold mIoU after each, alone or with the
sums of earlier calls at other scales added (``--with``). The thresholds are the best ones on these very images, so
the figures compare settings; they are not results.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from advcam.attribute.climb import ClimbStep, climb
from advcam.attribute.grid import FULL_STRIDE, add_scales, divide_by_max
from advcam.attribute.inputs import to_input
from advcam.attribute.settings import ClimbSettings
from advcam.data import open_dataset, read_image, read_mask
from advcam.data.transforms import scale_image
from advcam.evaluate import SweepCounts, SweepSettings
from advcam.models import load_classifier
from advcam.models.fold import fold_batch_norm

MARKS = (1, 3, 5, 8, 10, 15, 20, 27)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a name for the setting: the folder of its sums")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="train_mini")
    parser.add_argument("--classifier", required=True, help="a classifier's folder")
    parser.add_argument("--images", type=int, default=20, help="spread evenly over the split")
    parser.add_argument("--out", default="runs/climb_study")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--step-size", type=float, default=0.08, help="in units of the network's input")
    parser.add_argument("--reg-weight", type=float, default=4.375)
    parser.add_argument("--keep-others", action="store_true", help="do not suppress the other classes")
    parser.add_argument("--with", dest="others", nargs="*", default=[], help="names of earlier calls to add")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    images = open_dataset(asked.data, asked.split)
    step = len(images) // asked.images
    records = images.records[: step * asked.images : step]
    classifier, _ = load_classifier(asked.classifier, images.class_names)
    mapper = fold_batch_norm(classifier.to(memory_format=torch.channels_last).mapper())
    settings = replace(
        ClimbSettings.released(),
        steps=asked.steps,
        step_size=asked.step_size,
        reg_weight=asked.reg_weight,
        suppress_others=not asked.keep_others,
    )
    marks = [mark for mark in MARKS if mark <= asked.steps]
    counts = [SweepCounts(len(images.class_names) + 1, SweepSettings(high=0.9).thresholds) for _ in marks]
    for record in records:
        picture = read_image(record.image)
        path = Path(asked.out, asked.name, f"{record.id}.npz")
        if not path.exists():
            view = to_input(scale_image(picture, asked.scale), mapper)
            classes = torch.tensor(record.classes)
            sums: list[torch.Tensor] = []
            total = [torch.zeros(())]

            def keep(at: ClimbStep, total: list[torch.Tensor] = total, sums: list[torch.Tensor] = sums) -> None:
                total[0] = total[0] + at.maps
                if at.step + 1 in marks:
                    sums.append(total[0].clone())

            climb(mapper, view.expand(len(classes), -1, -1, -1), classes, settings, on_step=keep)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, sums=torch.stack(sums).numpy())
        size = picture.shape[:2]
        height, width = (((side - 1) // FULL_STRIDE + 1) * FULL_STRIDE for side in size)
        target = torch.from_numpy(read_mask(record, size))
        stored = [np.load(Path(asked.out, name, f"{record.id}.npz"))["sums"] for name in (asked.name, *asked.others)]
        for index, count in enumerate(counts):
            raw = [torch.from_numpy(sums[min(index, len(sums) - 1)]) for sums in stored]
            maps = divide_by_max(add_scales(raw, (height, width))[:, : size[0], : size[1]])
            count.update(maps, torch.tensor(record.classes), target)
    print(f"{asked.name} + {asked.others}, {len(records)} images of {asked.split}: steps, mIoU @ threshold, noise")
    for mark, count in zip(marks, counts, strict=True):
        found = count.compute()
        print(f"{mark:3d}  {100 * found.best.miou:.1f} @ {found.best_threshold:.2f}  {found.best.noise:.2f}")


if __name__ == "__main__":
    main()
