"""What a training left to look at: its curves, and the pictures of its last validation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from advcam.data.images import read_image
from advcam.errors import DataError
from advcam.io.files import read_table
from advcam.report.charts import Curve, curves
from advcam.report.pictures import Picture, picture, reduce_picture, reduced_size

# Points of a curve: more of them are averaged, so that the page stays small and the curve can be read.
POINTS, SAMPLES, SIDE = 120, 4, 640


@dataclass(frozen=True)
class TrainingSection:
    """The curves of one training, as pairs of title and chart, and samples."""

    title: str
    charts: tuple[tuple[str, Markup], ...]
    samples: tuple[Picture, ...]


def training_section(title: str, folder: Path) -> TrainingSection | None:
    """The section of a training from ``log.csv``, ``validation.csv`` and ``samples``; None where there is nothing."""
    charts = []
    for file, said, skip in (("log.csv", "loss", ("lr",)), ("validation.csv", "score on validation images", ())):
        columns = read_columns(folder / file)
        updates = columns.pop("update", [])
        lines = [
            Curve(name, averaged(updates, values), style)
            for (name, values), style in zip(chosen(columns, skip).items(), ("advcam", "cam", "mask"), strict=False)
        ]
        if len(updates) > 1 and lines:
            percent = file == "validation.csv"
            label = " · ".join(line.label for line in lines) + (", %" if percent else "")
            factor = 100 if percent else 1
            decimals = 1 if percent else 3
            drawn = curves(
                lines, x_label="update", y_label=label, from_zero=not percent, factor=factor, decimals=decimals
            )
            charts.append((said, drawn))
    samples = last_samples(folder / "samples")
    return TrainingSection(title, tuple(charts), samples) if charts or samples else None


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a table of numbers; nothing where it is not there or not whole."""
    try:
        rows = read_table(path)
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    except (OSError, ValueError):
        return {}


def chosen(columns: dict[str, list[float]], skip: Sequence[str]) -> dict[str, list[float]]:
    """The columns that are drawn: at most three, none of single classes."""
    names = [name for name in columns if name not in skip and "/" not in name]
    return {name: columns[name] for name in names[:3]}


def averaged(updates: Sequence[float], values: Sequence[float]) -> tuple[tuple[float, float | None], ...]:
    """At most ``POINTS`` points, each the mean of a stretch.

    >>> averaged([1, 2], [0.5, 0.25])
    ((1.0, 0.5), (2.0, 0.25))
    """
    if not updates:
        return ()
    parts = np.array_split(np.arange(len(updates)), min(POINTS, len(updates)))
    x, y = np.asarray(updates, float), np.asarray(values, float)
    return tuple((float(x[part].mean()), float(y[part].mean())) for part in parts if np.isfinite(y[part]).all())


def last_samples(folder: Path) -> tuple[Picture, ...]:
    """The pictures of the last validation."""
    files = {
        (int(match[1]), match[2]): path
        for path in sorted(folder.glob("*.png"))
        if (match := re.fullmatch(r"(\d+)_(.+)\.png", path.name))
    }
    last = max((update for update, _ in files), default=0)
    found: list[Picture] = []
    for (update, name), path in sorted(files.items()):
        if update == last and len(found) < SAMPLES:
            try:
                pixels = read_image(path)
            except DataError:
                continue
            size = reduced_size(pixels.shape[:2], SIDE)
            found.append(picture(name, f"{name} after update {update}", reduce_picture(pixels, size)))
    return tuple(found)
