"""What climbing and its regularizer bring to boxes (Table 10)."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate

from advcam.analyse.climbs import all_steps
from advcam.analyse.result import Analysis, by_name
from advcam.analyse.subject import Subject
from advcam.data import image_size
from advcam.evaluate import BoxAccSettings, BoxAccuracy
from advcam.evaluate.validation import true_corners

# CUB-200-2011, CutMix on ResNet-50: Top-1 Loc, MaxBoxAccV2 at 30, 50, 70 and their mean.
PAPER_ROWS = {
    "no climb": (57.6, 93.1, 70.8, 23.4, 62.4),
    "climb": (62.5, 98.0, 78.2, 26.4, 67.6),
    "climb, regularizer": (64.9, 97.3, 80.7, 32.5, 70.2),
}
COLUMNS = ("top1_loc", "box_acc_30", "box_acc_50", "box_acc_70", "mean")


def table10(subject: Subject) -> Analysis:
    """Table 10: Top-1 Loc and MaxBoxAccV2 without climbing, with it, and with the regularizer.

    Raw maps of one class per image, read as the benchmark does. "Without the regularizer" has lambda 0 and does not
    suppress other classes.

    Args:
        subject: images of one class with boxes; ``square`` 224 and ``ClimbSettings.localization()`` are the paper's.

    Raises:
        DataError: no image has one class and a box of it.
    """
    subject = subject.with_boxes("table10")
    free = subject.with_climb(reg_weight=0.0, suppress_others=False)
    rows: list[dict[str, Any]] = []
    right: dict[str, bool] = {}
    for name, variant in (("climb", free), ("climb, regularizer", subject)):
        accuracies = {"no climb": BoxAccuracy(BoxAccSettings()), name: BoxAccuracy(BoxAccSettings())}
        for record, scales in all_steps(variant, f"table10 {name}"):
            if record.id not in right:
                right[record.id] = recognised(subject, record)
            size = image_size(record.image)
            for accuracy, step in zip(accuracies.values(), (0, -1), strict=True):
                # The scales' raw maps are added on the grid of the first.
                first, *others = (steps.sums[0, step][None, None] for steps in scales)
                whole = sum((interpolate(one, first.shape[2:], mode="bilinear") for one in others), start=first)
                accuracy.update(whole[0, 0], true_corners(record), size, right[record.id], name=record.id)
        for kind, accuracy in accuracies.items():
            if kind == name or not rows:
                scores = accuracy.compute()
                values = (scores.top1_loc, *scores.v2.values(), scores.mean)
                rows.append({"maps": kind, **dict(zip(COLUMNS, values, strict=True)), "top1_cls": scores.top1_cls})
    return Analysis(
        "table10",
        "Boxes with climbing and its regularizer",
        "Top-1 Loc and MaxBoxAccV2, in percent, at the thresholds that are best on these very images, as the benchmark "
        "has it.",
        rows,
        by_name(COLUMNS, {row["maps"]: [row[column] for column in COLUMNS] for row in rows}),
        paper=by_name(COLUMNS, PAPER_ROWS),
        facts=subject.described() | {"images with boxes": len(subject.records)},
    )


def recognised(subject: Subject, record: Any) -> bool:
    """Whether the image's class is the classifier's first."""
    with subject.mapper.frozen(), torch.no_grad():
        return int(subject.mapper(subject.input_of(record)).argmax()) == record.classes[0]
