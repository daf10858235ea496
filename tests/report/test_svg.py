"""Elements, axes and ticks, to the character."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from advcam.report.svg import Axis, element, number, path, ticks


def test_element_escapes_text_and_attributes_but_not_elements():
    title = element("title", '<b> & "c"')
    assert str(title) == "<title>&lt;b&gt; &amp; &#34;c&#34;</title>"
    drawn = element("rect", title, x=1, y=0.125, class_='a"b', stroke_width=2, fill=None)
    assert isinstance(drawn, Markup)
    assert str(drawn) == f'<rect x="1" y="0.12" class="a&#34;b" stroke-width="2">{title}</rect>'


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (10, "10"), (-0.001, "0"), (-1.5, "-1.5"), (2 / 3, "0.67"), (1e6, "1000000")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_axis_maps_both_ways_up():
    upright = Axis(10, 20, start=260, end=10)
    assert [upright(10), upright(15), upright(20)] == [260, 135, 10]


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.21, 0.29, 4, (0.22, 0.24, 0.26, 0.28)),
        (0, 26, 6, (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)),
        (3, 3, 4, (3,)),
    ],
)
def test_ticks_are_round_and_within(low, high, count, expected):
    assert ticks(low, high, count) == expected


def test_path_of_one_point_and_of_none():
    assert path([(1, 2)]) == "M1 2"
    assert path([]) == ""
