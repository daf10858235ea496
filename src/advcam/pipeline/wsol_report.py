"""What the report of a localization run shows, from its score maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from advcam.analyse.localization import ScoreDistribution, ScoreDistributions, best_box, worst_first
from advcam.attribute.wsol import ScoreMapFile
from advcam.data.images import read_image
from advcam.data.record import Record
from advcam.evaluate.boxes_result import GT_KNOWN
from advcam.evaluate.validation import true_corners
from advcam.pipeline.run import Run
from advcam.pipeline.wsol_evaluate import scored
from advcam.report.box_overlays import DrawnBox, box_overlay
from advcam.report.gallery import LONG_SIDE
from advcam.report.localization import NAMES, BoxCase, BoxSection, section
from advcam.report.pictures import picture, reduce_picture, reduced_size

# As in the paper's figures: ground truth blue, predictions green.
TRUTH, FOUND = (60, 110, 255), (40, 200, 60)
WORST = 8


def box_section(run: Run, metrics: dict[str, Any] | None) -> BoxSection | None:
    """The section on boxes; None where this is no localization run or nothing was measured."""
    results = (metrics or {}).get("wsol") or []
    if not results:
        return None
    split = results[-1]["split"]
    own = [result for result in results if result["split"] == split]
    maps_of = {result["masks"]: "cam" if result["masks"] == "cam" else "maps" for result in own}
    records = scored(run, split)
    distributions = {name: distribution(run, records, kind) for name, kind in maps_of.items()}
    method = NAMES.get(run.config.wsol.method, run.config.wsol.method.upper())
    return section(results, distributions, cases(run, records, own, maps_of), f"classifier trained by {method}")


def distribution(run: Run, records: list[Record], kind: str) -> ScoreDistribution:
    """Fig. 15 over all images of a split."""
    found = ScoreDistributions(run.config.box_acc.maps)
    for record in records:
        file = ScoreMapFile.load(run.folder.score_maps(record.id))
        score_map = torch.from_numpy(file.cam if kind == "cam" else file.maps)
        found.update(score_map, true_corners(record), file.image_size[::-1], name=record.id)
    return found.compute()


def cases(run: Run, records: list[Record], own: list[dict[str, Any]], maps_of: dict[str, str]) -> list[BoxCase]:
    """The images whose boxes, at the best threshold of the split, fit the truth worst (Fig. 13)."""
    last = own[-1]["masks"]
    thresholds = {result["masks"]: result["thresholds"].get(str(GT_KNOWN), 0.0) for result in own}

    def found_box(record: Record, name: str) -> Any:
        file = ScoreMapFile.load(run.folder.score_maps(record.id))
        score_map = torch.from_numpy(file.cam if maps_of[name] == "cam" else file.maps)
        size = file.image_size[::-1]
        return best_box(
            score_map, true_corners(record), size, thresholds[name], run.config.box_acc.maps, name=record.id
        )

    overlaps = [found_box(record, last).iou for record in records]
    shown = []
    for index in worst_first(overlaps, min(WORST, run.config.report.gallery)):
        record = records[index]
        image = read_image(record.image)
        height, width = image.shape[:2]
        size = reduced_size((height, width), LONG_SIDE)
        small = reduce_picture(np.ascontiguousarray(image), size)
        factor = size[1] / width
        truth = [DrawnBox(tuple(factor * side for side in corners), TRUTH) for corners in true_corners(record)]
        pictures = []
        for name in maps_of:
            found = found_box(record, name)
            x0, y0, x1, y1 = found.box
            drawn = DrawnBox((x0 * size[1], y0 * size[0], x1 * size[1], y1 * size[0]), FOUND)
            title = f"{NAMES.get(name, name)}, IoU {found.iou:.2f}"
            pictures.append(picture(title, f"{title} of {record.id}", box_overlay(small, [*truth, drawn])))
        file = ScoreMapFile.load(run.folder.score_maps(record.id))
        label, predicted = run.class_names[file.label], run.class_names[file.predicted]
        text = f"{label}, classified as {predicted}" if file.label != file.predicted else f"{label}, classified rightly"
        shown.append(BoxCase(record.id, text, pictures))
    return shown
