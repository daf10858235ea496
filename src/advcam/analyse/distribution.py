"""Where the scores of the plain and of the climbed map lie (Fig. 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advcam.analyse.climbs import all_steps, fused, maps_of
from advcam.analyse.growth import spread_evenly
from advcam.analyse.localization import ScoreDistributions
from advcam.analyse.pictures import show_maps
from advcam.analyse.plot import colour, dash, dress
from advcam.analyse.result import Analysis
from advcam.analyse.subject import Subject
from advcam.data import image_size, read_mask
from advcam.evaluate.validation import true_corners

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("CAM", "AdvCAM")


def fig15(subject: Subject, *, shown: int = 2) -> Analysis:
    """Fig. 15: the scores of all pixels in falling order, plain and climbed map, mean over images and classes.

    With masks, or boxes where there are none, the mean score on the object and elsewhere is told.

    Args:
        subject: its images.
        shown: images beside the curves, spread evenly over the sample.
    """
    steps = (0, subject.climb.maps - 1)
    distributions = {kind: ScoreDistributions() for kind in KINDS}
    for record, scales in all_steps(subject, "fig15"):
        size = image_size(record.image)
        mask = None if record.mask is None else read_mask(record)
        boxes = true_corners(record) if len(record.classes) == 1 else []
        for distribution, maps in zip(distributions.values(), fused(scales, size, steps), strict=True):
            for index, one in zip(record.classes, maps, strict=True):
                inside = None if mask is None else mask == index + 1
                distribution.update(one, boxes, size, inside=inside, name=record.id)
    found = {kind: distribution.compute() for kind, distribution in distributions.items()}
    rows: list[dict[str, Any]] = [
        {"map": kind, "share of pixels": float(rank), "score": float(score)}
        for kind, one in found.items()
        for rank, score in zip(one.rank, one.score, strict=True)
    ]
    numbers: dict[str, Any] = {}
    for kind, one in found.items():
        numbers |= {
            f"mean score, {kind}": one.area,
            f"mean score on the object, {kind}": one.inside,
            f"mean score elsewhere, {kind}": one.outside,
            f"gap, {kind}": one.gap,
        }
    numbers["gap of AdvCAM over that of CAM"] = found["AdvCAM"].gap - found["CAM"].gap
    chosen = spread_evenly(subject.records, shown)

    def draw(figure: Figure) -> None:
        mosaic: Any = [[f"{kind}{i}" for kind in KINDS] + ["curves"] for i in range(len(chosen))]
        panels = figure.subplot_mosaic(mosaic, width_ratios=(1, 1, 1.8))
        axes = panels["curves"]
        dress(axes, "share of the pixels, highest first", "score")
        for index, (kind, one) in enumerate(found.items()):
            axes.plot(one.rank, one.score, color=colour(index), linestyle=dash(index), label=kind)
        axes.legend(frameon=False, fontsize=8)
        for index, record in enumerate(chosen):
            line = [panels[f"{kind}{index}"] for kind in KINDS]
            show_maps(line, subject, record, record.classes[0], maps_of(subject, record, steps)[:, 0], KINDS)

    return Analysis(
        "fig15",
        "Sorted scores of CAM and AdvCAM",
        "The scores of all pixels in falling order, each map between 0 and 1, mean over the images and their classes.",
        rows,
        numbers,
        paper={"gap of AdvCAM over that of CAM": "above 0"},
        facts=subject.described(),
        draw=draw,
        size=(9.0, 2.1 * max(1, len(chosen))),
    )
