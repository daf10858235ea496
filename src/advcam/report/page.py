"""The whole page: what it shows, and how it becomes one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import jinja2
from markupsafe import Markup

from advcam.report.analyses import AnalysisSection
from advcam.report.charts import Bar, bars
from advcam.report.figures import Group, Headline
from advcam.report.gains import Chain
from advcam.report.gallery import Card
from advcam.report.growth import Strip
from advcam.report.localization import BoxSection
from advcam.report.panels import ClassChart, ClassifierChart, CurvePanel
from advcam.report.pictures import Picture
from advcam.report.tiles import Tile, as_data
from advcam.report.training import TrainingSection
from advcam.report.wording import Hint, Notice, counted, percent, place, points, tone

# Cards that are open from the beginning; the others are a click away, so that the page can be overseen.
OPEN_CARDS = 12
# Rows of long lists in the page; the files of the run folder hold all of them.
LISTED = 200


@dataclass(frozen=True)
class Fact:
    """One line of what was run."""

    name: str
    text: str


@dataclass(frozen=True)
class FlaggedClass:
    """A row of the list of flagged images."""

    image: str
    class_name: str
    probability: float
    reason: str


@dataclass(frozen=True)
class StageTime:
    """One stage of the run."""

    name: str
    status: str
    seconds: float
    text: str
    """The time in words."""


@dataclass(frozen=True)
class Page:
    """All that the page shows. What is empty or None is left out of it."""

    title: str
    summary: str
    made: str
    """When the page was made: the only thing in it that is not a function of the run folder."""
    claim: str
    claim_details: Sequence[str] = ()
    headline: Headline | None = None
    notices: Sequence[Notice] = ()
    facts: Sequence[Fact] = ()
    groups: Sequence[Group] = ()
    chains: Sequence[Chain] = ()
    class_chart: ClassChart | None = None
    boxes: BoxSection | None = None
    curve_panels: Sequence[CurvePanel] = ()
    cards: Sequence[Card] = ()
    truth_outlined: bool = False
    """Some card shows ground truth."""
    hatched: bool = False
    """Some card shows pixels that a mask leaves open."""
    tiles: Sequence[Tile] = ()
    more_images: int = 0
    """Images beyond those in ``tiles``."""
    box_shots: Sequence[Picture] = ()
    """Images with the boxes that were found on them."""
    box_total: int = 0
    box_images: int = 0
    trainings: Sequence[TrainingSection] = ()
    strips: Sequence[Strip] = ()
    analyses: Sequence[AnalysisSection] = ()
    """What ``advcam analyse`` measured of the run."""
    classifier: ClassifierChart | None = None
    flagged: Sequence[FlaggedClass] = ()
    flagged_images: int = 0
    left_out: Sequence[tuple[str, Sequence[str]]] = ()
    """Split and what was left out of it, in sentences."""
    hints: Sequence[Hint] = ()
    legend: Sequence[tuple[str, str]] = ()
    """Class name and colour."""
    stages: Sequence[StageTime] = ()
    command: str = ""
    changed: Sequence[tuple[str, str]] = ()
    """Settings that differ from the defaults."""
    config: str = ""
    """The whole configuration as YAML."""
    versions: Sequence[tuple[str, str]] = field(default=())

    @property
    def tile_classes(self) -> list[str]:
        """The classes that tiles can be chosen by."""
        return sorted({name for tile in self.tiles for name in tile.classes})


def render(page: Page) -> str:
    """The page as HTML. All text of it is escaped: names of files and classes can hold anything.

    The file loads nothing: its policy forbids every address except data inside the file, and every script except
    its own.
    """
    folder = files("advcam.report")
    style, script, template = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js", "page.html.j2")
    )
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": percent, "points": points, "counted": counted, "tone": tone}
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = environment.from_string(template).render(
        page=page,
        tile_data=as_data(page.tiles),
        style=Markup(style),
        script=Markup(script),
        script_digest=digest,
        place=place,
        one_bar=one_bar,
        open_cards=OPEN_CARDS,
        listed=LISTED,
        slowest=max((stage.seconds for stage in page.stages), default=0.0) or 1.0,
    )
    # Names of files that are not UTF-8 hold lone surrogates, which no encoding can write.
    return text.encode("utf-8", "replace").decode("utf-8")


def one_bar(label: str, value: float | None, style: str, text: str | None = None) -> Markup:
    """A single bar, as in tables."""
    return bars([Bar(label, value, style, text)], grid=False)
