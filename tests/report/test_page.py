"""The written file: whole, self-contained, escaped, and honest about what it leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from gallery_data import NASTY, make_items, make_plain

from datagen.errors import RunError
from datagen.records import Score
from datagen.report import ReportItem, write_report
from datagen.weighting import WeightDiagnosis, WeightReport


class Outline(HTMLParser):
    """Every tag with its attributes, and the text outside style and script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, spaces collapsed."""
        return " ".join(" ".join(self.words).split())


def test_every_sample_is_there_with_its_parts(report: Path, items: list[ReportItem]) -> None:
    outline = Outline(report)
    cards = [attributes for tag, attributes in outline.tags if tag == "article"]
    assert [card["data-id"] for card in cards] == [item.sample.id for item in items]
    assert [card["data-verdict"] for card in cards] == [item.verdict for item in items]
    pictures = [a for tag, a in outline.tags if tag == "img"]
    assert len(pictures) == sum(item.sample.image is not None for item in items)
    assert all(str(a["src"]).startswith("data:image/png;base64,") and a["alt"] for a in pictures)
    for item in items:
        assert str(item.sample.seed) in outline.text
        assert all(" ".join(score.reason.split()) in outline.text for score in item.scores)
    assert "Effective size" in outline.text
    assert "no image after # tokens" in outline.text


def test_nothing_is_loaded_from_elsewhere(report: Path) -> None:
    tags = Outline(report).tags
    addresses = [a[name] for _, a in tags for name in ("src", "href", "action", "srcset", "poster") if a.get(name)]
    assert all(str(address).startswith(("data:", "#")) for address in addresses)
    assert not [a for _, a in tags if "style" in a or any(name.startswith("on") for name in a)]
    assert "url(" not in report.read_text(encoding="utf-8").split("</style>")[0]
    policy = next(a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy


def test_what_came_from_a_model_is_text_wherever_it_stands(tmp_path: Path) -> None:
    evidence = {"detections": [{"label": NASTY, "color": "red", "box": [0, 0, 500, 500], "confidence": 1}]}
    scores = [Score("s", "counting", "image", 0.5, NASTY, evidence)]
    plan, image = f"<|obj_start|>{NASTY}<|obj_end|> {NASTY}", b"\x89PNG\r\n\x1a\n" + b"\0" * 20
    item = make_plain(text=NASTY, think=plan, image=image, scores=scores)
    row = WeightDiagnosis(NASTY, "text", 1, 1, 1, None, 1.0, 1.0, 1.0, 0.0, 1, 0, 1)
    path = write_report(
        tmp_path / "r.html",
        NASTY,
        [item],
        facts={NASTY: NASTY},
        weight_report=WeightReport((row,), (NASTY,)),
        run=NASTY,
    )
    outline = Outline(path)
    assert [tag for tag, _ in outline.tags].count("script") == 1
    assert not [a for tag, a in outline.tags if "onerror" in a]
    assert outline.text.count("<script>alert(1)</script>") >= 8
    assert "{{ 7*7 }}" in outline.text


def test_a_lone_surrogate_does_not_stop_the_page(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", [make_plain(text="half \ud800 pair")])
    assert "half ? pair" in path.read_text(encoding="utf-8")


def test_bytes_that_are_no_image_are_said_to_be_none(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", [make_plain(image=b"<svg onload=alert(1)>")])
    outline = Outline(path)
    assert "These bytes are no image." in outline.text
    assert not [tag for tag, _ in outline.tags if tag == "img"]


def test_a_large_run_says_what_it_leaves_out_and_counts_all(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", make_items(30), embed_limit=40)
    outline = Outline(path)
    assert [tag for tag, _ in outline.tags].count("article") == 40
    assert "40 of 120 samples are shown here" in outline.text
    assert "120 samples" in outline.text
    again = write_report(tmp_path / "again.html", "t", make_items(30), embed_limit=40, run="x")
    cut = re.compile(r'data-run="[^"]*"')
    assert cut.sub("", path.read_text()) == cut.sub("", again.read_text()), "the same run gives the same page"


def test_an_empty_run_is_a_page_too(tmp_path: Path) -> None:
    outline = Outline(write_report(tmp_path / "new" / "r.html", "nothing yet", []))
    assert "nothing yet" in outline.text
    assert "0 samples" in outline.text


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="report cannot be written"):
        write_report(tmp_path / "file" / "report.html", "t", [])


def test_an_older_page_stays_if_the_new_one_fails(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "old", [])
    before = path.read_bytes()

    def breaking() -> Iterator[ReportItem]:
        yield make_plain()
        raise KeyError("a shard is damaged")

    with pytest.raises(KeyError):
        write_report(path, "new", breaking())
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html"]


def test_unscored_is_what_has_no_reward_whatever_the_evaluators_could_judge(tmp_path: Path) -> None:
    def scores(sharp: float | None) -> list[Score]:
        graded, strict = (
            Score("s", "sharpness", "image", sharp, "sharp"),
            Score("s", "counting", "image", None, "blind"),
        )
        return [graded, strict, Score("s", "plan", "text", 0.5, "half")]

    items = [
        make_plain(candidate=k, scores=scores(sharp), image_reward=sharp, passed=None)
        for k, sharp in enumerate((0.5, 0.5, 0.5, None))
    ]
    path = write_report(tmp_path / "r.html", "t", items, evaluators=["counting", "plan"])
    text = Outline(path).text
    assert "Unscored images 25.0 % of samples have no image reward" in text
    assert "Unscored texts" not in text, "no scorer of the text weighs"
    assert "pass@1 –" in text
    path = write_report(tmp_path / "r.html", "t", items, evaluators=["counting"])
    assert "Unscored texts 100.0 % of samples have no text reward" in Outline(path).text
