from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from datagen.errors import ConfigError
from datagen.plugins import shipped_path
from datagen.taxonomy import load_lexicon
from datagen.taxonomy.english import plural_of
from datagen.taxonomy.lexicon import Lexicon, Word
from datagen.taxonomy.models import RelationName

TEN_COLORS = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"}


@pytest.fixture(params=["everyday", "pictograms"])
def shipped(request: pytest.FixtureRequest) -> Lexicon:
    return load_lexicon(shipped_path("taxonomies", "lexicons", f"{request.param}.yaml"))


def test_a_word_is_its_name_and_prints_its_phrase() -> None:
    word = Word("left of", phrase="to the left of")
    assert word == "left of"
    assert hash(word) == hash("left of")
    assert f"{word}" == str(word) == "to the left of"
    assert type(word.name) is str
    assert json.dumps({"relation": word.name}) == '{"relation": "left of"}'


def test_a_word_follows_the_rules_of_english_unless_told_otherwise() -> None:
    assert (Word("orange").article, Word("bench").plural) == ("an", "benches")
    assert (Word("herb", article="an").article, Word("die", plural="dies").plural) == ("an", "dies")


def test_shipped_lexicons_have_the_ten_colours_and_the_four_relations(shipped: Lexicon) -> None:
    assert set(shipped.lists["colors"]) == TEN_COLORS
    assert set(shipped.lists["relations"]) == set(get_args(RelationName))


def test_words_to_render_have_the_length_that_their_skill_promises(shipped: Lexicon) -> None:
    assert not [word for word in shipped.lists["words"] if not re.fullmatch("[A-Z]{4,6}", word)]
    assert not [word for word in shipped.lists["short_words"] if not re.fullmatch("[A-Z]{1,3}", word)]


def test_everyday_is_large_and_irregular() -> None:
    lists = load_lexicon(shipped_path("taxonomies", "lexicons", "everyday.yaml")).lists
    assert len(lists["objects"]) >= 80
    assert len(lists["materials"]) >= 8
    plurals = {word.name: word.plural for word in lists["objects"]}
    wanted = {"knife": "knives", "mouse": "mice", "sheep": "sheep", "goose": "geese", "person": "people"}
    assert wanted.items() <= plurals.items()
    articles = {word.name: word.article for word in lists["objects"]}
    assert (articles["hourglass"], articles["unicycle"], articles["umbrella"]) == ("an", "a", "an")


def test_no_object_reads_like_a_colour_or_a_material(shipped: Lexicon) -> None:
    others = {*shipped.lists["colors"], *shipped.lists.get("materials", ())}
    assert not others & {*shipped.lists["objects"]}


def test_what_everyday_states_agrees_with_the_rules_but_for_one(shipped: Lexicon) -> None:
    assert [word for word in shipped.lists["objects"] if word.plural != plural_of(word)] in ([], ["loaf of bread"])


def test_a_fault_is_shown_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nlexicon: mine\nobjects:\n  - star\n  - {singular: fish, plurals: fish}\n")
    with pytest.raises(ConfigError) as caught:
        load_lexicon(path)
    assert caught.value.where.startswith(f"{path}:5:")
    assert "plurals" in caught.value.what


@pytest.mark.parametrize("lists", ["", "objects: []\n", "objects:\n", "words: [YES, NO]\n"])
def test_an_empty_lexicon_and_a_truth_value_for_a_word_are_refused(tmp_path: Path, lists: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nlexicon: mine\n" + lists)
    with pytest.raises(ConfigError):
        load_lexicon(path)
