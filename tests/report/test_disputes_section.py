"""The section on where scorers disagree: what it counts, what it shows, and that it fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Page
from gallery_data import NASTY, make_items, make_plain
from test_page import Outline

from datagen.records import Score, visible
from datagen.report import Limits, ReportItem, write_report
from tests.helpers.report_page import read_groups

JUDGES = {"counting": {"count"}, "vqa": {"count"}, "attribute": {"attribute"}}


def make_disputed(number: int, yes: float) -> ReportItem:
    """One sample that `vqa` affirms with a value and `counting` denies."""
    name = f"{number:04d}"
    given = [
        Score(f"{name}-00", "counting", "image", 0.0, f"found {number} {NASTY}", {"passed": False}),
        Score(f"{name}-00", "vqa", "image", yes, "the judge affirms it"),
        Score(f"{name}-00", "attribute", "image", None, "no attribute claim"),
    ]
    return make_plain(name, scores=given, passed=False)


def test_the_widest_come_first_and_all_are_counted(tmp_path: Path) -> None:
    items = [make_disputed(number, 0.5 + number / 100) for number in range(30)]
    path = write_report(tmp_path / "r.html", "r", items, judges=JUDGES, evaluators={"vqa"}, limits=Limits(samples=1))
    text = Outline(path).text
    section = text[text.index("Where scorers disagree") : text.index("Samples A part of the run")]
    assert "the 12 of 30 samples" in section
    assert "counting vqa 30" in section
    shown = read_groups(path, "disputed")
    assert [each["id"] for each in shown] == [f"{number:04d}-00" for number in range(29, 17, -1)]
    assert shown[0]["voices"][0] == ["counting", 0.0, f"found 29 {visible(NASTY)}", False]
    assert shown[0]["voices"][1][1:] == [pytest.approx(0.79), "the judge affirms it", True]


def test_no_dispute_no_section(report: Path, items: list[ReportItem], tmp_path: Path) -> None:
    assert "Where scorers disagree" not in Outline(report).text
    path = write_report(tmp_path / "r.html", "r", items, judges={"counting": {"count"}, "attribute": {"attribute"}})
    assert "Where scorers disagree" not in Outline(path).text


def test_it_fits_a_phone_and_complains_of_nothing(chromium: Page, tmp_path: Path) -> None:
    items = [*make_items(3), *(make_disputed(number, 0.9) for number in range(3))]
    path = write_report(tmp_path / "r.html", "r", items, judges=JUDGES, evaluators={"vqa"})
    chromium.open(path, width=360, height=800)
    assert chromium.run("document.querySelectorAll('.dispute').length") == 3
    assert chromium.run("document.documentElement.scrollWidth") <= 360
    chromium.open(path)
    assert chromium.run("document.documentElement.scrollWidth") <= 1280
    said = chromium.run("document.querySelector('.dispute').textContent")
    assert "0.90✓ vqa evaluates only the judge affirms it" in said
    assert "✗ counting found 0 <script>alert(1)</script>" in said
    assert chromium.complaints() == []
