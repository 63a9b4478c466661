"""What the screen refuses and what it lets through, in prompts and in rewrites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.config import ScreenOptions, load_recipe
from datagen.errors import ConfigError
from datagen.pipeline import Silent, create_run, plan_stage
from datagen.plugins import shipped_path
from datagen.prompts.screen import RUDE, Screen
from datagen.taxonomy import load_lexicon, resolve_lexicon
from tests.helpers.runs import Listener, small_recipe

BOTH = Screen.from_options(ScreenOptions())
PERSONAL = {
    "e-mail address": [
        'a sign that says "write to jane.doe+news@mail.example.org"',
        "ANN@EXAMPLE.COM on a wall",
        "ａｎｎ＠example.com in full width",
    ],
    "phone number": [
        "call +44 20 7946 0958 now",
        'a sign that reads "(555) 010-4477"',
        "555.010.4477",
        "a taxi with 555-0104 on its door",
        "ruf 030 / 123456 an",
        "+4915112345678",
    ],
    "card number": ["pay with 4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005 embossed"],
}
CLEAN = [
    "a photo of three red stars",
    'a sign that says "OPEN 24 HOURS"',
    "a poster of 2024-05-17, doors at 19:30",
    "gray background(0,167),(333,500)",
    "4111 1111 1111 1112 fails its check digit",
    "0000 0000 0000 0000",
    "order 12345678 of 1999-2004",
    "a room @ the 4th floor, 3 x 4 m",
    "the assassin of Scunthorpe, a cockerel and a classic bass",
    "version 1.2.3.4 at 12.05.2024",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in PERSONAL.items() for text in texts])
def test_personal_data_is_refused_by_kind_and_not_repeated(kind: str, text: str) -> None:
    breach = BOTH.find(text)
    assert breach is not None
    assert breach.kind == kind
    assert not any(character.isdecimal() or character == "@" for character in breach.reason)
    assert Screen.from_options(ScreenOptions(pii=False)).find(text) is None


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert BOTH.find(text) is None


def test_the_check_digit_is_that_of_luhn() -> None:
    """Of the ten last digits exactly the one that the slow reading finds makes a card number."""
    for start in range(4_000_000_000_000, 4_000_000_000_000 + 77_777 * 40, 77_777):
        total = 0
        for k, digit in enumerate(reversed(f"{start}0")):
            value = int(digit) * (2 if k % 2 else 1)
            total += value - 9 if value > 9 else value
        right = (10 - total % 10) % 10
        hits = [last for last in range(10) if (b := BOTH.find(f"card {start}{last}")) and b.kind == "card number"]
        assert hits == [right]


def test_listed_words_are_compared_whole_without_case(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("# ours\n\nBad Word\nnaïve\n", encoding="utf-8")
    screen = Screen.from_options(ScreenOptions(words=["shipped", str(path)]))
    for text in ('a sign that says "DAMN"', "a bad  word!", "one NAÏVE cat"):
        assert (breach := screen.find(text)) is not None
        assert breach.kind == "listed word"
    for text in ("a bad red word", "badword", "damnation", "words of damnable length"):
        assert screen.find(text) is None
    assert BOTH.find("a bad word") is None


def test_no_shipped_lexicon_has_a_rude_word() -> None:
    rude = set(RUDE.split())
    for path in sorted((shipped_path("taxonomies") / "lexicons").glob("*.yaml")):
        lexicon = load_lexicon(resolve_lexicon(path.stem))
        words = {part for words in lexicon.lists.values() for word in words for part in word.name.casefold().split()}
        assert not words & rude


@pytest.mark.parametrize(
    ("screen", "message"),
    [
        ({"words": ["nowhere.txt"]}, "the word list cannot be read"),
        ({"words": ["{empty}"]}, "has no words"),
        ({"words": ["{latin}"]}, "it is not UTF-8"),
        ({"pi": True}, "pi"),
    ],
)
def test_a_wrong_screen_is_refused_before_anything_is_made(
    tmp_path: Path, screen: dict[str, Any], message: str
) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "latin.txt").write_bytes(b"na\xefve\n")
    if "words" in screen:
        screen = {
            "words": [
                word.format(empty=tmp_path / "empty.txt", latin=tmp_path / "latin.txt") for word in screen["words"]
            ]
        }
    with pytest.raises(ConfigError, match=message):
        create_run(small_recipe(screen=screen), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_prompts_are_refused_counted_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "stars.txt"
    path.write_text("stars\nstar\n")
    listener = Listener()
    run = create_run(small_recipe(prompts=40, screen={"words": [str(path)]}), str(tmp_path / "run"))
    plan_stage(run, listener)
    prompts = [prompt for shard in run.folder.list_shards("prompts") for prompt in run.folder.read_prompts(shard)]
    assert len(prompts) == 40
    assert not any("star" in prompt.text for prompt in prompts)
    count = run.folder.read_notes()["screened"]["listed word"]
    assert count > 0
    assert any(f"refused by the screen: listed word {count}" in said for said in listener.said)
    again = create_run(small_recipe(prompts=40, screen={"words": [str(path)]}), str(tmp_path / "run"))
    plan_stage(again, Silent())
    assert again.folder.read_notes()["screened"] == {"listed word": count}
    plain = create_run(small_recipe(prompts=40), str(tmp_path / "plain"))
    plan_stage(plain, Silent())
    assert "screened" not in plain.folder.read_notes()
    assert any("star" in prompt.text for shard in range(10) for prompt in plain.folder.read_prompts(shard))


def test_rewrites_are_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "simple.txt"
    path.write_text("simple way\n")
    recipe = small_recipe(
        backend={"name": "tests.helpers.rewriter", "useless": 0.0, "journal": ""},
        prompts=12,
        expand={"styles": ["question", "user request"]},
        screen={"words": [str(path)]},
    )
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    notes = run.folder.read_notes()["expansion"]
    assert notes["refused"] == {"screened": 12}
    assert {example["text"] for example in notes["examples"]["screened"]} == {""}
    assert all("simple way" in example["reason"] for example in notes["examples"]["screened"])
    assert all(prompt.source == "template" for shard in range(3) for prompt in run.folder.read_prompts(shard))


def test_the_list_stands_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("zebra\n")
    (tmp_path / "r.yaml").write_text("taxonomy: [counting]\nscreen: {words: [shipped, mine.txt]}\n")
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.screen is not None
    assert recipe.screen.words == ["shipped", str(tmp_path / "mine.txt")]
