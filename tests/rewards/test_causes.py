"""Why images fail: the cause that each scorer gives for each kind of claim, and what reads causes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from datagen.pipeline.border import check_verdict
from datagen.records import CAUSES, Cause, Claim, Detection, Score, Verdict
from datagen.scoring.questions import ask_claims
from datagen.scoring.verdicts import find_causes
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing, words
from tests.helpers.scorers import find_scorer

LEFT, RIGHT = (0, 0, 300, 300), (600, 0, 900, 300)
STAR, STARS = (
    thing("star", "red", LEFT),
    [thing("star", "red", (10 + 200 * k, 0, 150 + 200 * k, 150)) for k in range(4)],
)
RED_TWO, NO_RED = Claim("part", "star", "red", 2), Claim("part", "star", "red", 0)
MORE = Claim("comparison", "star", "more than", "moon")


@pytest.mark.parametrize(
    ("scorer", "claim", "seen", "cause"),
    [
        ("counting", count("star", 3), [], "missing"),
        ("counting", count("star", 3), STARS[:2], "count"),
        ("counting", count("star", 3), STARS, "count"),
        ("counting", count("star", 0), [STAR], "extra"),
        ("counting", RED_TWO, [], "missing"),
        ("counting", RED_TWO, [STAR], "count"),
        ("counting", RED_TWO, [replace(each, color="blue") for each in STARS], "color"),
        ("counting", RED_TWO, [STARS[0], *(replace(each, color="blue") for each in STARS[1:])], "color"),
        ("counting", RED_TWO, STARS[:3], "count"),
        ("counting", RED_TWO, [*STARS[:3], replace(STARS[3], color="blue")], "count"),
        ("counting", NO_RED, [STAR], "color"),
        ("compbench_numeracy", count("star", 3), [], "missing"),
        ("compbench_numeracy", count("star", 3), STARS, "count"),
        ("compbench_numeracy", count("star", 0), [STAR], "extra"),
        ("attribute", color("star", "blue"), [STAR], "color"),
        ("attribute", color("star", "blue"), [], "missing"),
        ("comparison", MORE, [STAR], "missing"),
        ("comparison", MORE, [STAR, thing("moon")], "comparison"),
        ("spatial", relation("star", "right of", "moon"), [STAR], "missing"),
        ("spatial", relation("star", "right of", "moon"), [STAR, thing("moon", box=RIGHT)], "place"),
        ("spatial", relation("star", "above", "star"), [STAR], "count"),
        ("spatial", relation("star", "above", "star"), [STAR, thing("star", box=RIGHT)], "place"),
        ("compbench_spatial", relation("star", "right of", "moon"), [STAR], "missing"),
        ("compbench_spatial", relation("star", "right of", "moon"), [STAR, thing("moon", box=RIGHT)], "place"),
    ],
)
def test_each_scorer_of_objects_names_the_cause(scorer: str, claim: Claim, seen: list[Detection], cause: Cause) -> None:
    verdict = find_scorer(scorer).score(make_prompt(claim), make_sample(), make_tools(*seen))
    assert verdict.value is not None
    assert verdict.value < 1
    assert verdict.evidence["causes"] == {str(claim): cause}


@pytest.mark.parametrize(
    ("claims", "seen", "causes"),
    [
        ([count("star", 3)], STARS[:2], {"count(star, 3)": "count"}),
        ([count("star", 2)], STARS[:3], {"count(star, 2)": "count"}),
        ([count("star", 1)], [], {"count(star, 1)": "missing"}),
        ([count("star", 1), color("star", "blue")], [STAR], {"attribute(star, color, blue)": "color"}),
        (
            [count("star", 1), count("moon", 1), relation("star", "right of", "moon")],
            [STAR, thing("moon", box=RIGHT)],
            {"relation(star, right of, moon)": "place"},
        ),
        (
            [count("star", 1), count("moon", 1), relation("star", "right of", "moon")],
            [STAR],
            {"count(moon, 1)": "missing"},
        ),
    ],
)
def test_geneval_names_the_cause_of_each_clause(
    claims: list[Claim], seen: list[Detection], causes: dict[str, Cause]
) -> None:
    verdict = find_scorer("geneval").score(
        make_prompt(*claims), make_sample(), make_tools(*(replace(s, confidence=0.95) for s in seen))
    )
    assert {key: cause for key, cause in verdict.evidence["causes"].items() if cause} == causes


@pytest.mark.parametrize("scorer", ["text", "text_mario", "text_tiif", "text_oneig"])
@pytest.mark.parametrize(
    ("read", "cause"),
    [
        ([], "unread"),
        (["OPEN NAW"], "misread"),
        (["OPENNOW"], "merged"),
        (["OP ENNOW"], "merged"),
        (["OPEN"], "cut"),
        (["OPEN NOW HERE"], "extra"),
    ],
)
def test_each_scorer_of_words_names_the_cause(scorer: str, read: list[str], cause: Cause) -> None:
    verdict = find_scorer(scorer).score(make_prompt(words("OPEN NOW")), make_sample(), make_tools(read=tuple(read)))
    assert verdict.evidence["causes"] == {'text("OPEN NOW")': cause}


def test_letter_case_and_other_words_are_causes_of_their_own() -> None:
    score = find_scorer("text").score
    wrong = score(make_prompt(words("Open")), make_sample(), make_tools(read=("oPEN",)))
    assert wrong.evidence["causes"] == {'text("Open")': "case"}
    two = make_prompt(words("OPEN"), words("SALE"))
    more = score(two, make_sample(), make_tools(read=("OPEN", "SALE", "142")))
    assert more.evidence["causes"] == {"other words": "extra"}


def test_what_holds_and_what_is_open_has_no_cause() -> None:
    score, prompt = find_scorer("counting").score, make_prompt(count("star", 3))
    assert "causes" not in score(prompt, make_sample(), make_tools(*STARS[:3])).evidence
    beside = score(prompt, make_sample(), make_tools(*STARS[:2], thing("")))
    assert beside.value is None
    assert "causes" not in beside.evidence


def test_every_kind_of_claim_that_a_judge_denies_has_a_cause() -> None:
    claims = (
        count("star", 1), count("moon", 3), count("sun", 0), RED_TWO, NO_RED, color("star", "red"),
        Claim("attribute", "star", "material", "wood"), relation("star", "above", "moon"), MORE,
        Claim("depth", "star", "behind", "moon"), words("OPEN"), Claim("fact", "star", "", "shines"),
    )  # fmt: skip
    found = {str(question.claim): question.cause for question in ask_claims(claims)}
    assert list(found.values()) == [
        "missing", "count", "extra", "count", "color", "color", "attribute", "place", "comparison", "depth",
        "misread", "fact",
    ]  # fmt: skip


def make_score(target: str = "image", **evidence: object) -> Score:
    return Score("p-00", "s", "image" if target == "image" else "text", 0.0, "said", evidence)


def test_the_causes_of_a_sample_stand_once_and_in_order() -> None:
    one = make_score(passed=False, causes={"a": "place", "b": "count"})
    other = make_score(holds=False, causes={"a": "count", "c": "missing"})
    assert find_causes([one, other]) == ["missing", "count", "place"]
    assert find_causes([make_score(passed=True)]) == []
    assert find_causes([make_score("text", passed=False)]) == []


def test_a_failure_without_a_cause_was_not_recorded() -> None:
    assert find_causes([make_score(passed=False)]) is None
    assert find_causes([make_score(passed=False), make_score(holds=False, causes={"a": "denied"})]) == ["denied"]


@pytest.mark.parametrize("causes", [{"a": "bad luck"}, ["count"], {"a": None}])
def test_a_cause_that_is_not_listed_is_no_verdict(causes: object) -> None:
    with pytest.raises(ValueError, match="cause"):
        check_verdict(Verdict(0.0, "said", {"passed": False, "causes": causes}))


def test_the_page_lists_every_cause() -> None:
    page = (Path(__file__).parents[2] / "docs/scorers.md").read_text(encoding="utf-8")
    rows = page.partition("## Why it failed")[2].partition("\n## ")[0]
    assert [line.split("`")[1] for line in rows.splitlines() if line.startswith("| `")] == list(CAUSES)
