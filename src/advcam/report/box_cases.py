"""What the report shows of boxes: the scores of all pixels, and the images whose boxes go most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcam.analyse.localization import ScoreDistribution, ScoreDistributions, best_box, worst_first
from advcam.attribute.wsol import ScoreMapFile
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.evaluate.boxes_result import GT_KNOWN
from advcam.evaluate.settings import ScoreMapSettings
from advcam.evaluate.validation import true_corners
from advcam.report.box_overlays import DrawnBox, box_overlay
from advcam.report.figures import name_of_masks
from advcam.report.gallery import LONG_SIDE
from advcam.report.localization import BoxCase
from advcam.report.pictures import picture, reduce_picture, reduced_size

# As in the paper's figures: ground truth blue, predictions green.
TRUTH, FOUND = (60, 110, 255), (40, 200, 60)

Scored = Sequence[tuple[Record, ScoreMapFile]]


def distribution(files: Scored, kind: str, settings: ScoreMapSettings) -> ScoreDistribution:
    """Fig. 15 over all images of a split."""
    found = ScoreDistributions(settings)
    for record, file in files:
        found.update(file.of(kind), true_corners(record), file.image_size, name=record.id)
    return found.compute()


def cases(
    files: Scored, own: Sequence[dict[str, Any]], settings: ScoreMapSettings, class_names: Sequence[str], count: int
) -> list[BoxCase]:
    """The images whose boxes, at the best threshold of the split, fit the truth worst (Fig. 13).

    Args:
        files: the images of the split, with their score maps.
        own: the results of the split in ``metrics.json``, the method last.
        settings: how maps become boxes.
        class_names: of the data set.
        count: so many images.
    """
    thresholds = {result["masks"]: result["thresholds"].get(str(GT_KNOWN), 0.0) for result in own}

    def found_box(record: Record, file: ScoreMapFile, kind: str) -> Any:
        truth, size = true_corners(record), file.image_size
        return best_box(file.of(kind), truth, size, thresholds[kind], settings, name=record.id)

    overlaps = [found_box(record, file, own[-1]["masks"]).iou for record, file in files]
    shown = []
    for index in worst_first(overlaps, count):
        record, file = files[index]
        image = read_image(record.image)
        size = reduced_size(image.shape[:2], LONG_SIDE)
        small = reduce_picture(np.ascontiguousarray(image), size)
        factor = size[1] / image.shape[1]
        truth = [DrawnBox(tuple(factor * side for side in corners), TRUTH) for corners in true_corners(record)]
        pictures = []
        for name in thresholds:
            found = found_box(record, file, name)
            x0, y0, x1, y1 = found.box
            drawn = DrawnBox((x0 * size[1], y0 * size[0], x1 * size[1], y1 * size[0]), FOUND)
            title = f"{name_of_masks(name)}, IoU {found.iou:.2f}"
            pictures.append(picture(title, f"{title} of {record.id}", box_overlay(small, [*truth, drawn])))
        label, predicted = class_names[file.label], class_names[file.predicted]
        text = f"{label}, classified as {predicted}" if file.label != file.predicted else f"{label}, classified rightly"
        shown.append(BoxCase(record.id, text, pictures))
    return shown
