"""The rules of English on words that were written down apart from them, and on things that come in pairs.

`plurals.tsv` and `articles.tsv` were at hand when the rules were made; the two held-out lists were written afterwards
and read once. A plural may be any of those between bars.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.prompts.keeps import find_breach
from datagen.records import Claim
from datagen.scoring.questions import name_phrases
from datagen.taxonomy import load_lexicon, load_taxonomy, resolve_lexicon
from datagen.taxonomy.english import article_of, is_pair, name_many, name_one, plural_of, say_order
from datagen.taxonomy.lexicon import Lexicon, Word
from datagen.taxonomy.sandbox import a, many

DATA = Path(__file__).parent / "data"
MISSED = {"daddy longlegs", "USSR poster", "UEFA cup", "NVMe drive", "Xbox"}
"""What the rules get wrong of 445 held-out words; `inflect` 7.6 misses 30 of them, and takes seconds to load."""


def read(name: str) -> list[tuple[str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [(one, other) for one, _, other in (line.partition("\t") for line in lines)]


def test_plurals_and_articles_at_hand_are_all_right() -> None:
    plurals, articles = read("plurals.tsv"), read("articles.tsv")
    assert len(plurals) > 300
    assert [(one, plural_of(one)) for one, more in plurals if plural_of(one) not in more.split("|")] == []
    assert [(word, article_of(word)) for article, word in articles if article_of(word) != article] == []


def test_words_held_out_are_right_but_for_those_that_are_known() -> None:
    plurals, articles = read("plurals_held_out.tsv"), read("articles_held_out.tsv")
    assert len(plurals) + len(articles) == 445
    wrong = {one for one, more in plurals if plural_of(one) not in more.split("|")}
    wrong |= {word for article, word in articles if article_of(word) != article}
    assert wrong == MISSED


@pytest.mark.parametrize("noun", (DATA / "pairs.txt").read_text().splitlines())
def test_pairs_are_counted_in_pairs(noun: str) -> None:
    assert is_pair(noun)
    assert plural_of(noun) == noun
    assert name_one(noun) == a(noun) == f"a pair of {noun}"
    assert name_one(noun, "orange") == a("orange", Word(noun)) == f"a pair of orange {noun}"
    assert many(2, "red", noun) == many(2, "red", Word(noun)) == f"two pairs of red {noun}"
    assert many(1, noun) == f"one pair of {noun}"
    assert (name_many(1, noun), name_many(3, noun)) == (f"1 pair of {noun}", f"3 pairs of {noun}")


@pytest.mark.parametrize("noun", ["star", "glass", "wine glass", "ski", "pair of shoes", "bus", "jean jacket"])
def test_other_things_are_not(noun: str) -> None:
    assert not is_pair(noun)
    assert name_one(noun).endswith(noun)
    assert "pairs of pair" not in name_many(2, noun)


def test_a_lexicon_that_states_a_plural_counts_in_its_own_way() -> None:
    word = Word("scissors", plural="pairs of scissors")
    assert many(2, word) == "two pairs of scissors"


@pytest.mark.parametrize(
    ("count", "noun", "written"),
    [
        (1, "star", "1 star"),
        (0, "star", "0 stars"),
        (3, "fish", "3 fish"),
        (2, "box", "2 boxes"),
        (2, "knife", "2 knives"),
        (3, "red cherry", "3 red cherries"),
        (4, "wolf", "4 wolves"),
        (2, "loaf of bread", "2 loaves of bread"),
        (2, "scissors", "2 pairs of scissors"),
        (1, "red sunglasses", "1 pair of red sunglasses"),
    ],
)
def test_reasons_name_a_number_of_things(count: int, noun: str, written: str) -> None:
    assert name_many(count, noun) == written


@pytest.mark.parametrize("name", ["everyday", "pictograms"])
def test_reasons_and_prompts_say_the_same_plural_of_every_shipped_object(name: str) -> None:
    objects = load_lexicon(resolve_lexicon(name)).lists["objects"]
    assert [word.name for word in objects if name_many(2, word.name) != f"2 {word.plural}"] == []


LEXICON = Lexicon(
    "mine", "", {"objects": (Word("scissors"), Word("jeans"), Word("cup")), "colors": (Word("red"), Word("blue"))}
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "A pair of scissors."),
        (1, "One pair of scissors on a table."),
        (1, "A shiny new pair of scissors lies there. The scissors are open."),
        (2, "Two pairs of scissors."),
        (2, "There are two sharp pairs of scissors; the two pairs of scissors are open."),
        (3, "A photo of three pairs of scissors"),
        (2, "Two scissors side by side."),
    ],
)
def test_a_rewrite_that_keeps_the_number_of_pairs_is_kept(count: int, text: str) -> None:
    assert find_breach(text, [Claim("count", "scissors", value=count)], LEXICON) == ""


@pytest.mark.parametrize(
    ("count", "text", "reason"),
    [
        (2, "A pair of scissors.", "says one pair of scissors, the claim is two"),
        (1, "Two pairs of scissors.", "says two pairs of scissors, the claim is one"),
        (2, "Three pairs of scissors.", "says three pairs of scissors, the claim is two"),
        (2, "Pairs of scissors.", "does not say how many scissors, the claim is two"),
        (2, "Two pair of scissors.", "writes a pair of scissors, the claim is two"),
        (1, "Pairs of scissors.", "writes pairs of scissors, the claim is one"),
        (2, "Several pairs of scissors.", "does not say how many scissors, the claim is two"),
        (1, "A pair of scissors and a pair of jeans.", "adds a pair of jeans"),
    ],
)
def test_a_rewrite_that_says_another_number_of_pairs_is_refused(count: int, text: str, reason: str) -> None:
    assert find_breach(text, [Claim("count", "scissors", value=count)], LEXICON) == reason


def test_colours_stand_on_either_side_of_the_pair() -> None:
    claims = [Claim("count", "jeans", value=2), Claim("attribute", "jeans", "color", "red")]
    for text in ("Two pairs of red jeans.", "Two red pairs of jeans.", "Two pairs of jeans in red."):
        assert find_breach(text, claims, LEXICON) == "", text
    assert find_breach("Two pairs of blue jeans.", claims, LEXICON) == "lacks the colour red of the jeans"


def test_a_pair_of_other_things_is_still_two() -> None:
    claims = [Claim("count", "cup", value=2)]
    assert find_breach("A pair of cups.", claims, LEXICON) == ""
    assert (
        find_breach("A lovely pair of red cups.", [*claims, Claim("attribute", "cup", "color", "red")], LEXICON) == ""
    )
    assert find_breach("Two pairs of cups.", claims, LEXICON) == "does not say how many cups, the claim is two"


def test_pairs_that_are_absent_or_compared_are_understood() -> None:
    absent = [Claim("count", "cup", value=1), Claim("count", "scissors", value=0)]
    for text in ("A cup and no scissors.", "A cup without any pairs of scissors.", "A cup and no pair of scissors."):
        assert find_breach(text, absent, LEXICON) == "", text
    more = [Claim("comparison", "scissors", "more than", "jeans")]
    assert find_breach("More pairs of scissors than pairs of jeans.", more, LEXICON) == ""
    assert say_order(more[0]) == "more pairs of scissors than pairs of jeans"


@pytest.mark.parametrize("name", ["scissors", "pair of scissors", "pairs of scissors"])
def test_a_brief_may_name_the_pair(name: str) -> None:
    claims = [Claim("count", "scissors", value=2)]
    assert find_breach(json.dumps({"objects": [{"name": name, "count": 2}]}), claims, LEXICON) == ""
    assert find_breach(json.dumps({"objects": [{"name": name, "count": 1}]}), claims, LEXICON) != ""


def test_noun_phrases_for_judges_count_pairs() -> None:
    claims = [
        Claim("count", "scissors", value=2),
        Claim("attribute", "scissors", "color", "red"),
        Claim("count", "cup", value=1),
    ]
    assert name_phrases(claims) == ["two pairs of red scissors", "a cup"]


def test_a_taxonomy_of_pairs_says_them_right(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "version: 1\nlexicon: mine\nobjects: [scissors, USB stick, SUV, LED lamp, ottoman, quiz]\n"
    )
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "one.j2").write_text("{{ many(n, object) }}, {{ a(object) }}\n")
    (tmp_path / "t.yaml").write_text(
        "version: 1\nweakness: mine\ntitle: Mine\nwhy: because\nskills:\n  - name: one\n    title: One\n"
        "    slots: {n: {values: [2]}, object: {from: objects}}\n"
        "    claims: ['count(object, n)']\n    templates: one.j2\n"
    )
    (skill,) = load_taxonomy([tmp_path / "t.yaml"], tmp_path / "mine.yaml").skills
    words = skill.levels[0].choices["object"]
    said = [skill.wordings[0].render({"n": 2, "object": word}) for word in words]
    assert said == [
        *("two pairs of scissors, a pair of scissors", "two USB sticks, a USB stick", "two SUVs, an SUV"),
        *("two LED lamps, an LED lamp", "two ottomans, an ottoman", "two quizzes, a quiz"),
    ]
