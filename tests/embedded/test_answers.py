"""Reading what a joint model wrote: every section in its place, nothing repaired, rounds one after the other."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer

from datagen.embedded.answers import read_answer, read_sections
from datagen.embedded.options import SHIPPED
from datagen.embedded.vocab import Vocabulary

PLAN = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>"
CODES = tuple(range(36))


@cache
def vocab() -> Vocabulary:
    return Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))


def section(begin: int, text: str, end: int) -> list[int]:
    return [begin, *vocab().plan_ids(text), end]


def test_a_thought_and_an_image_are_read_in_order() -> None:
    v = vocab()
    answer = read_answer(v, [*section(v.think, PLAN, v.end_think), *v.image_ids(CODES), v.eos])
    assert [(p.role, p.text, p.codes) for p in answer.pieces] == [("think", PLAN, ()), ("image", "", CODES)]
    assert (answer.finish, answer.problem) == ("stop", "")


def test_sections_end_where_the_next_one_is_broken() -> None:
    v = vocab()
    look, reflect = section(v.look, PLAN, v.end_look), section(v.reflect, "all is well", v.end_reflect)
    pieces, rest, problem = read_sections(v, [*look, *reflect, v.eos])
    assert [(p.role, p.text) for p in pieces] == [("look", PLAN), ("reflect", "all is well")]
    assert (rest, problem) == ([v.eos], "")
    pieces, rest, problem = read_sections(v, [*look, *reflect[:-1]])
    assert [p.role for p in pieces] == ["look"]
    assert problem == "the reflection never ends"
    assert read_sections(v, look[:-1])[2] == "the look at the image never ends"
    assert read_sections(v, v.image_ids(CODES)[:-5])[2] == "the image is not six whole rows and an end"


def test_a_text_with_a_token_that_is_no_text_is_a_problem() -> None:
    v = vocab()
    thought = [v.think, *v.plan_ids("a red "), v.first_code + 7, v.end_think]
    assert read_answer(v, [*thought, *v.image_ids(CODES), v.eos]).problem == "the thought holds '<|image_0007|>'"


def test_an_answer_that_goes_on_is_a_problem() -> None:
    v = vocab()
    answer = read_answer(v, v.image_ids(CODES))
    assert (answer.finish, answer.problem) == ("length", "the model goes on where it should have ended")
