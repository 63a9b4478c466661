"""The skills beyond the first four: enough prompts, words that say their claims, facts in pairs, a scorer for each.

The first four weaknesses are pinned here by their hash: a prompt that changes its words changes the id of every sample.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter

import pytest

from datagen.errors import ConfigError
from datagen.pipeline import list_scorable
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim, Prompt
from datagen.taxonomy import Skill, count_distinct, load_taxonomy
from datagen.taxonomy.claims import parse_claim
from datagen.taxonomy.english import number_word
from datagen.taxonomy.lexicon import Word
from datagen.taxonomy.space import deal_point, shuffle

BEYOND = ["composition", "logic", "knowledge", "depth", "materials", "abstract"]
SKILLS = {skill.path: skill for skill in load_taxonomy(BEYOND, "everyday").skills}
WORDS_OF = {"left of": "to the left of", "right of": "to the right of", "partly hides": "partly hiding"}


def prompts(skill: Skill, count: int) -> list[Prompt]:
    return [sample_prompt(skill, index, 1) for index in range(count)]


@pytest.mark.parametrize(("lexicon", "digest"), [("everyday", "df3cd08b62b88cd5"), ("pictograms", "86583edd041aa041")])
def test_the_first_weaknesses_stay_as_they_were(lexicon: str, digest: str) -> None:
    found = hashlib.sha256()
    for weakness in ("counting", "spatial", "attributes"):
        for skill in load_taxonomy([weakness], lexicon).skills:
            for prompt in prompts(skill, 200):
                found.update(json.dumps(prompt.to_dict(), sort_keys=True).encode())
    assert found.hexdigest()[:16] == digest


def test_the_pictograms_are_asked_only_for_what_they_can_show() -> None:
    taxonomy = load_taxonomy(BEYOND, "pictograms")
    assert {skill.weakness for skill in taxonomy.skills} == {"composition", "logic"}
    assert all("cannot show it" in reason for _, reason in taxonomy.skipped)
    with pytest.raises(ConfigError, match="fills no skill"):
        load_taxonomy(["knowledge"], "pictograms")


@pytest.mark.parametrize("weakness", BEYOND)
def test_each_weakness_has_more_than_200_prompts(weakness: str) -> None:
    skills = [skill for skill in SKILLS.values() if skill.weakness == weakness]
    texts = {prompt.text for skill in skills for prompt in prompts(skill, 100)}
    assert len(texts) > 200
    assert all(count_distinct(skill, 5000).count * len(skill.wordings) > 200 for skill in skills)


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS.keys())
def test_prompts_differ_and_say_their_claims(skill: Skill) -> None:
    drawn = prompts(skill, 60)
    assert len({prompt.text for prompt in drawn}) >= 55
    for prompt in drawn:
        assert {claim.kind for claim in prompt.claims} <= list_scorable()
        for claim in prompt.claims:
            assert is_said(claim, skill, prompt), (prompt.text, str(claim))


def is_said(claim: Claim, skill: Skill, prompt: Prompt) -> bool:
    """Look for the words that a claim cannot do without."""
    text = prompt.text.lower()
    if claim.kind == "fact":
        _, point, _ = deal_point(skill, prompt.index, 1)
        return any(str(word).lower() in text for word in point.values() if word == claim.value)
    if claim.kind == "part":
        return claim.name in text and (int(claim.value) == 0 or number_word(int(claim.value)) in text)
    if claim.kind == "attribute":
        return str(claim.value) in text
    if claim.kind == "comparison":
        return claim.name.split()[0] in text or "same number" in text
    if claim.kind == "depth":
        # Three planes are said from the middle one, in either direction.
        words = {"in front of": ("front of", "behind", "nearest"), "behind": ("behind",)}
        return any(word in text for word in words.get(claim.name, (WORDS_OF.get(claim.name, claim.name),)))
    if claim.kind == "relation":
        return WORDS_OF.get(claim.name, claim.name) in text
    if claim.value == 0:
        _, point, _ = deal_point(skill, prompt.index, 1)
        thing = next(word for word in point.values() if isinstance(word, Word) and word == claim.subject)
        return bool(re.search(rf"\b(no|any|neither|nor) ({thing}|{thing.plural})\b", text))
    return claim.value == 1 or number_word(int(claim.value)) in text


def test_atoms_are_as_many_as_the_level_says() -> None:
    for number in range(3, 11):
        prompt = sample_prompt(SKILLS[f"composition/atoms_{number}"], 0, 0)
        assert (len(prompt.claims), prompt.level) == (number, f"atomicity_{number}")


def test_things_of_one_prompt_differ_up_to_the_tenth() -> None:
    for prompt in prompts(SKILLS["composition/ultra_long"], 200):
        counts = [claim.subject for claim in prompt.claims if claim.kind == "count"]
        assert len(set(counts)) == len(counts) == 10
        assert 120 < len(prompt.text.split()) < 400


def test_every_slot_of_a_huge_space_is_dealt_evenly() -> None:
    tenth = Counter(prompt.slots["tenth"] for prompt in prompts(SKILLS["composition/ultra_long"], 1000))
    assert len(tenth) > 90
    assert max(tenth.values()) < 40


def test_a_wide_shuffle_loses_no_number() -> None:
    size, keys = 2**70, (1, 2, 3, 4)
    moved = {shuffle(number, size, keys) for number in range(2000)}
    assert len(moved) == 2000
    assert max(moved) < size
    assert sum(number > size // 2 for number in moved) > 800


def test_facts_come_in_pairs_that_differ() -> None:
    domains = [skill for skill in SKILLS.values() if skill.weakness == "knowledge"]
    assert {skill.name for skill in domains} == {"cultural", "time", "space", "biology", "physics", "chemistry"}
    for skill in domains:
        facts = skill.levels[0].choices["fact"]
        assert len(facts) >= 12
        assert len({str(fact) for fact in facts}) == len({*facts}) == len(facts)
        for fact in facts:
            assert str(fact) != getattr(fact, "name", fact)
            assert not str(fact).endswith(".")


def test_nothing_is_said_twice_of_a_surreal_thing() -> None:
    for skill in SKILLS.values():
        if skill.weakness == "abstract":
            for prompt in prompts(skill, 200):
                said = [claim for claim in prompt.claims if claim.kind != "count"]
                assert not any(claim.subject in str(claim.value) for claim in said), prompt.text


@pytest.mark.parametrize(
    ("source", "claim"),
    [
        ('fact("it rains")', Claim("fact", "", "", "it rains")),
        ('fact(cup, "has wings")', Claim("fact", "cup", "", "has wings")),
        ("part(cup, red, 0)", Claim("part", "cup", "red", 0)),
        ("comparison(cup, more than, key)", Claim("comparison", "cup", "more than", "key")),
        ("depth(cup, partly hides, key)", Claim("depth", "cup", "partly hides", "key")),
    ],
)
def test_new_claims_are_parsed(source: str, claim: Claim) -> None:
    found = parse_claim(source, {}, ["cup", "key", "red"]).fill({})
    assert found == claim == Claim.from_dict(claim.to_dict())
    assert str(found) == source


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("part(cup, red, key)", "is not a number"),
        ("part(cup, 2, 3)", "is a number"),
        ("fact(3)", "is a number"),
        ("fact(cup, red, key)", "must have 2 arguments"),
        ("comparison(cup, key)", "must have 3 arguments"),
    ],
)
def test_wrong_claims_say_what_is_wrong(source: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_claim(source, {}, ["cup", "key", "red"])


def test_all_pairs_of_levels_are_reached() -> None:
    levels = Counter(prompt.level for prompt in prompts(SKILLS["logic/odd_one_out"], 40))
    assert levels == {"medium": 20, "hard": 20}
    slots = [prompt.slots for prompt in prompts(SKILLS["logic/split"], 200)]
    assert {(each["k"], each["m"]) for each in slots} == {
        (k, m) for k, m in itertools.product(range(2, 5), repeat=2) if k + m <= 6
    }
