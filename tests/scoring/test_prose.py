"""The scorers of reasoning prose: coverage, contradiction, faithfulness, on sentences made from claims and on edges."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from datagen.embedded.pictograms import COLORS
from datagen.records import Claim, Sample, Segment, Verdict, write_reflection
from datagen.rewards.reasoning import contradiction, coverage, faithfulness
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing, words, write

NOUNS = {"star": "stars", "cup": "cups", "key": "keys", "moon": "moons", "fish": "fish"}
NUMBERS = ("", "one", "two", "three", "four", "five", "six")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
LABELS = frozenset(NOUNS)


def covered(think: str, *claims: Claim) -> Verdict:
    return coverage.score(make_prompt(*claims), make_sample(think=think), make_tools())


def against(think: str, *claims: Claim) -> Verdict:
    return contradiction.score(make_prompt(*claims), make_sample(think=think), make_tools())


def say_count(n: int, noun: str, tone: str = "") -> str:
    words_said = [NUMBERS[n], tone, noun if n == 1 else NOUNS[noun]]
    return " ".join(filter(None, words_said))


def random_case(rng: random.Random) -> tuple[list[Claim], list[str], list[bool]]:
    """Return claims of one kind each about things of their own, a sentence for each, and whether it says the claim."""
    claims, said, kept = [], [], []
    for noun in rng.sample(sorted(set(NOUNS) - {"fish"}), rng.randint(1, 3)):
        n = rng.randint(2, 5)
        keep = rng.random() < 0.5
        claims.append(count(noun, n))
        kept.append(keep)
        said.append(f"I draw {say_count(n if keep else n + 1, noun)}.")
    if rng.random() < 0.5:
        wanted, other = rng.sample(sorted(COLORS), 2)
        keep = rng.random() < 0.5
        claims += [count("fish", 1), color("fish", wanted)]
        kept += [True, keep]
        said.append(f"There is a {wanted if keep else other} fish.")
    if rng.random() < 0.5:
        keep = rng.random() < 0.5
        claims.append(words("OPEN late"))
        kept.append(keep)
        said.append(f"The sign reads “{'OPEN late' if keep else 'OPEN lake'}”.")
    rng.shuffle(said)
    return claims, said, kept


def test_coverage_and_contradiction_agree_with_how_the_text_was_made() -> None:
    rng = random.Random(31)
    for _ in range(300):
        claims, said, kept = random_case(rng)
        think = " ".join(said)
        verdict = covered(think, *claims)
        assert verdict.value == pytest.approx(sum(kept) / len(kept)), (think, verdict.reason)
        # Every sentence that does not say its claim says another number, colour or text.
        assert against(think, *claims).value == pytest.approx(sum(kept) / len(kept)), think
        # What is left out is not covered, and contradicts nothing.
        assert against("I think about it.", *claims).value == 1
        assert covered("I think about it.", *claims).value == 0


@pytest.mark.parametrize("name", sorted(OPPOSITE))
def test_relations_either_way_round(name: str) -> None:
    phrase = {"left of": "to the left of", "right of": "to the right of"}
    claim = relation("cup", name, "key")
    same = f"The cup is {phrase.get(name, name)} the key."
    turned = f"The key is {phrase.get(OPPOSITE[name], OPPOSITE[name])} the cup."
    wrong = f"The key is {phrase.get(name, name)} the cup."
    for think in (same, turned):
        assert covered(think, claim).value == 1
        assert against(think, claim).value == 1
    assert covered(wrong, claim).value == 0
    assert against(wrong, claim).value == 0
    assert "the other way round" in against(wrong, claim).reason


@pytest.mark.parametrize(
    ("think", "claims", "says", "holds"),
    [
        ("the star", (count("star", 1),), 1, 1),
        ("several stars", (count("star", 3),), 0, 1),
        ("a red star and two blue stars", (count("star", 3), color("star", "red"), color("star", "blue")), 1, 1),
        ("a red star and two blue stars", (count("star", 2),), 1, 1),
        ("three stars, and one of the stars is large", (count("star", 3),), 1, 1),
        ("a crimson star", (color("star", "red"),), 0, 0),
        ("a red star, the blue star", (color("star", "red"),), 1, 0),
        ("it says 'open'", (words("OPEN"),), 0, 0),
        ('it says "OPEN" and feels "vintage"', (words("OPEN"),), 1, 1),
        ("OPEN is written", (words("OPEN"),), 0, 1),
        ("звезда", (count("star", 1),), 0, 1),
    ],
)
def test_worked_cases(think: str, claims: tuple[Claim, ...], says: float, holds: float) -> None:
    assert covered(think, *claims).value == says
    assert against(think, *claims).value == holds


@pytest.mark.parametrize(
    ("claimed", "said"), [("gray", "grey"), ("grey", "gray"), ("violet", "purple"), ("purple", "violet")]
)
def test_another_name_of_a_colour_is_the_colour(claimed: str, said: str) -> None:
    assert covered(f"I draw a {said} star.", color("star", claimed)).value == 1
    assert against(f"I draw a {said} star.", color("star", claimed)).value == 1
    assert against("I draw a crimson star.", color("star", claimed)).value == 0


def test_reasons_name_the_claim() -> None:
    assert covered("a cup", count("star", 2)).reason == "the reasoning does not say count(star, 2)"
    assert against("four stars", count("star", 2)).reason == "the reasoning says 4 stars, the claim is 2"
    assert against("a cherry", count("cherry", 2)).reason == "the reasoning says 1 cherry, the claim is 2"


@pytest.mark.parametrize("scorer", [coverage, contradiction])
def test_none_with_a_reason_where_it_cannot_judge(scorer: object) -> None:
    score = scorer.score  # type: ignore[attr-defined]
    prompt, tools = make_prompt(count("star", 1)), make_tools()
    assert score(make_prompt(), make_sample(think="a star"), tools).reason == "no claim"
    assert score(prompt, make_sample(), tools).reason == "the sample has no reasoning"
    assert score(prompt, make_sample(think=" "), tools).reason == "the sample has no reasoning"
    layout = score(prompt, make_sample(think=write("red star", 0, 0, 500, 500)), tools)
    assert (layout.value, "layout" in layout.reason) == (None, True)
    assert score(prompt, make_sample(think="?! 12 …"), tools).value is None


def reflecting(think: str, final: str) -> Sample:
    reflection = write_reflection("there are four stars, draw fewer", "draw four stars", final)
    added = (Segment("text", "reflect", text=reflection), Segment("image", "refined image", image=b"another"))
    sample = make_sample(think=think)
    return replace(sample, mode="reflect", segments=(*sample.segments, *added))


def test_of_a_reflection_the_final_prompt_is_read() -> None:
    sample = reflecting("four stars", "three stars")
    prompt = make_prompt(count("star", 3))
    assert coverage.score(prompt, sample, make_tools()).value == 1
    assert contradiction.score(prompt, sample, make_tools()).value == 1
    seen = make_tools(*[thing("star")] * 3, labels=LABELS)
    assert faithfulness.score(prompt, sample, seen).value == 1


def test_faithfulness_agrees_with_how_text_and_image_were_made() -> None:
    rng = random.Random(32)
    for _ in range(300):
        said, seen, held = [], [], []
        for noun in rng.sample(sorted(NOUNS), rng.randint(1, 4)):
            n, tone = rng.randint(1, 5), rng.choice(sorted(COLORS))
            drawn, drawn_tone = rng.choice([n, n, n + 1, 0]), rng.choice([tone, rng.choice(sorted(COLORS))])
            said.append(f"{say_count(n, noun, tone)}.")
            seen += [thing(noun, drawn_tone)] * drawn
            held += [drawn == n, drawn > 0 and drawn_tone == tone]
        rng.shuffle(seen)
        sample = make_sample(think=" ".join(said))
        verdict = faithfulness.score(make_prompt(), sample, make_tools(*seen, labels=LABELS))
        assert verdict.value == pytest.approx(sum(held) / len(held)), (said, verdict.reason)


def test_faithfulness_knows_its_bounds() -> None:
    sees = make_tools(thing("star"), labels=LABELS)
    prompt = make_prompt(count("boat", 1))
    assert faithfulness.score(prompt, make_sample(think="a boat"), sees).value is None
    assert faithfulness.score(prompt, make_sample(think="a star", image=None), sees).value is None
    assert faithfulness.score(prompt, make_sample(think="the star"), sees).value == 1
    assert faithfulness.score(prompt, make_sample(think="the cup"), sees).reason == "said and not seen: at least 1 cup"
    anything = make_tools(thing("boat"))
    assert faithfulness.score(prompt, make_sample(think="a boat"), anything).value == 1


@pytest.mark.parametrize("piece", ["star ", "a red star left of the cup ", '"', "'a", "a and ", "<|obj_start|>", "x"])
def test_ten_megabytes_do_not_hang(piece: str) -> None:
    think = piece * (10_000_000 // len(piece))
    for score in (coverage.score, contradiction.score, faithfulness.score):
        value = score(make_prompt(count("star", 1)), make_sample(think=think), make_tools(labels=LABELS)).value
        assert value is None or 0 <= value <= 1
