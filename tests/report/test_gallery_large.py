"""The gallery of a run that is larger than a screen: full pictures on demand, a page alone, samples without a card."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import Page
from gallery_data import make_items, make_plain
from test_thumbs import make_picture

from datagen.records import Score
from datagen.report import Limits, ReportItem, write_report
from tests.helpers.report_page import read_cards

COUNT = "document.getElementById('count').textContent"
CARDS = "[...document.querySelectorAll('#groups .card')].map((card) => card.dataset.id)"
FOCUSED = "document.activeElement.dataset.id"
NOTE = "document.querySelector('#viewer .full').textContent"
WAIT = """(async () => {
  for (let k = 0; k < 2000; k++) {
    if (%s) return true;
    await new Promise((done) => setTimeout(done, 10));
  }
  return false;
})()"""


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three samples with pictures of 600 pixels, and those beside it."""
    items = [make_plain(f"{k:04d}", image=make_picture(600, k, grain=10)) for k in range(3)]
    return write_report(tmp_path_factory.mktemp("pictured") / "report.html", "pictured", items)


@pytest.fixture(scope="module")
def served(pictured: Path) -> Iterator[str]:
    """The address of that page on a server of its own, as from an object store."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(pictured.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/report.html"
        server.shutdown()


def open_first(page: Page) -> str:
    """Open the first sample large and return what stands below its picture when that is decided."""
    page.press("j", "Enter")
    assert page.run(WAIT % f"!{NOTE}.includes('is in')")
    return str(page.run(NOTE))


def check_full(page: Page, address: Path | str, pictured: Path) -> None:
    file = read_cards(pictured)[0]["pictures"][0]["file"]
    page.open(address)
    assert page.run(WAIT % "[...document.images].every((image) => image.naturalWidth === 384)")
    assert page.requests() == []
    assert open_first(page) == f"the full picture, 600 × 600: report_files/{file}"
    assert page.run(WAIT % "document.querySelector('#viewer img').naturalWidth === 600")
    assert {url.rpartition("report_files/")[2] for url in page.requests()} == {file}
    assert page.complaints() == []


def test_a_sample_that_is_opened_shows_its_full_picture_from_beside_the_page(chromium: Page, pictured: Path) -> None:
    check_full(chromium, pictured, pictured)


def test_a_server_or_object_store_gives_it_too(chromium: Page, pictured: Path, served: str) -> None:
    check_full(chromium, served, pictured)


def test_a_folder_of_any_name_is_found(chromium: Page, tmp_path: Path) -> None:
    path = write_report(tmp_path / "run #7 100%.html", "t", [make_plain(image=make_picture(600, grain=10))])
    chromium.open(path)
    assert read_cards(path)[0]["pictures"][0]["file"] in open_first(chromium)
    assert chromium.run(WAIT % "document.querySelector('#viewer img').naturalWidth === 600")


def test_a_page_alone_shows_every_thumbnail_and_says_where_the_full_picture_would_be(
    chromium: Page, pictured: Path, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(pictured, tmp_path / "mailed.html"))
    chromium.open(alone)
    assert chromium.run("document.querySelectorAll('#groups img').length") == 3
    assert chromium.run(WAIT % "[...document.images].every((image) => image.naturalWidth === 384)")
    assert "600 × 600) would be report_files/" in open_first(chromium)
    assert chromium.run("document.querySelector('#viewer img').naturalWidth") == 384


def test_what_was_not_copied_names_the_command_that_saves_it(chromium: Page, tmp_path: Path) -> None:
    items = [make_plain(image=make_picture(600))]
    chromium.open(write_report(tmp_path / "r.html", "t", items, limits=Limits(full_bytes=0), run="outputs/mine"))
    assert "datagen sample outputs/mine p-00 --out picture.png" in open_first(chromium)
    assert chromium.requests() == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ReportItem]]:
    """The page of 1,600 samples of 400 prompts, far more than fit a screen."""
    items = []
    for k in range(400):
        for candidate in range(4):
            said = f"expected 3 stars, found {k}"
            scores = [Score(f"{k:04d}-{candidate:02d}", "counting", "image", candidate / 3, said)]
            plain = make_plain(f"{k:04d}", candidate, image_reward=candidate / 3, passed=candidate == 3, scores=scores)
            items.append(plain)
    return write_report(tmp_path_factory.mktemp("many") / "report.html", "many", items), items


def test_only_what_is_near_is_built_and_the_rest_when_one_gets_there(
    chromium: Page, many: tuple[Path, list[ReportItem]]
) -> None:
    path, items = many
    chromium.open(path)
    assert chromium.run(COUNT) == "1,600 samples of 400 prompts"
    chromium.run("document.getElementById('samples').scrollIntoView()")
    built = chromium.run(CARDS)
    assert built[:4] == [item.sample.id for item in items[:4]]
    assert len(built) < 400
    height = chromium.run("document.documentElement.scrollHeight")
    last = items[-1].sample.id
    reached = f"(scrollTo(0, document.documentElement.scrollHeight), document.getElementById('s-{last}'))"
    assert chromium.run(WAIT % reached)
    assert len(chromium.run(CARDS)) < 400, "what is far away is let go"
    assert chromium.run("document.documentElement.scrollHeight") > height / 2
    first = f"(document.getElementById('samples').scrollIntoView(), document.getElementById('s-{items[0].sample.id}'))"
    assert chromium.run(WAIT % first)
    assert chromium.complaints() == []


def test_keys_reach_samples_that_are_not_built_yet(chromium: Page, many: tuple[Path, list[ReportItem]]) -> None:
    path, items = many
    chromium.open(path)
    chromium.press("j", *["ArrowDown"] * 30)
    assert chromium.run(FOCUSED) == items[120].sample.id
    chromium.press("Enter", "j", "Escape")
    assert chromium.run(FOCUSED) == items[121].sample.id


def test_filters_order_and_search_act_on_what_is_not_built(chromium: Page, many: tuple[Path, list[ReportItem]]) -> None:
    path, _ = many
    chromium.open(path)
    chromium.set_field("low", "0.6")
    assert chromium.run(COUNT).startswith("800 of 1,600 samples, 400 of 400 prompts")
    chromium.set_field("sort", "image_reward:up")
    assert chromium.run(CARDS)[:2] == ["0000-02", "0000-03"]
    chromium.set_field("q", '"found 399"')
    assert chromium.run(CARDS) == ["0399-02", "0399-03"]
    assert chromium.run(COUNT).startswith("2 of 1,600 samples, 1 of 400 prompts")
    chromium.set_field("q", "")
    assert chromium.run(COUNT).startswith("800 of 1,600 samples, 400 of 400 prompts")


def test_filters_and_counts_cover_samples_without_a_card_and_list_them(chromium: Page, tmp_path: Path) -> None:
    items = list(make_items(40))
    path = write_report(tmp_path / "r.html", "t", items, limits=Limits(samples=40))
    shown = {card["id"] for card in read_cards(path)}
    assert len(shown) == 40
    listed = "[...document.querySelectorAll('#others tbody tr')].map((row) => row.firstChild.textContent)"
    chromium.open(path)
    assert chromium.run(COUNT) == "160 samples of 40 prompts; 40 have cards here"
    assert len(chromium.run(listed)) == 100
    for verdict, passed in (("fail", False), ("unjudged", None)):
        chromium.set_field("verdict", verdict)
        hits = [item for item in items if item.passed is passed]
        cards = [item.sample.id for item in hits if item.sample.id in shown]
        others = [item for item in hits if item.sample.id not in shown]
        assert others
        assert chromium.run(CARDS) == cards
        assert chromium.run(listed) == [f"{i.prompt.id[:12]}-{i.sample.candidate:02d}" for i in others]
        assert chromium.run(COUNT).startswith(f"{len(hits)} of 160 samples, ")
        assert chromium.run(COUNT).endswith(f"; {len(cards)} have cards here")
    chromium.set_field("verdict", "")
    chromium.set_field("high", "0.7")
    chromium.set_field("sort", "image_reward:down")
    column = "[...document.querySelectorAll('#others tbody tr')].map((row) => row.children[3].textContent)"
    values = [float(value) for value in chromium.run(column)]
    others = [i.image_reward for i in items if i.sample.id not in shown and i.image_reward is not None]
    assert sorted(values) == [pytest.approx(value, abs=0.01) for value in sorted(v for v in others if v <= 0.7)]
    chromium.set_field("q", json.dumps(items[0].prompt.text))
    assert chromium.run(listed) == [], "a search looks in words, which these have not got here"
    assert chromium.complaints() == []
