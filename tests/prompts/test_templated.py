from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import ConfigError
from datagen.prompts.contamination import Contamination, normalize
from datagen.prompts.templated import (
    PATIENCE,
    PromptStats,
    SeenTexts,
    count_places,
    plan_prompts,
    preview,
    sample_prompt,
    share_out,
)
from datagen.records import Prompt
from datagen.taxonomy import Taxonomy, load_taxonomy

SHIPPED = ["counting", "spatial", "attributes", "text_rendering"]
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
# What English itself demands, written down apart from the rules that are under test.
AN_WORDS = {"hourglass"}
A_WORDS = {"unicorn", "unicycle", "ukulele"}


@pytest.fixture(scope="module", params=["everyday", "pictograms"])
def taxonomy(request: pytest.FixtureRequest) -> Taxonomy:
    return load_taxonomy(SHIPPED, request.param)


@pytest.fixture(scope="module")
def pictograms() -> Taxonomy:
    return load_taxonomy(SHIPPED, "pictograms")


def one_skill(folder: Path, template: str = "{{ a(color, object) }}\n", constraints: str = "[]") -> Taxonomy:
    (folder / "templates").mkdir()
    (folder / "templates" / "t.j2").write_text(template)
    (folder / "t.yaml").write_text(
        "version: 1\nweakness: mine\ntitle: Mine\nwhy: ''\nskills:\n  - name: one\n    title: One\n"
        "    slots: {object: {from: objects}, color: {values: [red, Red, blue]}}\n"
        f"    constraints: {constraints}\n    claims: ['attribute(object, color, color)']\n    templates: t.j2\n"
    )
    return load_taxonomy([folder / "t.yaml"], "pictograms")


def test_english_is_right_over_ten_thousand_draws(taxonomy: Taxonomy) -> None:
    plurals = _plurals(taxonomy)
    each = -(-10_000 // len(taxonomy.skills))
    for skill in taxonomy.skills:
        for index in range(each):
            prompt = sample_prompt(skill, index, 5)
            assert not _faults(prompt, plurals), (prompt.text, _faults(prompt, plurals))


def _plurals(taxonomy: Taxonomy) -> dict[str, str]:
    words = [word for skill in taxonomy.skills for values in skill.levels[0].choices.values() for word in values]
    return {word.name: word.plural for word in words if not isinstance(word, int)}


def _faults(prompt: Prompt, plurals: dict[str, str]) -> list[str]:
    text = prompt.text
    outside_quotes = re.sub(r'"[^"]*"', '""', text)
    faults = re.findall(r"[{}]|None|Undefined", text) + re.findall(r"[%#]|  |^ | $|<|\\|_", outside_quotes)
    for article, word in re.findall(r"\b(an?) (\w+)", outside_quotes):
        wanted = "an" if word in AN_WORDS or (word[0] in "aeiou" and word not in A_WORDS) else "a"
        faults += [f"{article} {word}"] if article != wanted else []
    for claim in prompt.claims:
        if claim.kind == "count":
            wanted = claim.subject if claim.value == 1 else plurals[claim.subject]
            said = re.search(rf"\b{re.escape(wanted)}\b", text)
            faults += [] if said else [f"no {wanted}"]
            number = next(word for word, n in NUMBERS.items() if n == claim.value)
            faults += [f"no {number}"] if claim.value != 1 and number not in text.split() else []
        elif claim.kind == "text":
            faults += [] if f'"{claim.value}"' in text else [f"no {claim.value}"]
        elif claim.kind == "attribute":
            faults += [] if re.search(rf"\b{claim.value}\b", text) else [f"no {claim.value}"]
        else:
            phrase = f"to the {claim.name}" if claim.name in ("left of", "right of") else claim.name
            faults += [] if phrase in text else [f"no {phrase}"]
    return faults


def test_the_test_of_english_sees_what_is_wrong(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "one_kind")
    prompt = next(
        p for p in (sample_prompt(skill, index, 0) for index in itertools.count()) if p.claims[0].subject == "car"
    )
    for wrong in ("an car", "a umbrella", "two  cars", "{{ n }} cars", "None", "seven car"):
        assert _faults(Prompt.make(wrong, prompt.claims, **_where(prompt)), _plurals(pictograms)), wrong


def _where(prompt: Prompt) -> dict[str, object]:
    names = ("weakness", "skill", "level", "index", "seed", "template")
    return {name: getattr(prompt, name) for name in names}


def test_a_draw_depends_on_seed_skill_and_index_alone(taxonomy: Taxonomy) -> None:
    places = [(skill, index) for skill in taxonomy.skills for index in range(20)]
    first = {(skill.path, index): sample_prompt(skill, index, 3) for skill, index in places}
    random.Random(0).shuffle(places)
    again = load_taxonomy([*reversed(SHIPPED)], taxonomy.lexicon)
    fresh = {skill.path: skill for skill in again.skills}
    assert {(skill.path, index): sample_prompt(fresh[skill.path], index, 3) for skill, index in places} == first
    other_seed = [sample_prompt(skill, index, 4).text for skill, index in places]
    assert other_seed != [first[skill.path, index].text for skill, index in places]


def test_drawn_prompts_stay_the_same_between_versions(pictograms: Taxonomy) -> None:
    """A run folder names seeds and indexes: the same ones must give the same words for as long as it is kept."""
    texts = {skill.path: sample_prompt(skill, 0, 0).text for skill in pictograms.skills}
    assert texts["counting/one_kind"] == "an image that shows two moons and nothing else"
    assert texts["spatial/two_colored_objects"] == "a brown star below an orange key"
    assert texts["text_rendering/short_word"] == 'please write "BED"'


def test_a_prompt_is_plain_json_and_comes_back_equal(taxonomy: Taxonomy) -> None:
    for prompt in preview(taxonomy, 3, 0):
        assert Prompt.from_dict(json.loads(json.dumps(prompt.to_dict()))) == prompt
        assert {type(value) for value in prompt.slots.values()} <= {str, int}
        file, _, line = prompt.template.rpartition(":")
        assert file.endswith(".j2")
        assert int(line) > 0


def test_a_relation_is_recorded_by_name_and_said_as_a_phrase(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "two_objects")
    prompts = [sample_prompt(skill, index, 0) for index in range(40)]
    left = [prompt for prompt in prompts if prompt.slots["relation"] == "left of"]
    assert left
    assert all("to the left of" in prompt.text and prompt.claims[2].name == "left of" for prompt in left)


def test_a_plan_keeps_the_shares_at_every_length(taxonomy: Taxonomy) -> None:
    shares: dict[str, float] = {}
    for skill in taxonomy.skills:
        total = sum(other.share for other in taxonomy.skills if other.weakness == skill.weakness)
        shares[skill.path] = skill.share / total / len(taxonomy.weaknesses)
    counts: Counter[str] = Counter()
    for length, prompt in enumerate(plan_prompts(taxonomy, 1000, 0), 1):
        counts[prompt.path] += 1
        assert all(abs(counts[path] - share * length) < 1.01 for path, share in shares.items()), length
    assert counts.total() == 1000


def test_the_places_of_a_plan_are_those_that_it_fills(taxonomy: Taxonomy) -> None:
    for count in (1, 8, 100):
        places = count_places(share_out(taxonomy), count)
        stats = PromptStats()
        list(plan_prompts(taxonomy, count, 3, stats=stats))
        assert sum(places.values()) == count
        assert places == {path: each.asked for path, each in stats.skills.items()}


def test_a_longer_plan_begins_with_the_shorter_one(taxonomy: Taxonomy) -> None:
    assert list(plan_prompts(taxonomy, 300, 0))[:120] == list(plan_prompts(taxonomy, 120, 0))


def test_levels_take_turns(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "one_kind")
    assert [sample_prompt(skill, index, 0).level for index in range(4)] == ["easy", "medium", "hard", "easy"]
    levels = {"easy": {2, 3}, "medium": {4}, "hard": {5, 6}}
    assert all(
        sample_prompt(skill, i, 1).claims[0].value in levels[sample_prompt(skill, i, 1).level] for i in range(60)
    )


def test_no_prompt_comes_twice_and_the_counts_add_up(pictograms: Taxonomy) -> None:
    stats = PromptStats()
    prompts = list(plan_prompts(pictograms, 4000, 0, None, stats))
    assert len({normalize(prompt.text) for prompt in prompts}) == len(prompts) == stats.kept
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    assert stats.duplicates > 0
    assert stats.drawn == stats.kept + stats.duplicates + stats.contaminated
    assert stats.total("asked") == 4000
    assert stats.total("short") == 4000 - len(prompts)


def test_duplicates_but_for_case_are_dropped_and_an_exhausted_skill_says_so(tmp_path: Path) -> None:
    stats = PromptStats()
    prompts = list(plan_prompts(one_skill(tmp_path), 100, 0, None, stats))
    # 12 objects in `red` or `Red`, which are one, and in `blue`.
    assert len(prompts) == 24
    skill = stats.skills["mine/one"]
    assert (skill.asked, skill.kept, skill.short) == (100, 24, 76)
    assert (skill.drawn, skill.duplicates) == (36, 12)
    assert len(stats.notes()) == 1
    assert "mine/one: 24 of 100" in stats.notes()[0]


def test_an_exhausted_skill_does_not_take_places_from_the_others(pictograms: Taxonomy) -> None:
    stats = PromptStats()
    counts = Counter(prompt.weakness for prompt in plan_prompts(pictograms, 4000, 0, None, stats))
    assert counts["attributes"] <= 1000
    assert counts["counting"] == 1000 - stats.skills["counting/one_kind"].short < 1000


def test_blocked_prompts_are_refused_counted_and_replaced(tmp_path: Path) -> None:
    taxonomy, stats = one_skill(tmp_path), PromptStats()
    free = [prompt.text for prompt in plan_prompts(taxonomy, 10, 0)]
    blocked = Contamination.from_prompts([("bench.txt:1", free[0].upper()), ("bench.txt:2", free[3] + ".")])
    kept = [prompt.text for prompt in plan_prompts(taxonomy, 10, 0, blocked, stats)]
    assert [text for text in free if text in kept] == [text for text in free if text not in (free[0], free[3])]
    assert len(kept) == 10
    assert stats.contaminated == 2


def test_a_plan_in_which_everything_is_blocked_ends(pictograms: Taxonomy) -> None:
    class All:
        def match(self, text: str) -> str:
            return "all"

    stats = PromptStats()
    assert list(plan_prompts(pictograms, 20, 0, All(), stats)) == []
    assert stats.total("short") == 20
    assert max(skill.drawn for skill in stats.skills.values()) == PATIENCE


def test_a_skill_gives_all_it_has_and_nothing_twice_before(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "one_color")
    texts = [sample_prompt(skill, index, 0).text for index in range(skill.size)]
    assert len(set(texts)) == len(texts) == 12 * 10 * 5
    again = [sample_prompt(skill, index, 0).text for index in range(skill.size, 2 * skill.size)]
    assert set(again) == set(texts)
    assert again != texts


def test_a_skill_with_constraints_gives_all_that_they_allow(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "two_objects")
    texts = {sample_prompt(skill, index, 0).text for index in range(skill.size)}
    assert len(texts) == 12 * 11 * 4 * 5


def test_a_template_that_fails_is_a_config_error_with_file_and_line(tmp_path: Path) -> None:
    taxonomy = one_skill(tmp_path, "{# first #}\n{{ many(object, color) }}\n")
    with pytest.raises(ConfigError) as caught:
        list(plan_prompts(taxonomy, 1, 0))
    assert caught.value.where == f"{tmp_path / 'templates' / 't.j2'}:2"


def test_constraints_hold_in_every_draw(taxonomy: Taxonomy) -> None:
    for skill in taxonomy.skills:
        for index in range(200 if skill.constraints else 0):
            slots = sample_prompt(skill, index, 9).slots
            kinds = [slots[name] for name in ("object", "other", "third", "first", "second") if name in slots]
            assert len(set(kinds)) == len(kinds)
            if skill.name == "two_kinds":
                assert 3 <= int(slots["n"]) + int(slots["m"]) <= 6


def test_choices_are_even(pictograms: Taxonomy) -> None:
    skill = next(skill for skill in pictograms.skills if skill.name == "two_colors")
    drawn = [sample_prompt(skill, index, 0) for index in range(6000)]
    for slot, choices in (("object", 12), ("other", 12), ("color", 10), ("shade", 10)):
        counts = Counter(prompt.slots[slot] for prompt in drawn)
        assert len(counts) == choices
        # Six standard deviations of a binomial count.
        mean = 6000 / choices
        assert all(abs(count - mean) < 6 * (mean * (1 - 1 / choices)) ** 0.5 for count in counts.values())
    assert len({prompt.template for prompt in drawn}) == len(skill.wordings)


def test_preview_gives_a_handful_of_each_skill(taxonomy: Taxonomy) -> None:
    prompts = preview(taxonomy, 3, 0)
    assert Counter(prompt.path for prompt in prompts) == {skill.path: 3 for skill in taxonomy.skills}
    planned = {prompt.id for prompt in plan_prompts(taxonomy, 400, 0)}
    assert {prompt.id for prompt in prompts} <= planned


@given(st.lists(st.text(alphabet="aB .,é1", max_size=6), max_size=80))
def test_seen_texts_behave_like_a_set(texts: list[str]) -> None:
    seen, known = SeenTexts(), set()
    for text in texts:
        assert seen.add(text) is (normalize(text) not in known)
        known.add(normalize(text))
    assert len(seen) == len(known)


def test_seen_texts_grow() -> None:
    seen = SeenTexts()
    assert all(seen.add(f"text {n}") for n in range(5000))
    assert not any(seen.add(f"Text  {n}!") for n in range(5000))
    assert len(seen) == 5000
