"""QwenVQAScore, Soft-TIFA and the two question graphs against slow readings of their definitions, on random answers."""

from __future__ import annotations

import itertools
import random

import pytest

from datagen.records import Claim
from datagen.rewards.judge import question_graph, vqa
from datagen.scoring.judging import settle
from tests.helpers.judge_cases import Judge, question_of, tokens, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, relation
from tests.helpers.scorers import find_scorer

question_graph_cascade = find_scorer("question_graph_cascade")
soft_tifa_am = find_scorer("soft_tifa_am")
soft_tifa_gm = find_scorer("soft_tifa_gm")

CASES = 300
SAMPLE = make_sample()
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
THINGS = ("star", "cup", "box")
TONES = ("red", "blue")


def random_answer(rng: random.Random, right: list[str]) -> tuple[dict[str, float], float]:
    """Return the probabilities of a judge's first token, and by hand the mass of the ways to say what is right.

    Ways are told apart by the word and by whether a space stands before it; a vocabulary may write that space as a
    marker, and then the same way stands there twice, and the likelier counts.
    """
    ways = [space + word for word in right for space in ("", " ", "Ġ", "▁")]
    others = [space + word for word in ("No", "no", "The", "maybe", "There") for space in ("", " ")]
    picked = rng.sample(ways, rng.randint(0, min(4, len(ways)))) + rng.sample(others, rng.randint(1, 4))
    shares = [rng.random() ** rng.choice((1, 4)) + 1e-9 for _ in picked]
    said = {token: share / sum(shares) for token, share in zip(picked, shares, strict=True)}
    strange = sum(p for token, p in said.items() if token.strip() in ("The", "maybe", "There"))
    said["No"] = said.get("No", 0.0) + max(0.02, strange)  # somebody who answers, and at once
    by_way: dict[tuple[bool, str], float] = {}
    for token, p in said.items():
        word = token.lstrip(" Ġ▁")
        if word in right:
            way = (word != token, word)
            by_way[way] = max(by_way.get(way, 0.0), p)
    return said, min(1.0, sum(by_way.values()))


def test_p_of_yes() -> None:
    rng, values = random.Random(2404), set()
    for _ in range(CASES):
        said, expected = random_answer(rng, ["Yes", "yes"])
        judge = Judge(lambda request, said=said: tokens(said))  # type: ignore[misc]
        verdict = vqa.score(make_prompt(count("star", 3)), SAMPLE, tools_with(judge))
        assert verdict.value == pytest.approx(expected, abs=1e-9)
        values.add(round(expected, 3))
    assert 0.0 in values
    assert len(values) > 100


def random_claims(rng: random.Random) -> tuple[Claim, ...]:
    """Return claims about one to three things: how many of each, colours of some, and how two of them stand."""
    things = rng.sample(THINGS, rng.randint(1, 3))
    claims = [count(thing, rng.choice((1, 1, *NUMBERS))) for thing in things]
    claims += [color(thing, rng.choice(TONES)) for thing in things if rng.random() < 0.6]
    if len(things) > 1 and rng.random() < 0.6:
        claims.append(relation(things[0], "left of", things[1]))
    return tuple(claims)


def test_soft_tifa() -> None:
    rng, zeros = random.Random(2512), 0
    for _ in range(CASES):
        claims = random_claims(rng)
        expected: dict[str, float] = {}

        def reply(request: object, claims: tuple[Claim, ...] = claims, expected: dict[str, float] = expected) -> object:
            asked = question_of(request)  # type: ignore[arg-type]
            right = ["Yes", "yes"]
            if asked.startswith("How many"):
                (wanted,) = [int(c.value) for c in claims if c.kind == "count" and c.subject in asked]
                right = [NUMBERS[wanted], NUMBERS[wanted].capitalize(), str(wanted)]
            said, expected[asked] = random_answer(rng, right)
            return tokens(said)

        judge = Judge(reply)  # type: ignore[arg-type]
        mean = soft_tifa_am.score(make_prompt(*claims), SAMPLE, tools_with(judge))
        atoms = list(expected.values())
        assert len(atoms) == len(claims), "an atom a claim"
        assert mean.value == pytest.approx(sum(atoms) / len(atoms), abs=1e-9)
        geometric = soft_tifa_gm.score(make_prompt(*claims), SAMPLE, tools_with(judge))
        product = 1.0
        for p in expected.values():  # asked again, answered anew
            product *= max(p, 1e-6)
            zeros += p == 0
        assert geometric.value == pytest.approx(product ** (1 / len(atoms)), abs=1e-9)
    assert zeros > 20


def test_graphs_of_any_depth() -> None:
    """DPG-Bench walks down from the roots and zeroes on its way; OneIG looks at the answers to the parents alone."""
    rng, parted = random.Random(5135), 0
    for _ in range(CASES):
        size = rng.randint(1, 8)
        parents = [tuple(sorted(rng.sample(range(k), rng.randint(0, min(k, 2))))) for k in range(size)]
        raw = [rng.random() < 0.7 for _ in range(size)]
        walked = [float(answer) for answer in raw]
        for child, above in enumerate(parents):
            for parent in above:
                if walked[parent] == 0.0:
                    walked[child] = 0.0
        looked = [float(raw[k]) if all(raw[j] for j in parents[k]) else 0.0 for k in range(size)]
        assert [float(one) for one in settle(raw, parents, cascade=True)] == walked
        assert [float(one) for one in settle(raw, parents, cascade=False)] == looked
        parted += walked != looked
    assert parted > 20


def test_graphs_of_claims() -> None:
    """A claim holds if its own answer does and each thing that it speaks of is there."""
    rng, values = random.Random(7977), set()
    for _ in range(CASES):
        claims = random_claims(rng)
        there = {c.subject: rng.random() < 0.7 for c in claims if c.kind == "count"}
        own = {claim: rng.random() < 0.7 for claim in claims}
        nodes = list(there.values())  # whether a thing is there, which is all that a count of one asks
        for claim in claims:
            if claim.kind != "count" or claim.value != 1:
                above = [claim.subject, *([str(claim.value)] if claim.kind == "relation" else [])]
                nodes.append(own[claim] and all(there[thing] for thing in above))

        def reply(
            request: object,
            claims: tuple[Claim, ...] = claims,
            there: dict[str, bool] = there,
            own: dict[Claim, bool] = own,
        ) -> object:
            asked = question_of(request)  # type: ignore[arg-type]
            if asked.startswith("Is there any"):
                (holds,) = [answer for thing, answer in there.items() if thing in asked]
                return tokens({"Yes": 0.9, "No": 0.1} if holds else {"Yes": 0.4, "No": 0.6})
            kind = "count" if "How many" in asked else "relation" if "left of" in asked else "attribute"
            (claim,) = [c for c in claims if c.kind == kind and (kind == "relation" or c.subject in asked)]
            right = NUMBERS[int(claim.value)] if kind == "count" else "Yes"
            return tokens({right: 0.7, "No": 0.3} if own[claim] else {right: 0.3, "No": 0.7})

        for scorer in (question_graph, question_graph_cascade):  # graphs of claims have two levels: both say the same
            verdict = scorer.score(make_prompt(*claims), SAMPLE, tools_with(Judge(reply)))  # type: ignore[arg-type]
            assert verdict.value == pytest.approx(sum(nodes) / len(nodes)), (claims, verdict.evidence)
        values.add(round(sum(nodes) / len(nodes), 3))
    assert {0.0, 1.0} < values


def test_every_answer_to_a_small_graph() -> None:
    """The definitions on all graphs of three questions with all answers: nothing is left to chance."""
    shapes = [((), above, over) for above in ((), (0,)) for over in ((), (0,), (1,), (0, 1))]
    for parents, raw in itertools.product(shapes, itertools.product((False, True), repeat=3)):
        reached = [raw[0], raw[1] and (not parents[1] or raw[0]), False]
        reached[2] = raw[2] and all(reached[k] for k in parents[2])
        assert settle(raw, parents, cascade=True) == reached
