"""Charts: exact coordinates in small cases, read back from the SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from advcam.report.charts import Bar, Curve, Marker, bars, curves, limits, unbroken


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_bars_share_one_scale():
    svg = parsed(bars([Bar("CAM", 0.25, "cam"), Bar("AdvCAM", 0.5, "advcam")]))
    first, second = svg.findall("rect")
    assert svg.get("height") == "20"
    assert (first.get("y"), first.get("width"), first.get("class")) == ("1", "25%", "fill-cam")
    assert (second.get("y"), second.get("width"), second.get("class")) == ("11", "50%", "fill-advcam")
    assert first.findtext("title") == "CAM: 25.0"
    assert [line.get("x1") for line in svg.findall("line")] == ["0%", "25%", "50%", "75%", "100%"]


def test_an_undefined_bar_is_a_dot_and_values_stay_within():
    svg = parsed(bars([Bar("a", None, "cam"), Bar("b", 1.5, "cam"), Bar("c", -0.5, "cam")], grid=False))
    assert svg.find("circle/title").text == "a: not defined"
    assert [rect.get("width") for rect in svg.findall("rect")] == ["100%", "0%"]
    assert svg.get("aria-label") == "a –; b 150.0; c -50.0"


def test_a_mark_lies_where_its_value_is():
    svg = parsed(bars([Bar("dog", 0.8, "classifier")], mark=(0.125, "guessing: 12.5"), grid=False))
    (mark,) = svg.findall("line")
    assert (mark.get("x1"), mark.get("x2"), mark.findtext("title")) == ("12.5%", "12.5%", "guessing: 12.5")


def test_curve_coordinates():
    line = Curve("CAM", ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)), "cam")
    svg = parsed(curves([line], x_label="threshold", y_label="mIoU", size=(158, 152), factor=100))
    # 100 units each way between the margins; the upright axis ends at 1.08.
    assert svg.find("path").get("d") == "M44 112L94 65.7L144 19.41"
    assert svg.find("path").get("class") == "line line-cam"
    titles = [circle.findtext("title") for circle in svg.findall("circle")]
    assert titles == ["CAM, threshold 0: 0.0", "CAM, threshold 0.5: 50.0", "CAM, threshold 1: 100.0"]
    assert {text.text for text in svg.findall("text")} >= {"threshold", "mIoU", "0", "100"}


def test_markers_lie_on_the_curve():
    line = Curve("CAM", ((0.0, 0.0), (1.0, 1.0)), "cam")
    markers = [Marker(0.5, 0.5, "in use", "cam", "chosen"), Marker(1.0, 1.0, "best", "cam", "best")]
    svg = parsed(curves([line], x_label="x", y_label="y", markers=markers, size=(158, 152)))
    dot, ring = (circle for circle in svg.findall("circle") if circle.get("class") != "target")
    assert (dot.get("cx"), dot.get("cy"), dot.get("class"), dot.findtext("title")) == (
        "94",
        "65.7",
        "dot dot-cam",
        "in use",
    )
    assert (ring.get("cx"), ring.get("cy"), ring.get("class")) == ("144", "19.41", "ring ring-cam")
    (drop,) = (part for part in svg.findall("line") if "drop" in part.get("class"))
    assert (drop.get("x1"), drop.get("y1"), drop.get("y2")) == ("94", "65.7", "112")


def test_undefined_points_interrupt_a_line():
    points = ((0, None), (1, 1.0), (2, 2.0), (3, None), (4, 4.0), (5, None))
    assert unbroken(points) == [[(1, 1.0), (2, 2.0)], [(4, 4.0)]]
    svg = parsed(curves([Curve("a", points, "cam")], x_label="x", y_label="y"))
    assert len(svg.findall("path")) == 2
    assert len(svg.findall("circle")) == 3


def test_one_point_and_equal_values_can_be_drawn():
    for points in (((0.3, 0.4),), ((0.0, 0.0), (1.0, 0.0))):
        svg = parsed(curves([Curve("a", points, "cam")], x_label="x", y_label="y", from_zero=False))
        assert "nan" not in ElementTree.tostring(svg, encoding="unicode")


def test_limits_leave_room():
    assert limits([0.25, 0.5], from_zero=False) == pytest.approx((0.23, 0.52))
    assert limits([0.01, 0.5], from_zero=False)[0] == 0.0
    assert limits([0.0], from_zero=True) == (0.0, 0.1)


def test_labels_are_escaped():
    svg = curves([Curve("<script>", ((0, 1.0), (1, 2.0)), "cam")], x_label="<x>", y_label="&y")
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert "<script>" not in bars([Bar("<script>", 0.5, "cam")])
