"""What a model, a server or a plugin says acts nowhere: it is shown, on the terminal, in the report and in the card."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from datagen.errors import RunError
from datagen.notices import tell_once
from datagen.records import visible
from datagen.store import RunFolder
from tests.helpers.acting import ACTS, find_acting
from tests.helpers.report_page import read_cards
from tests.helpers.runs import build_here, run_cli, small_recipe

SHOWN = r"\x1b]0;title\x07\x1b[31mred\x9b2J\x7f\u202eback\r"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("visible") / "run"
    build_here(small_recipe(backend={"name": "tests.helpers.acting", "fails": 0.2}), path)
    return path


def test_what_acts_is_written_as_its_escape() -> None:
    assert visible(ACTS) == SHOWN
    assert visible("half \ud83d") == r"half \ud83d"
    assert not find_acting(visible("".join(map(chr, range(0x110000)))))


def test_plain_text_of_any_language_stays() -> None:
    for text in ("a line\n\tand another", "ÅÄÖ é", "مرحبا \u200f", "👩\u200d🚀", "日本語", r"\x1b"):
        assert visible(text) is text or visible(text) == text


def test_nothing_acts_on_a_terminal(folder: Path) -> None:
    for card in read_cards(folder / "report.html")[:3]:
        done = run_cli("sample", folder, card["id"])
        assert done.returncode == 0, done.stderr
        assert not find_acting(done.stdout + done.stderr)
        assert done.stdout.count(SHOWN) >= 3, "engine, settings, plan"
    assert not find_acting(run_cli("sample", folder, ACTS).stderr), "a line of an error"


def test_letters_between_colons_stay(folder: Path) -> None:
    assert ":cat:" in run_cli("sample", folder, ":cat:").stderr


def test_nothing_acts_in_the_report_and_the_card(folder: Path) -> None:
    page, card = ((folder / name).read_bytes().decode() for name in ("report.html", "dataset/README.md"))
    assert not find_acting(page)
    assert not find_acting(card)
    assert SHOWN in str(read_cards(folder / "report.html")[0]["passages"]).replace("\\\\", "\\")
    assert not find_acting((folder / "log.txt").read_text(encoding="utf-8"))


def test_an_engine_is_escaped_in_the_card_as_prompts_are(folder: Path) -> None:
    card = (folder / "dataset/README.md").read_text(encoding="utf-8")
    (line,) = [line for line in card.splitlines() if line.startswith("Written by ")]
    assert line.startswith("Written by x&#96; &#60;b&#62;")
    assert not any(line.startswith("# \\x1b") for line in card.splitlines())


def test_a_notice_is_shown_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "datagen"):
        tell_once(f"the server says {ACTS}")
    assert SHOWN in caplog.text


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="its name is not UTF-8 text"):
        RunFolder(os.fsdecode(bytes(tmp_path) + b"/r\xff"))
    done = run_cli("build", "quickstart", "--run", os.fsdecode(b"r\xff"), cwd=tmp_path)
    assert done.returncode == 1
    assert r"r\udcff: this address cannot be used: its name is not UTF-8 text" in done.stderr
