"""`vqascore` beside its authors' code: the same value on 500 random answers and on the hard ones, by one token."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from datagen.rewards.judge import vqa
from tests.helpers.judge_cases import always, tools_with
from tests.helpers.reward_cases import count, make_prompt, make_sample
from tests.helpers.scorers import find_scorer

vqascore = find_scorer("vqascore")

DATA: dict[str, Any] = json.loads((Path(__file__).parent / "data/vqascore.json").read_text(encoding="utf-8"))
PROMPT, SAMPLE = make_prompt(count("star", 3)), make_sample(image=b"png")


def softmax(logits: list[float]) -> list[float]:
    raised = [math.exp(value - max(logits)) for value in logits]
    return [value / math.fsum(raised) for value in raised]


def test_the_value_is_theirs() -> None:
    assert len(DATA["rows"]) >= 500
    for *logits, theirs in DATA["rows"]:
        judge = always(dict(zip(DATA["tokens"], softmax(logits), strict=True)))
        assert vqascore.score(PROMPT, SAMPLE, tools_with(judge)).value == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({" Yes": 0.7, " No": 0.2}, 0.7),  # a vocabulary that knows no other
        ({"YES": 0.999, "Yes": 0.0003, "NO": 0.0005}, None),  # theirs is 0.0003 for a yes
        ({"yes": 0.99, "no": 0.01}, None),
    ],
)
def test_a_judge_without_that_token_has_no_vqascore(said: dict[str, float], value: float | None) -> None:
    verdict = vqascore.score(PROMPT, SAMPLE, tools_with(always(said)))
    assert verdict.value == value
    if value is None:
        assert verdict.reason.endswith("; vqa reads every spelling")
        assert vqa.score(PROMPT, SAMPLE, tools_with(always(said))).value == pytest.approx(0.99, abs=0.01)
