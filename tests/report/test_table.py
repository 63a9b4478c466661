"""The table of all samples: every value in it, within its bytes, and what goes when it would be too large."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from gallery_data import make_items, make_plain

from datagen.records import Score, hash_of
from datagen.report import Limits, write_report
from datagen.report.table import Table
from tests.helpers.report_page import read_cards, read_table


def test_a_page_holds_all_samples_as_numbers_and_some_as_cards(tmp_path: Path) -> None:
    items = list(make_items(30))
    path = write_report(tmp_path / "r.html", "t", items, limits=Limits(samples=40))
    table, cards = read_table(path), read_cards(path)
    assert len(cards) == 40
    assert sum(table["size"]) == len(items)
    assert table["candidate"] == [item.sample.candidate for item in items]
    assert [("pass", "fail", "unjudged")[code] for code in table["verdict"]] == [item.verdict for item in items]
    for name in ("image_reward", "text_reward", "image_weight", "text_weight"):
        assert table[name] == [pytest.approx(getattr(item, name), abs=1e-6) for item in items]
    for name in ("counting", "plan"):
        values = [next((s.value for s in item.scores if s.name == name), None) for item in items]
        assert table[f"score:{name}"] == [pytest.approx(value, abs=1e-6) for value in values]
    prompts = [item.prompt for item in items if item.sample.candidate == 0]
    assert table["skill"] == [prompt.path for prompt in prompts]
    shown = {card["id"].rpartition("-")[0] for card in cards}
    assert [bool(code) for code in table["card"]] == [prompt.id in shown for prompt in prompts]
    assert table["id"] == [prompt.id[:12] for prompt in prompts if prompt.id not in shown]


def fill(prompts: int, shown: int) -> Table:
    """A table of values that do not repeat, which is as large as one gets."""
    rng, table = random.Random(1), Table()
    for k in range(prompts):
        scores = [Score("s", name, "image", rng.random(), "") for name in ("one", "two")]
        item = make_plain(hash_of(k), image_reward=rng.random(), weight=9 * rng.random(), scores=scores)
        table.add(replace(item, text_reward=rng.random()), is_shown=k < shown)
    return table


def test_a_large_table_is_rounded_first_and_loses_prompts_only_then() -> None:
    table = fill(4000, 40)
    whole = table.pack(10**9)
    assert (whole.samples, whole.digits) == (4000, 6)
    rounded = table.pack(len(table.pack(10**9).text) * 6 // 10)
    assert rounded.samples == 4000
    assert rounded.digits < 6
    small = table.pack(len(whole.text) // 8)
    assert len(small.text) <= len(whole.text) // 8
    assert 40 < small.samples < 4000
    assert table.pack(1).samples == 40, "what has a card stays"
    content = zlib.decompress(base64.b64decode(small.text))
    assert json.loads(content.partition(b"\n")[0])["rows"] == small.samples


def test_the_page_says_how_many_samples_its_filters_see(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", "t", make_items(60), limits=Limits(samples=20, table_bytes=1000))
    page = " ".join(path.read_text(encoding="utf-8").split())
    held = sum(read_table(path)["size"])
    assert 20 <= held < 240
    assert f"The figures above cover all 240 samples; filters, order and counts below act on {held}" in page


def test_scorers_that_not_all_samples_have_leave_gaps() -> None:
    table = Table()
    table.add(make_plain("a", scores=[Score("s", "one", "image", 0.5, "")]), is_shown=True)
    table.add(make_plain("b", scores=[]), is_shown=True)
    table.add(make_plain("c", scores=[Score("s", "two", "image", 1.0, "")]), is_shown=True)
    head = json.loads(zlib.decompress(base64.b64decode(table.pack(10**6).text)).partition(b"\n")[0])
    named = {column["name"]: column.get("values") for column in head["columns"]}
    assert (named["score:one"], named["score:two"], named["text_reward"]) == ([0.5], [1.0], [])
