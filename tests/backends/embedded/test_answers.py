"""Reading what a joint model wrote: every section in its place, nothing repaired, rounds one after the other."""

from __future__ import annotations

from functools import cache

import pytest
from tokenizers import Tokenizer

from datagen.backends.embedded.answers import extend, read_answer, resume
from datagen.backends.embedded.backend import SHIPPED
from datagen.backends.embedded.vocab import Vocabulary

PLAN = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>"
CODES, OTHER = tuple(range(36)), tuple(range(36, 72))
REFLECTION = f"Required improvements: none\nFinal prompt: a red star\nStep-by-step guidance: {PLAN}"


@cache
def vocab() -> Vocabulary:
    return Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))


def section(begin: int, text: str, end: int) -> list[int]:
    return [begin, *vocab().plan_ids(text), end]


def write_reflection(reflection: str = REFLECTION) -> list[int]:
    v = vocab()
    ids = [*section(v.think, PLAN, v.end_think), *v.image_ids(CODES), *section(v.look, PLAN, v.end_look)]
    return [*ids, *section(v.reflect, reflection, v.end_reflect), *v.image_ids(OTHER), v.eos]


def test_a_reflection_is_read_in_order() -> None:
    answer = read_answer(vocab(), write_reflection())
    assert [(p.role, p.text, p.codes) for p in answer.pieces] == [
        ("think", PLAN, ()),
        ("image", "", CODES),
        ("look", PLAN, ()),
        ("reflect", REFLECTION, ()),
        ("refined image", "", OTHER),
    ]
    assert (answer.finish, answer.problem) == ("stop", "")


@pytest.mark.parametrize(
    ("cut", "problem"),
    [
        ("end_look", "the look at the image never ends"),
        ("end_reflect", "the reflection never ends"),
        ("eos", "the model goes on where it should have ended"),
    ],
)
def test_what_never_ends_is_named(cut: str, problem: str) -> None:
    ids = write_reflection()
    answer = read_answer(vocab(), ids[: ids.index(getattr(vocab(), cut))])
    assert answer.problem == problem
    assert answer.finish == "length"


def test_a_reflection_without_a_second_image_is_a_problem() -> None:
    ids = write_reflection()
    second = ids.index(vocab().image, ids.index(vocab().image) + 1)
    assert read_answer(vocab(), [*ids[:second], vocab().eos]).problem == "the model reflects and does not redraw"


def test_a_second_image_that_is_broken_is_a_problem() -> None:
    ids = write_reflection()
    assert "six whole rows" in read_answer(vocab(), [*ids[:-9], vocab().eos]).problem


def test_another_round_begins_with_the_guidance_and_the_last_image() -> None:
    v = vocab()
    answer = read_answer(v, write_reflection())
    begin = resume(v, answer)
    assert begin == [*section(v.think, PLAN, v.end_think), *v.image_ids(OTHER)]
    rest = [*section(v.look, "b", v.end_look), *section(v.reflect, REFLECTION, v.end_reflect), *v.image_ids(CODES)]
    longer = extend(answer, read_answer(v, [*begin, *rest, v.eos]))
    assert [p.role for p in longer.pieces[5:]] == ["look", "reflect", "refined image"]
    assert longer.pieces[-1].codes == CODES
    assert extend(answer, read_answer(v, [*begin, *rest[:9]])) == answer


def test_no_round_begins_where_there_is_no_guidance() -> None:
    v = vocab()
    assert resume(v, read_answer(v, write_reflection("all is well"))) == []
    assert resume(v, read_answer(v, [*v.image_ids(CODES), v.eos])) == []
