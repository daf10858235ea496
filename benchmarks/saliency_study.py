"""How well saliency maps find the foreground of a data set's masks, and what each rule makes of them.

    python benchmarks/saliency_study.py runs/sal/saliency --data VOC2012 --split train_mini

Prints the area under the ROC curve and the best F-measure (beta squared 0.3) over one threshold for all images, then
precision, recall and IoU of the object by each rule. ``centre`` in place of a folder is a Gaussian spot in the middle
of each picture, a third of its sides wide: what a detector has to beat. Pixels that the masks ignore are left out.

With ``--masks runs/sal/masks`` it prints what the ambiguity rule (section 4.5) sets aside at ``fixed 0.5``, and how
good labels are among what is kept and among what is set aside, in the images that have a mask there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from advcam.data import open_dataset
from advcam.data.images import open_picture
from advcam.data.masks import IGNORE, read_mask
from advcam.data.record import ImageSet
from advcam.evaluate import ConfusionMatrix
from advcam.refine.seeds import without_ambiguous
from advcam.saliency.folder import read_map
from advcam.saliency.threshold import salient

RULES = (("fixed", 0.2), ("fixed", 0.5), ("otsu", 0.0), ("adaptive", 0.0))


def centre(size: tuple[int, int]) -> np.ndarray:
    """A spot in the middle, its standard deviation 0.3 of each side."""
    rows, columns = (np.linspace(-0.5, 0.5, side) / 0.3 for side in size)
    return np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("maps", help="a folder of maps, or the word centre")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--masks", help="a folder of masks")
    asked = parser.parse_args()
    levels = np.zeros((2, 256))
    sums = {rule: np.zeros(3) for rule in RULES}
    images = open_dataset(asked.data, asked.split)
    for record in images.records:
        mask = read_mask(record)
        known, true = mask != IGNORE, mask > 0
        size = (mask.shape[0], mask.shape[1])
        saliency = centre(size) if asked.maps == "centre" else read_map(Path(asked.maps) / f"{record.id}.png", size)
        grey = np.rint(saliency * 255).astype(int)
        for kind in (0, 1):
            levels[kind] += np.bincount(grey[known & (true == kind)], minlength=256)
        for rule in RULES:
            said = salient(saliency, *rule) & known
            sums[rule] += [(said & true).sum(), said.sum(), (true & known).sum()]
    false, hits = (counts[::-1].cumsum() for counts in levels)
    precision, recall = hits / np.maximum(hits + false, 1), hits / hits[-1]
    best = (1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-12)).max()
    across, up = np.append(0, false / false[-1]), np.append(0, recall)
    area = (np.diff(across) * (up[1:] + up[:-1])).sum() / 2
    print(f"{asked.maps} on {len(images)} images: AUC {area:.3f}, best F {best:.3f}")
    for (rule, threshold), (hit, said, true) in sums.items():
        name = f"{rule} {threshold}" if rule == "fixed" else rule
        iou = hit / (said + true - hit)
        print(f"  {name:<10} precision {hit / max(said, 1):.3f}  recall {hit / true:.3f}  IoU {iou:.3f}")
    if asked.masks is not None:
        judge_ambiguity(images, Path(asked.maps), Path(asked.masks))


def judge_ambiguity(images: ImageSet, maps: Path, masks: Path) -> None:
    """Labels before the rule, among the pixels that it keeps, and among those that it sets aside."""
    parts = {part: ConfusionMatrix(len(images.class_names) + 1) for part in ("all", "kept", "set aside")}
    for record in images.records:
        if not (masks / f"{record.id}.png").exists():
            continue
        target = read_mask(record)
        with open_picture(masks / f"{record.id}.png") as file:
            labels = np.array(file)
        region = salient(read_map(maps / f"{record.id}.png", (target.shape[0], target.shape[1])))
        # As in a run: a map without an object says nothing.
        aside = without_ambiguous(labels, region) == IGNORE if region.any() else np.zeros(labels.shape, bool)
        for part, out in (("all", np.zeros_like(aside)), ("kept", aside), ("set aside", ~aside)):
            parts[part].update(torch.from_numpy(labels), torch.from_numpy(np.where(out, np.uint8(IGNORE), target)))
    pixels = {part: int(matrix.counts.sum()) for part, matrix in parts.items()}
    for part, matrix in parts.items():
        right = int(matrix.counts.diagonal().sum()) / max(pixels[part], 1)
        share = pixels[part] / pixels["all"]
        print(f"  {part:<10} {share:6.1%} of the pixels, {right:.1%} of them right, mIoU {matrix.compute().miou:.3f}")


if __name__ == "__main__":
    main()
