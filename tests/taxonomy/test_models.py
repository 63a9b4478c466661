from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from datagen.taxonomy.models import MAX_COUNT, LexiconFile, ListSlot, RangeSlot, SkillFile, TaxonomyFile, ValuesSlot

SKILL: dict[str, Any] = {
    "name": "few",
    "title": "A few",
    "slots": {"n": {"range": [1, 4]}, "object": {"from": "objects"}, "size": {"values": ["big", "small"]}},
    "claims": ["count(object, n)"],
    "templates": "mine/few.j2",
}
TAXONOMY: dict[str, Any] = {"version": 1, "weakness": "mine", "title": "Mine", "why": "", "skills": [SKILL]}


def test_a_skill_with_each_kind_of_slot_is_read() -> None:
    skill = SkillFile.model_validate(SKILL)
    kinds = {name: type(slot) for name, slot in skill.slots.items()}
    assert kinds == {"n": RangeSlot, "object": ListSlot, "size": ValuesSlot}
    assert skill.share == 1.0
    assert skill.levels == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"shar": 0.5}, ("shar",)),
        ({"name": "Few Things"}, ("name",)),
        ({"share": 0}, ("share",)),
        ({"share": float("inf")}, ("share",)),
        ({"share": -1}, ("share",)),
        ({"slots": {}}, ("slots",)),
        ({"claims": []}, ("claims",)),
        ({"templates": "../../etc/passwd"}, ("templates",)),
        ({"templates": "/etc/passwd"}, ("templates",)),
        ({"levels": {"easy": {"n": []}}}, ("levels", "easy", "n")),
        ({"title": "two\nlines"}, ("title",)),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(change: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        SkillFile.model_validate(SKILL | change)
    assert caught.value.errors()[0]["loc"] == path


@pytest.mark.parametrize(
    "slot",
    [
        {"range": [1, 10**9]},
        {"range": [-1, 3]},
        {"range": [5, 2]},
        {"range": [1]},
        {"range": [1.5, 2]},
        {"range": [True, 2]},
        {"from": "colours"},
        {"from": "objects", "range": [1, 2]},
        {"values": []},
        {"values": ["a", "a"]},
        {},
    ],
)
def test_a_wrong_slot_is_refused(slot: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SkillFile.model_validate(SKILL | {"slots": {"n": slot}})


def test_the_largest_count_is_allowed_and_the_next_is_not() -> None:
    assert RangeSlot(range=[1, MAX_COUNT]).range == [1, MAX_COUNT]
    with pytest.raises(ValidationError):
        RangeSlot(range=[1, MAX_COUNT + 1])


def test_two_skills_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="'few'"):
        TaxonomyFile.model_validate(TAXONOMY | {"skills": [SKILL, SKILL]})


@pytest.mark.parametrize("version", [0, 2, "1.0", None])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValidationError):
        TaxonomyFile.model_validate(TAXONOMY | {"version": version})


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"objects": []},
        {"objects": ["star", "star"]},
        {"objects": ["star", {"singular": "star"}]},
        {"objects": [{"singular": "star", "article": "the"}]},
        {"relations": [{"name": "inside", "phrase": "inside"}]},
        {"animals": ["cat"]},
        {"objects": ["  "]},
    ],
)
def test_a_wrong_lexicon_is_refused(lists: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LexiconFile.model_validate({"version": 1, "lexicon": "mine"} | lists)
