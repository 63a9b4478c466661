"""The written file: whole, self-contained, escaped, and honest about what it leaves out."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from gallery_data import NASTY, make_items, make_plain
from test_thumbs import make_picture

from datagen.errors import RunError
from datagen.pictures import to_data_url
from datagen.records import Score, visible
from datagen.report import Limits, ReportItem, select, write_report
from datagen.weighting import WeightDiagnosis, WeightReport
from tests.helpers.report_page import read_cards, read_groups, read_parts


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
    cards = read_cards(report)
    assert [card["id"] for card in cards] == [item.sample.id for item in items]
    assert [card["verdict"] for card in cards] == [item.verdict for item in items]
    for card, item in zip(cards, items, strict=True):
        assert card["seed"] == str(item.sample.seed)
        assert card["scores"] == [[score.name, score.value, score.reason] for score in item.scores]
        pictures = [segment.image for segment in item.sample.segments if segment.kind == "image"]
        assert [picture["thumb"] for picture in card["pictures"]] == list(map(to_data_url, pictures))
    assert not (report.parent / "report_files").exists(), "small pictures stand in the page whole"
    assert "Effective size" in outline.text
    assert "no image after 120 tokens" in outline.text


def test_nothing_is_loaded_from_elsewhere(report: Path) -> None:
    tags = Outline(report).tags
    addresses = [a[name] for _, a in tags for name in ("src", "href", "action", "srcset", "poster") if a.get(name)]
    assert all(str(address).startswith(("data:", "#")) for address in addresses)
    assert not [a for _, a in tags if "style" in a or any(name.startswith("on") for name in a)]
    assert "url(" not in report.read_text(encoding="utf-8").split("</style>")[0]
    policy = next(a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data: 'self'; ")
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
    scripts = [attributes for tag, attributes in outline.tags if tag == "script"]
    assert [a for a in scripts if a.get("type") != "text/plain"] == [{}]
    (group,) = read_groups(path)
    (card,) = group["cards"]
    assert group["text"] == card["scores"][0][2] == visible(NASTY)
    assert not [a for tag, a in outline.tags if "onerror" in a]
    assert outline.text.count("<script>alert(1)</script>") >= 6
    assert "{{ 7*7 }}" in outline.text


def test_what_no_scorer_judges_is_not_scored_and_has_no_chart_of_zeros(tmp_path: Path) -> None:
    scores = [Score("s", "counting", "image", 0.5, "expected 3 stars, found 2")]
    item = replace(make_plain(scores=scores), text_weight=0.0, image_weight=1.0, text_reward=None)
    text = Outline(write_report(tmp_path / "r.html", "t", [item])).text
    assert "Text weight not scored" in text
    assert "Text reward not scored" in text
    assert "Image weight 1 sample, mean 1.00" in text


def test_a_lone_surrogate_does_not_stop_the_page(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", [make_plain(text="half \ud800 pair")])
    assert read_groups(path)[0]["text"] == r"half \ud800 pair"


def test_bytes_that_are_no_image_are_said_to_be_none(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", [make_plain(image=b"<svg onload=alert(1)>")])
    (card,) = read_cards(path)
    assert [(picture["thumb"], picture["file"]) for picture in card["pictures"]] == [("", "")]


def test_a_large_run_says_what_it_leaves_out_and_counts_all(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", make_items(30), limits=Limits(samples=40))
    outline = Outline(path)
    assert len(read_cards(path)) == 40
    assert "40 of 120 samples are shown here with words and pictures" in outline.text
    assert "120 samples" in outline.text
    again = write_report(tmp_path / "again" / "r.html", "t", make_items(30), limits=Limits(samples=40), run="x")
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


def make_pictured(prompts: int, px: int = 600) -> list[ReportItem]:
    """Prompts with two candidates each, all with pictures of their own."""
    return [
        make_plain(f"{k:04d}", candidate, image=make_picture(px, 2 * k + candidate), skill=f"skill{k % 3}")
        for k in range(prompts)
        for candidate in range(2)
    ]


def test_full_pictures_stand_beside_the_page_byte_for_byte(tmp_path: Path) -> None:
    items = make_pictured(3)
    path = write_report(tmp_path / "report.html", "t", items)
    pictures = [picture for card in read_cards(path) for picture in card["pictures"]]
    for picture, item in zip(pictures, items, strict=True):
        assert picture["thumb"].startswith("data:image/webp;base64,")
        assert (picture["width"], picture["height"], picture["whole"], picture["pixelated"]) == (600, 600, False, False)
        assert (tmp_path / "report_files" / picture["file"]).read_bytes() == item.sample.image
    assert "6 of 6 are there" in Outline(path).text
    assert len(list((tmp_path / "report_files").iterdir())) == 6
    write_report(path, "t", items[:2])
    assert len(list((tmp_path / "report_files").iterdir())) == 2, "those of the earlier page are gone"
    write_report(path, "t", items, limits=Limits(full_bytes=0))
    assert not (tmp_path / "report_files").exists()
    assert "6 were not copied there" in Outline(path).text


def test_full_pictures_keep_to_their_bytes_evenly_over_skills(tmp_path: Path) -> None:
    items = make_pictured(12, px=400)
    most = sum(len(item.sample.image or b"") for item in items) // 2
    path = write_report(tmp_path / "report.html", "t", items, limits=Limits(full_bytes=most))
    stored = [file.stat().st_size for file in (tmp_path / "report_files").iterdir()]
    assert 0.8 * most <= sum(stored) <= most
    copied = Counter(g["path"] for g in read_groups(path) for card in g["cards"] if card["pictures"][0]["file"])
    assert min(copied.values()) >= 2
    assert len(copied) == 3
    assert f"{len(stored)} of 24 are there" in Outline(path).text


def test_any_run_fits_its_bytes(tmp_path: Path) -> None:
    """Noise for pictures, words that do not repeat, and a value of its own for every sample."""
    rng = random.Random(4)
    items = [
        replace(item, image_reward=rng.random(), prompt=replace(item.prompt, text=rng.randbytes(300).hex()))
        for item in make_pictured(40, px=200)
    ]
    limits = Limits(samples=60, table_bytes=2_000, words_bytes=12_000, thumb_bytes=50_000)
    path = write_report(tmp_path / "report.html", "t", items, limits=limits)
    parts = read_parts(path)
    sizes = {
        kind: sum(len(text) for name, text in parts.items() if name.startswith(kind)) for kind in ("words", "thumbs")
    }
    assert len(parts["table"]) <= limits.table_bytes
    assert sizes["words"] <= limits.words_bytes
    assert sizes["thumbs"] <= limits.thumb_bytes
    assert all(picture["thumb"] for card in read_cards(path) for picture in card["pictures"])
    assert "Long texts are cut here" in Outline(path).text
    whole = Limits()
    assert whole.table_bytes + whole.words_bytes + whole.thumb_bytes <= 23_000_000, "figures take the rest of 25 MB"


def test_a_page_that_fails_leaves_the_pictures_of_the_older_one(tmp_path: Path) -> None:
    items = make_pictured(2)
    path = write_report(tmp_path / "report.html", "t", items)
    before = {file.name for file in (tmp_path / "report_files").iterdir()}

    def breaking() -> Iterator[ReportItem]:
        yield from make_pictured(1, px=500)
        raise KeyError("a shard is damaged")

    selection = select((("0000", "counting/skill0"), ("0000", "counting/skill0")))
    with pytest.raises(KeyError):
        write_report(path, "t", breaking(), selection=selection)
    assert before <= {file.name for file in (tmp_path / "report_files").iterdir()}


def test_a_run_without_causes_says_so(tmp_path: Path, items: list[ReportItem]) -> None:
    old = [replace(item, causes=None if item.passed is False else ()) for item in items]
    page = write_report(tmp_path / "old.html", "old", old)
    failing = sum(item.passed is False for item in items)
    assert f"Not recorded: no scorer of these {failing} failing samples says why." in Outline(page).text
    assert not [a for _, a in Outline(page).tags if a.get("id") == "cause"]
