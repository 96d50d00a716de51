"""Charts are well-formed, always the same, and as long as their figures say."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks.pages import charts

_SVG = "{http://www.w3.org/2000/svg}"


def _lengths(svg: str) -> list[float]:
    root = ElementTree.fromstring(svg)
    return [float(rect.attrib["width"]) for rect in root.iter(f"{_SVG}rect") if rect.attrib["height"] == "17"]


def test_bars_are_logarithmic_and_claims_are_pale() -> None:
    svg = charts.bars(
        "a < b & c", "ms", [charts.Bar("one", 1.0), charts.Bar("ten", 10.0), charts.Bar("said", 100.0, claimed=True)]
    )
    one, ten, hundred = _lengths(svg)
    assert ten - one == pytest.approx(hundred - ten, abs=0.2)
    assert svg.count(charts._CLAIM) == 1  # pyright: ignore[reportPrivateUsage]
    assert "a &lt; b &amp; c" in svg
    assert "10 ms" in svg


def _circles(svg: str) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in ElementTree.fromstring(svg).iter(f"{_SVG}circle")]


def test_points_lie_where_their_values_do() -> None:
    svg = charts.scatter("cost", "ms", "dB", [("a", 1.0, 20.0), ("b", 10.0, 30.0), ("c", 100.0, 40.0)])
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(_circles(svg)[::2])]
    assert steps[0][0] == pytest.approx(steps[1][0], abs=0.2) and steps[0][0] > 0
    assert steps[0][1] == pytest.approx(steps[1][1], abs=0.2) and steps[0][1] < 0


@pytest.mark.parametrize("values", [[5.0], [3.0, 3.0], [0.001, 5000.0], [19.3, 19.4, 21.0]])
def test_axes_hold_any_values(values: list[float]) -> None:
    svg = charts.scatter("t", "x", "y", [("", value, value) for value in values])
    assert all(0 <= x <= 760 and 0 <= y <= 360 for x, y in _circles(svg))
    assert len(re.findall("<path", svg)) <= 26


def test_a_histogram_shows_rare_errors_too() -> None:
    svg = charts.histogram("errors", "codes", {"fp16": {-1: 1e-4, 0: 0.9998, 1: 1e-4}, "fp32": {0: 1.0}})
    root = ElementTree.fromstring(svg)
    heights = [float(r.attrib["height"]) for r in root.iter(f"{_SVG}rect")][1:4]
    assert heights[0] == pytest.approx(heights[2])
    assert 0 < heights[0] < heights[1]
    assert "+1" in svg and "-1" in svg


def test_the_same_figures_give_the_same_bytes() -> None:
    def draw() -> str:
        return charts.scatter("t", "x", "y", [("a", 1.0, 3.0), ("b", 2.0, 4.0)])

    assert draw() == draw()
