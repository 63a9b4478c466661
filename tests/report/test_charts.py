"""The plots: positions in them are the numbers they show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from datagen.report.charts import BINS, plot_dots, plot_histogram
from datagen.report.figures import Estimate, Weights

HALF = Estimate(0.5, 0.25, 0.75, 9)


def test_dots_stand_at_their_values() -> None:
    drawn = plot_dots((("image", "image reward", HALF), ("text", "text reward", None)), "one_kind")
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == "one_kind: image reward 0.50 (0.25 to 0.75), text reward –"
    (mark,) = root.findall("g")
    line, circle = mark.find("line"), mark.find("circle")
    assert line is not None
    assert circle is not None
    assert (line.attrib["x1"], circle.attrib["cx"], line.attrib["x2"]) == ("25.00%", "50.00%", "75.00%")


def weigh(values: list[tuple[float, str]]) -> Weights:
    weights = Weights()
    for value, verdict in values:
        weights.add(value, verdict)
    return weights


def test_histogram_bars_hold_every_weight_once() -> None:
    values = [(k / 50, "pass" if k % 2 else "fail") for k in range(100)] + [(40.0, "unjudged"), (0.0, "fail")]
    histogram = plot_histogram(weigh(values), "image weight")
    assert histogram is not None
    root = ElementTree.fromstring(histogram.svg)
    titles = " ".join(title.text or "" for title in root.iter("title"))
    counted = sum(int(number) for number in re.findall(r"(\d+) (?:pass|fail|unjudged)", titles))
    assert counted == histogram.count == len(values)
    assert histogram.top == 2.0, "one far weight does not squeeze the rest"
    assert histogram.zero_share == 2 / 102
    assert len(root.findall("g")) <= BINS
    assert plot_histogram(Weights(), "image weight") is None


def test_all_weights_zero_still_draw() -> None:
    histogram = plot_histogram(weigh([(0.0, "fail")] * 3), "text weight")
    assert histogram is not None
    assert histogram.zero_share == 1.0
