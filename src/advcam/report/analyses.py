"""The figures and tables that ``advcam analyse`` left in a run, as a section of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advcam.analyse.result import read_analysis
from advcam.data.images import open_image
from advcam.report.pictures import Picture, picture

# Figures told of one analysis; its files hold the others.
TOLD = 12


@dataclass(frozen=True)
class AnalysisSection:
    """One figure or table."""

    name: str
    title: str
    caption: str
    place: str
    """On what it was measured."""
    plot: Picture | None
    numbers: tuple[tuple[str, str, str], ...]
    """Name, measured value and the paper's, in words."""
    more: int


def analysis_sections(folder: Path) -> list[AnalysisSection]:
    """All that is in a folder, by name; none where there is no folder."""
    return [section(path) for path in sorted(folder.glob("*.json"), key=by_number)]


def by_number(path: Path) -> tuple[str, int]:
    """Figures and tables in the paper's order.

    >>> sorted((Path(n) for n in ("table9.json", "fig11.json", "fig2.json")), key=by_number)
    [PosixPath('fig2.json'), PosixPath('fig11.json'), PosixPath('table9.json')]
    """
    word = path.stem.rstrip("0123456789")
    return word, int(path.stem[len(word) :] or 0)


def section(path: Path) -> AnalysisSection:
    """What one analysis wrote."""
    found = read_analysis(path)
    plot = None
    if (drawn := path.with_suffix(".png")).is_file():
        with open_image(drawn) as image:
            plot = picture(found["title"], found["caption"], np.asarray(image.convert("RGB")))
    numbers, paper = found["numbers"], found["paper"]
    told = [name for name in numbers if name in paper] + [name for name in numbers if name not in paper]
    facts = found["facts"]
    place = f"{facts['images']} images of {facts['split']}" if {"images", "split"} <= set(facts) else ""
    return AnalysisSection(
        name=found["name"],
        title=found["title"],
        caption=found["caption"],
        place=place,
        plot=plot,
        numbers=tuple((name, words(numbers[name]), words(paper.get(name, ""))) for name in told[:TOLD]),
        more=max(0, len(told) - TOLD),
    )


def words(value: Any) -> str:
    """A value for a table of text.

    >>> words(48.8123), words(None), words(8), words("below 2")
    ('48.81', 'not defined', '8', 'below 2')
    """
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
