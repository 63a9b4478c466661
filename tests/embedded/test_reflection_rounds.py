"""The reader and the drawer take turns: what each is given, what becomes of it, and what goes wrong with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from tokenizers import Tokenizer

from datagen.embedded.answers import Answer, Piece
from datagen.embedded.chat import NOTHING, Write, close, reflect
from datagen.embedded.options import SHIPPED
from datagen.embedded.vocab import Vocabulary
from datagen.records import Prompt, Request

PLAN = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>"
OTHER = PLAN.replace("gray", "mint")
CODES, NEW = tuple(range(36)), tuple(range(36, 72))
START = Answer((Piece("think", PLAN), Piece("image", codes=CODES)), "stop")


@cache
def vocab() -> Vocabulary:
    return Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))


def request(text: str = "a red star") -> Request:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    return Request(Prompt.make(text, (), **where), 0, 7, "reflect")


def reading(improvements: str, guidance: str | None = OTHER) -> list[int]:
    v = vocab()
    text = f"Required improvements: {improvements}\nFinal prompt: a red star"
    text += "" if guidance is None else f"\nStep-by-step guidance: {guidance}"
    look = [v.look, *v.plan_ids(PLAN), v.end_look]
    return [*look, v.reflect, *v.plan_ids(text), v.end_reflect, v.eos]


def run(read: list[int], drawn: list[int], answer: Answer = START, limit: int = 90) -> tuple[Answer, list[list[int]]]:
    shown: list[list[int]] = []

    def write(ids: list[int]) -> Write:
        def call(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
            shown.extend(list(prompt) for prompt in prompts)
            return [ids for _ in prompts]

        return call

    (after,) = reflect(vocab(), [request()], [answer], write(read), write(drawn), turn=1, limit=limit)
    return after, shown


def drawing() -> list[int]:
    return [*vocab().image_ids(NEW), vocab().eos]


def test_the_guidance_is_drawn() -> None:
    v = vocab()
    after, (read, drawn) = run(reading("draw 1 star, not 2"), drawing())
    assert [piece.role for piece in after.pieces] == ["think", "image", "look", "reflect", "refined image"]
    assert after.pieces[-1].codes == NEW
    assert read == v.reflection_ids("a red star", [v.think, *v.plan_ids(PLAN), v.end_think], CODES)
    assert drawn == [*v.prompt_ids("a red star", "think"), v.think, *v.plan_ids(OTHER), v.end_think]


def test_where_nothing_must_change_the_image_stands() -> None:
    after, shown = run(reading("none"), drawing())
    assert after.pieces[-1] == Piece("refined image", codes=CODES)
    assert len(shown) == 1


def test_the_next_round_reads_the_last_image_with_the_last_guidance() -> None:
    first, _ = run(reading("none, nearly"), drawing())
    second, shown = run(reading("make it red"), drawing(), first)
    v = vocab()
    assert shown[0] == v.reflection_ids("a red star", [v.think, *v.plan_ids(OTHER), v.end_think], NEW)
    assert [piece.role for piece in second.pieces[5:]] == ["look", "reflect", "refined image"]


def test_a_closing_look_is_about_the_last_image_and_draws_nothing() -> None:
    v = vocab()
    once, _ = run(reading("make it mint"), drawing())
    shown: list[list[int]] = []

    def read(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        shown.extend(list(prompt) for prompt in prompts)
        return [reading("none") for _ in prompts]

    (closed,) = close(v, [request()], [once], read)
    assert shown == [v.reflection_ids("a red star", [v.think, *v.plan_ids(OTHER), v.end_think], NEW)]
    assert closed.pieces[:-2] == once.pieces
    assert [piece.role for piece in closed.pieces[-2:]] == ["closing look", "close"]
    assert closed.pieces[-1].text.startswith(NOTHING)
    broken = replace(once, problem="the thought never ends")
    assert close(v, [request()], [broken], read) == [broken]


@pytest.mark.parametrize(
    ("read", "drawn", "problem"),
    [
        (reading("x")[:-2], [], "the reflection never ends"),
        (reading("x", guidance=None), [], "the reflection gives no guidance"),
        (drawing(), [], "the model does not look and reflect"),
        (reading("x"), [1, 2, 3], "round 1: the model does not switch to an image"),
        (reading("x", guidance=PLAN * 12), [], "round 1: the guidance leaves no room for an image"),
    ],
)
def test_a_round_that_is_not_whole_is_a_problem(read: list[int], drawn: list[int], problem: str) -> None:
    after, _ = run(read, drawn)
    assert after.problem == problem


def test_an_answer_with_a_problem_is_left_alone() -> None:
    broken = Answer((), "length", "the thought never ends")
    assert run(reading("none"), drawing(), broken) == (broken, [])
