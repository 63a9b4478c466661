"""The section on where scorers disagree: what it counts, what it shows, and that it fits a phone."""

from __future__ import annotations

from pathlib import Path

from browser import Page
from gallery_data import NASTY, make_items, make_plain
from test_page import Outline

from datagen.records import Score
from datagen.report import ReportItem, write_report

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
    path = write_report(tmp_path / "r.html", "r", items, judges=JUDGES, evaluators={"vqa"}, embed_limit=1)
    text = Outline(path).text
    section = text[text.index("Where scorers disagree") : text.index("Samples A part of the run")]
    assert "the 12 of 30 samples" in section
    assert "counting vqa 30" in section
    shown = [number for number in range(30) if f"{number:04d}-00" in section]
    assert shown == list(range(18, 30))
    assert section.index("0029-00") < section.index("0018-00")
    assert "0.79 ✓ vqa evaluates only the judge affirms it" in section
    assert "✗ counting found 29 <script>alert(1)</script>" in section


def test_no_dispute_no_section(report: Path, items: list[ReportItem], tmp_path: Path) -> None:
    assert "Where scorers disagree" not in Outline(report).text
    path = write_report(tmp_path / "r.html", "r", items, judges={"counting": {"count"}, "attribute": {"attribute"}})
    assert "Where scorers disagree" not in Outline(path).text


def test_it_fits_a_phone_and_complains_of_nothing(chromium: Page, tmp_path: Path) -> None:
    items = [*make_items(3), *(make_disputed(number, 0.9) for number in range(3))]
    path = write_report(tmp_path / "r.html", "r", items, judges=JUDGES)
    chromium.open(path, width=360, height=800)
    assert chromium.run("document.querySelectorAll('.dispute').length") == 3
    assert chromium.run("document.documentElement.scrollWidth") <= 360
    chromium.open(path)
    assert chromium.run("document.documentElement.scrollWidth") <= 1280
    assert chromium.complaints() == []
