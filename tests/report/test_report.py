"""The report of real runs on small data: what it holds, what it leaves out, and that names cannot break it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advcam.io.files import read_json
from advcam.pipeline.attribute import read_flags
from advcam.pipeline.config import RunConfig
from advcam.pipeline.graph import run_stages
from advcam.report.figures import headline, read_figures
from advcam.report.wording import percent

STAGES = ("classify", "attribute", "refine", "evaluate", "report")


class Outline(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and tag == "section"]
        self._in.append(tag)

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "script"}.intersection(self._in):
            self.text += data


@pytest.fixture(scope="module")
def measured(measured_config) -> tuple[RunConfig, str]:
    run_stages(measured_config, STAGES)
    return measured_config, (Path(measured_config.out) / "report.html").read_text(encoding="utf-8")


def test_sections_of_a_whole_run(measured):
    outline = Outline(measured[1])
    assert [name for name in outline.ids if name != "flagged"] == [
        "result",
        "gallery",
        "all",
        "growth",
        "classes",
        "thresholds",
        "classifier",
        "next",
        "run",
    ]
    links = [value for tag, name, value in outline.attributes if tag == "a" and name == "href"]
    assert links == [f"#{name}" for name in outline.ids]


def test_figures_come_with_split_count_and_threshold(measured):
    config, html = measured
    text = " ".join(Outline(html).text.split())
    found = headline(read_figures(read_json(Path(config.out) / "metrics.json")))
    assert found.seeds.split == "val"
    for figure in found.shown:
        assert f"{percent(figure.miou)}" in text
    assert f"mIoU on val (4 images), threshold {found.method.threshold:.2f}" in text
    assert "val (4 images) · threshold best of a sweep over the ground truth of train (4 images)" in text
    assert "train (4 images) · threshold fixed beforehand" in text
    assert "train (4 images) · threshold best of a sweep over the ground truth of train (4 images) upper bound" in text
    assert "The comparison rests on 4 images." in text


def test_the_page_needs_nothing_from_outside(measured):
    html = measured[1]
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", html)
    outline = Outline(html)
    assert not {"link", "iframe", "object", "embed", "base"} & set(outline.tags)
    sources = [value for _, name, value in outline.attributes if name in ("src", "srcset", "poster", "data")]
    assert sources
    assert all(value.startswith("data:image/webp;base64,") for value in sources)
    policy = next(value for _, name, value in outline.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_hostile_names_stay_text(measured):
    html = measured[1]
    outline = Outline(html)
    # The page's own, and the list of all images, which is data.
    assert outline.tags["script"] == 2
    assert ("script", "type", "application/json") in outline.attributes
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]
    assert 'disc " onload=alert(1)' in outline.text
    assert "<b>bar</b>" in outline.text
    assert "<img src=x onerror=alert(1)>" in outline.text
    assert "data <i>" in outline.text
    # The only bold text is the page's own.
    assert not re.search(r"<b>bar", html)


def test_gallery_and_strips(measured):
    config, html = measured
    assert html.count('class="card') == 5
    assert html.count('class="strip"') == 1
    assert Counter(re.findall(r"<figcaption>([^<]+)</figcaption>", html))["step 2"] == 2
    flags = sorted(read_flags(Path(config.out) / "flagged.csv"), key=lambda flag: flag.probability)
    assert flags, "the network knows nothing, so some image must be flagged"
    first = html.index('<article class="card warned"')
    assert first == html.index('<article class="card')
    assert flags[0].image.replace("<", "&lt;").replace(">", "&gt;") in html[first : first + 2000]


def test_the_same_folder_gives_the_same_page(measured):
    config, html = measured
    run_stages(config, ("report",))
    again = (Path(config.out) / "report.html").read_text(encoding="utf-8")
    made = r"report · \d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.search(made, html)
    assert re.sub(made, "", again) == re.sub(made, "", html)


def test_what_is_not_there_is_left_out(bare_config):
    run_stages(replace(bare_config, limit=2), ("classify", "attribute", "report"))
    html = (Path(bare_config.out) / "report.html").read_text(encoding="utf-8")
    outline = Outline(html)
    assert [name for name in outline.ids if name not in ("flagged", "classifier")] == [
        "result",
        "gallery",
        "next",
        "run",
    ]
    text = " ".join(outline.text.split())
    assert "Nothing is measured: no image has a ground-truth mask." in text
    assert "AdvCAM seed" not in text
    captions = set(re.findall(r"<figcaption>([^<]+)</figcaption>", html))
    assert captions == {"image", "CAM"}
    assert "advcam refine --out" in text
    assert "Only the first 2 images of every split took part" in text


def test_nothing_but_a_classifier(bare_config):
    run_stages(bare_config, ("classify", "report"))
    outline = Outline((Path(bare_config.out) / "report.html").read_text(encoding="utf-8"))
    assert "gallery" not in outline.ids
    assert "run" in outline.ids
