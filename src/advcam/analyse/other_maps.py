"""What climbing brings to other maps of the same network (Table 12)."""

from __future__ import annotations

from typing import Any

from advcam.analyse.result import Analysis
from advcam.analyse.seeds import seed_columns, seed_curve
from advcam.analyse.subject import Subject

# Those that any network has; SEAM and SC-CAM are trained, and their runs measure them.
MAPS = ("cam", "gradcam_pp", "layercam")
# PASCAL VOC 2012 train, mIoU of the seeds.
PAPER = {
    "cam, plain": 48.8,
    "cam, climbed": 55.6,
    "cam, gain": 6.8,
    "gradcam_pp, plain": 47.7,
    "gradcam_pp, climbed": 50.7,
    "gradcam_pp, gain": 3.0,
}


def table12(subject: Subject) -> Analysis:
    """Table 12: seeds from several maps of the unchanged image and from their climbs, each at its own best threshold.

    Raises:
        DataError: an image has no ground truth.
    """
    rows: list[dict[str, Any]] = []
    numbers: dict[str, float] = {}
    for name in MAPS:
        own = subject.with_map(name)
        curve = seed_curve(own, f"table12 {name}", (0, own.climb.maps - 1))
        plain, climbed = (seed_columns(sweep) for sweep in curve.sweeps)
        rows += [{"map": name, "seeds": kind, **columns} for kind, columns in (("plain", plain), ("climbed", climbed))]
        numbers |= {f"{name}, plain": plain["miou"], f"{name}, climbed": climbed["miou"]}
        numbers[f"{name}, gain"] = climbed["miou"] - plain["miou"]
    return Analysis(
        "table12",
        "Climbing for other maps",
        "Seeds from the maps of the unchanged image and from the sum over the climb, each at its own best threshold on "
        "these images. The paper's methods have networks of their own; here all maps are of one network.",
        rows,
        numbers,
        paper=PAPER,
        facts=subject.described(),
    )
