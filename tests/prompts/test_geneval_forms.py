from __future__ import annotations

import re
from collections import Counter

import pytest

from datagen.errors import ConfigError
from datagen.prompts.contamination import Contamination
from datagen.prompts.geneval_forms import FORM_COUNTS, geneval_forms
from datagen.taxonomy.lexicon import Lexicon, Word

OBJECTS = (
    *(Word(f"thing{letter}") for letter in "abcdefgh"),
    Word("umbrella", plural="umbrellas", article="an"),
    Word("knife", plural="knives", article="a"),
)
SMALL = Lexicon(
    "small",
    "",
    {
        "objects": OBJECTS,
        "colors": tuple(map(Word, ("red", "orange", "blue"))),
        "relations": (Word("left of", phrase="to the left of"), Word("above")),
    },
)
GRAMMAR = {
    "single_object": r"a photo of an? \w+",
    "two_object": r"a photo of an? \w+ and an? \w+",
    "counting": r"a photo of (two|three|four) \w+",
    "colors": r"a photo of an? (red|orange|blue) \w+",
    "position": r"a photo of an? \w+ (left of|above) an? \w+",
    "color_attr": r"a photo of an? (red|orange|blue) \w+ and an? (red|orange|blue) \w+",
}


def test_each_task_has_its_form_and_its_count_or_all_that_the_words_allow() -> None:
    made = list(geneval_forms(SMALL, seed=7))
    for prompt, line in made:
        assert re.fullmatch(GRAMMAR[line["tag"]], prompt.text), prompt.text
        assert line["prompt"] == prompt.text
        assert not re.search(r"\ba (orange|umbrella)|\ban (red|blue|thing|knife)|knifes", prompt.text)
    assert len({prompt.id for prompt, _ in made}) == len({prompt.text for prompt, _ in made}) == len(made)
    expected = {**FORM_COUNTS, "single_object": 10, "two_object": 90, "counting": 30, "colors": 30}
    assert Counter(line["tag"] for _, line in made) == expected
    assert sum(FORM_COUNTS.values()) == 553


def test_metadata_says_what_the_claims_say() -> None:
    for prompt, line in geneval_forms(SMALL, seed=3):
        claims = {(claim.kind, claim.subject, claim.name): claim.value for claim in prompt.claims}
        include = line["include"]
        for thing in include:
            assert claims[("count", thing["class"], "")] == thing["count"]
            if "color" in thing:
                assert claims[("attribute", thing["class"], "color")] == thing["color"]
        assert len({thing["class"] for thing in include}) == len(include)
        if line["tag"] == "counting":
            assert line["exclude"] == [{"class": include[0]["class"], "count": include[0]["count"] + 1}]
        else:
            assert "exclude" not in line
        if line["tag"] == "color_attr":
            assert include[0]["color"] != include[1]["color"]


def test_the_target_of_a_position_comes_first() -> None:
    prompt, line = next(geneval_forms(SMALL, seed=1, counts={"position": 1}))
    thing, relation, target = re.fullmatch(r"a photo of an? (\w+) (left of|above) an? (\w+)", prompt.text).groups()  # type: ignore[union-attr]
    assert line["include"] == [
        {"class": target, "count": 1},
        {"class": thing, "count": 1, "position": [relation, 0]},
    ]


def test_the_same_seed_makes_the_same_prompts_and_another_makes_others() -> None:
    texts = [[prompt.text for prompt, _ in geneval_forms(SMALL, seed)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_forms_can_guard_against_themselves() -> None:
    made = list(geneval_forms(SMALL, seed=1))
    guard = Contamination.from_prompts((line["tag"], prompt.text) for prompt, line in made)
    assert all(guard.match(prompt.text.upper()) for prompt, _ in made)


def test_an_unknown_task_and_a_missing_list_are_named() -> None:
    with pytest.raises(ConfigError, match="no task 'colour'"):
        list(geneval_forms(SMALL, 1, {"colour": 1}))
    with pytest.raises(ConfigError, match="has no colors"):
        list(geneval_forms(Lexicon("bare", "", {"objects": OBJECTS}), 1))
