"""CLIPScore and preference: exact arithmetic on given cosines and scores, real tiny models, and what is None."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from datagen.records import Verdict
from datagen.rewards.likeness import clipscore, preference
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE
from datagen.vision.interfaces import Match, Matcher
from datagen.vision.matchers import transformers as matcher
from tests.helpers.reward_cases import make_prompt, make_sample
from tests.helpers.scorers import find_scorer
from tests.helpers.seeing_cases import DAMAGED, blind_tools, candidates, noise
from tests.helpers.tiny_vision import save_clip, save_siglip

preference_wins = find_scorer("preference_wins")


def given(name: str, *matches: Match) -> Tools:
    """Tools whose matcher gives these matches in turn, whatever it is asked."""
    return blind_tools(matchers={name: lambda pairs: list(matches[: len(pairs)])})


def test_clipscore_agrees_with_its_definition() -> None:
    rng = random.Random(1)
    full = 0
    for k in range(250):
        cosine = rng.uniform(-1, 1) if k > 4 else [-1.0, 0.0, 0.4, 0.4000001, 1.0][k]
        verdict = clipscore.score(make_prompt(), make_sample(), given("clipscore", Match(cosine, 7.0)))
        published = 2.5 * cosine if cosine > 0 else 0.0
        assert verdict.value == pytest.approx(published if published < 1 else 1.0, abs=1e-12)
        assert verdict.evidence["cosine"] == pytest.approx(cosine, abs=1e-6)
        full += verdict.value == 1.0
    assert full > 20


def test_clipscore_asks_with_the_papers_prefix() -> None:
    asked: list[tuple[str, bytes]] = []
    prompt = make_prompt()

    def match(pairs: list[tuple[str, bytes]]) -> list[Match]:
        asked.extend(pairs)
        return [Match(0.1, 0.0, cut=True)]

    verdict = clipscore.score(prompt, make_sample(image=b"i"), blind_tools(matchers={"clipscore": match}))
    assert asked == [("A photo depicts " + prompt.text, b"i")]
    assert verdict.evidence["cut"] is True
    assert verdict.reason.endswith("the text was cut")


def test_preference_is_bradley_terry_against_the_reference() -> None:
    rng = random.Random(2)
    for k in range(250):
        logit, reference = rng.uniform(-40, 40), rng.uniform(-40, 40)
        if k < 3:
            logit, reference = [(2000.0, 0.0), (-2000.0, 0.0), (5.0, 5.0)][k]
        verdict = preference.score(make_prompt(), make_sample(), given("preference", Match(0.1, logit, reference)))
        e = [math.exp(score - max(logit, reference)) for score in (logit, reference)]
        assert verdict.value == pytest.approx(e[0] / sum(e), abs=1e-12)


def test_wins_are_the_mean_over_the_other_candidates() -> None:
    rng = random.Random(3)
    for _ in range(250):
        logits = [rng.uniform(-5, 5) for _ in range(rng.randint(2, 6))]
        logits += rng.choices(logits, k=rng.randint(0, 1))
        samples = candidates(*[bytes([k]) for k in range(len(logits))])
        tools = given("preference", *[Match(0.0, logit) for logit in logits])
        verdicts = preference_wins.score_group(make_prompt(), samples, tools)
        values = []
        for k, mine in enumerate(logits):
            total = sum(math.exp(mine) / (math.exp(mine) + math.exp(x)) for j, x in enumerate(logits) if j != k)
            values.append(total / (len(logits) - 1))
        assert [verdict.value for verdict in verdicts] == pytest.approx(values, abs=1e-12)
        assert sum(values) / len(values) == pytest.approx(0.5)


def test_one_bad_candidate_leaves_the_others_judged() -> None:
    nan = Match(math.nan, math.nan)
    samples = candidates(noise(1), None, DAMAGED, noise(2))
    tools = given("preference", Match(0, 1.0), nan, Match(0, 0.0))
    verdicts = preference_wins.score_group(make_prompt(), samples, tools)
    assert verdicts[0].value == pytest.approx(1 / (1 + math.exp(-1)))
    assert verdicts[1].reason == "the sample has no image"
    assert verdicts[2].value is None
    assert verdicts[2].reason.startswith("the image cannot be read")
    assert preference_wins.score(make_prompt(), samples[0], tools) == Verdict(None, ALONE)


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    prompt, nan = make_prompt(), Match(math.nan, math.nan)
    for scorer, name in ((clipscore, "clipscore"), (preference, "preference"), (preference_wins, "preference")):
        assert scorer.score(prompt, make_sample(image=None), given(name)).reason == "the sample has no image"
        assert f"matchers: {{{name}: …}}" in scorer.score(prompt, make_sample(), blind_tools()).reason
        verdict = scorer.score(prompt, make_sample(image=noise(1)), given(name, nan))
        assert verdict.value is None
        assert "not finite" in verdict.reason
    verdict = preference.score(prompt, make_sample(), given("preference", Match(0.2, 21.0)))
    assert verdict.value is None
    assert "reference" in verdict.reason
    assert verdict.evidence == {"cosine": 0.2, "logit": 21.0}


def test_real_tiny_models(tmp_path: Path) -> None:
    clip: Matcher = matcher.build({"model": str(save_clip(tmp_path / "clip")), "reference": 1.0})
    siglip: Matcher = matcher.build({"model": str(save_siglip(tmp_path / "siglip"))})
    prompt, images = make_prompt(), [noise(k) for k in range(4)]
    for model in (clip, siglip):
        tools = blind_tools(matchers={"clipscore": model, "preference": model})
        verdicts = preference_wins.score_group(prompt, candidates(*images), tools)
        alone = [preference.score(prompt, make_sample(image=image), tools).value for image in images]
        by_wins = sorted(range(4), key=lambda k: verdicts[k].value or 0)
        assert by_wins == sorted(range(4), key=lambda k: alone[k] or 0)
        assert len({round(value or 0, 6) for value in alone}) == 4
        assert clipscore.score(prompt, make_sample(image=DAMAGED), tools).value is None
