"""A round of a reflection has the reward and the verdict that a sample of its own would have."""

from __future__ import annotations

import json
import random
from types import ModuleType
from typing import Any

from datagen.config import Aggregate
from datagen.records import Claim, Prompt, Score
from datagen.rewards.objects import attribute, counting
from datagen.scoring.rewarder import make_rewarder
from datagen.scoring.rounds import OPEN, ROUNDS, join_rounds, split_rounds
from datagen.scoring.verdicts import passed
from tests.helpers import half_blind

CLAIMS = (Claim("count", "cup", value=1), Claim("attribute", "cup", "color", "red"))
MODULES: dict[str, ModuleType] = {"counting": counting, "attribute": attribute, "odd": half_blind}
SAID: list[tuple[float | None, dict[str, Any]]] = [
    (1.0, {"passed": True}),
    (0.5, {"passed": False}),
    (0.25, {}),
    (None, {"unnamed": [[0, 0, 9, 9]]}),
    (None, {"unseen": ["hammer"]}),
    (None, {"failed": True}),
    (None, {}),
]


def make_prompt() -> Prompt:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    return Prompt.make("a red cup", CLAIMS, **where)


def store(rounds: list[list[Score]]) -> list[Score]:
    """The scores of a sample of which these are the scores after each image, as a file has them."""
    made = [join_rounds([each[k] for each in rounds[:-1]], score) for k, score in enumerate(rounds[-1])]
    return [Score.from_dict(json.loads(json.dumps(score.to_dict()))) for score in made]


def test_each_round_is_judged_like_a_sample_of_its_own() -> None:
    rng, prompt, known = random.Random(4), make_prompt(), [0, 0]
    rewarder = make_rewarder(Aggregate(), dict.fromkeys(MODULES, "image"), frozenset(), MODULES)
    for _ in range(500):
        rounds = [
            [Score("s", name, "image", *pick(rng)) for name in MODULES] + [Score("s", "plan", "text", 0.5, "a plan")]
            for _ in range(rng.randint(2, 3))
        ]
        found = split_rounds(store(rounds))
        assert len(found) == len(rounds)
        for one, alone in zip(found, rounds, strict=True):
            reward = rewarder.reward(prompt, alone, "image")
            assert rewarder.reward(prompt, one, "image") == reward
            assert passed(one) is passed(alone)
            known[reward is not None] += 1
    assert min(known) > 100


def pick(rng: random.Random) -> tuple[float | None, str, dict[str, Any]]:
    value, evidence = rng.choice(SAID)
    return value, "", evidence


def test_a_scorer_that_must_judge_and_did_not_leaves_its_round_without_reward() -> None:
    """Also in scores of before it was stored why a round has no value."""
    rewarder = make_rewarder(Aggregate(), dict.fromkeys(("counting", "attribute"), "image"), frozenset(), MODULES)
    counted = Score("s", "counting", "image", 0.5, "", {"passed": False, ROUNDS: [[None, None], [0.5, False]]})
    colored = Score("s", "attribute", "image", 1.0, "", {"passed": True, ROUNDS: [[1.0, True], [1.0, True]]})
    found = split_rounds([counted, colored])
    assert [rewarder.reward(make_prompt(), each, "image") for each in found] == [None, 0.5]


def test_one_image_has_no_rounds_and_nothing_is_stored_of_rounds_that_are_not_open() -> None:
    alone = Score("s", "counting", "image", None, "", {"failed": True})
    assert join_rounds([], alone) == alone
    assert split_rounds([alone]) == []
    first, last = (Score("s", "counting", "image", value, "", {"passed": True}) for value in (0.5, 1.0))
    assert join_rounds([first], last).evidence == {"passed": True, ROUNDS: [[0.5, True], [1.0, True]]}
    assert join_rounds([alone], last).evidence[OPEN] == [["failed"], []]
    text = Score("s", "plan", "text", 0.5, "")
    assert join_rounds([text], text) == text
