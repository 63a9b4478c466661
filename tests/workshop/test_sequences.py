"""Each kind of training sequence: what it is given, what it must write, and that the answers are true."""

from __future__ import annotations

import json
import random
from functools import cache

import pytest
from tokenizers import Tokenizer

from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import Item, Scene
from datagen.embedded.vocab import Vocabulary, describe_scene
from datagen.embedded.world import lay_out
from datagen.records import Claim
from datagen.scoring.questions import ask_claims
from datagen.workshop.sequences import (
    DECISIVE,
    SETTLING,
    TASKS,
    CodeTable,
    Draft,
    Example,
    Writer,
    answer_truly,
    find_claimed,
    in_reading_order,
)

CLAIMS = (Claim("count", "star", "", 2), Claim("count", "moon", "", 1), Claim("attribute", "moon", "color", "red"))


@cache
def open_writer() -> Writer:
    vocab = Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))
    return Writer(vocab, CodeTable(load_codec(SHIPPED)))


def write(kind: str, seed: int, claims: tuple[Claim, ...] = CLAIMS) -> tuple[Draft, str]:
    rng, writer = random.Random(seed), open_writer()
    draft = getattr(Writer, kind)(writer, Example("two stars and a red moon", claims, lay_out(claims, rng)), rng)
    return draft, writer.vocab.tokenizer.decode(draft.ids, skip_special_tokens=False)


def test_the_first_cell_of_each_planned_thing_weighs_more() -> None:
    vocab, planned = open_writer().vocab, 0
    for seed in range(20):
        draft, _ = write("draw", seed)
        heavy = [token for token, weight in zip(draft.ids, draft.weights, strict=True) if weight > 1]
        assert len(heavy) == (3 if vocab.think in draft.ids else 0)
        assert all(token >= vocab.first_code for token in heavy)
        planned += bool(heavy)
    assert 0 < planned < 20


def test_cells_stand_where_the_vocabulary_says() -> None:
    vocab = open_writer().vocab
    ids = vocab.image_ids(list(range(36)))
    cells = [ids[vocab.cell_position(x, y)] - vocab.first_code for y in range(6) for x in range(6)]
    assert cells == list(range(36))


def test_a_reflection_is_asked_about_an_image_and_says_its_fault() -> None:
    vocab, kinds = open_writer().vocab, set()
    for seed in range(30):
        draft, text = write("reflect", seed)
        first = next(k for k, weight in enumerate(draft.weights) if weight)
        assert draft.ids[first] == vocab.look
        assert draft.ids[first - 1] == vocab.end_image
        assert draft.ids.count(vocab.image) == 1
        kinds.add("improvements: none" in text)
        assert text.index("<look>") < text.index("<reflect>") < text.index("Final prompt:") < text.index("guidance:")
    assert kinds == {True, False}


def test_a_caption_is_the_plan_of_what_is_there() -> None:
    draft, text = write("caption", 3)
    answer = text.split("<|assistant|>")[1]
    assert "background<|obj_start|>" in answer
    assert sum(weight > 0 for weight in draft.weights) == len(open_writer().vocab.plan_ids(answer))
    heavy = {
        open_writer().vocab.tokenizer.id_to_token(i) for i, w in zip(draft.ids, draft.weights, strict=True) if w > 1
    }
    assert "<|obj_start|>" not in heavy
    assert any(token.startswith("(") for token in heavy)


def test_every_kind_is_learned_by_one_of_the_models() -> None:
    assert [sum(shares.values()) for shares in TASKS.values()] == pytest.approx([1, 1])


def test_an_answer_follows_what_is_seen_and_half_of_them_are_yes() -> None:
    answers = [write("answer", seed)[1].split("<|assistant|>")[1] for seed in range(200)]
    assert all(answer.startswith("<look>") for answer in answers)
    said = [answer.split("</look>")[1] for answer in answers]
    assert 50 < said.count("Yes<|eos|>") < 140
    assert said.count("No<|eos|>") > 50
    draft, _ = write("answer", 0)
    assert draft.weights[-2] == SETTLING == max(draft.weights)
    assert DECISIVE in draft.weights


def test_a_recital_is_said_again_to_the_letter() -> None:
    for seed in range(20):
        _, text = write("recite", seed)
        asked, reply = text.split("<|assistant|>")
        said = json.loads(reply.removesuffix("<|eos|>"))["prompt"]
        assert asked.endswith(said)
        assert len(said.split()) > 2


def test_a_rewrite_is_json() -> None:
    for seed in range(30):
        _, text = write("rewrite", seed)
        reply = json.loads(text.split("<|assistant|>")[1].removesuffix("<|eos|>"))
        assert set(reply) <= {"prompt", "objects", "relations", "text"}
        assert reply


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "Yes"), (1, "Yes"), (2, "one"), (3, "No")],
)
def test_answers_are_true(number: int, expected: str) -> None:
    scene = Scene("gray", (Item("star", "blue", 0, 0, 2, 2), Item("moon", "pink", 3, 3, 5, 5)))
    questions = ask_claims(CLAIMS)
    assert [question.text for question in questions] == [
        "Is there any star in the image?",
        "Is there any moon in the image?",
        "How many stars are in the image?",
        "Is the moon red?",
    ]
    assert answer_truly(questions[number], scene) == expected


def test_relations_and_words_are_answered_by_where_they_stand() -> None:
    scene = Scene("gray", (Item("star", "blue", 0, 0, 2, 2), Item("moon", "pink", 4, 0, 6, 2)))
    pair = (Claim("count", "star", "", 1), Claim("count", "moon", "", 1))
    for relation, expected in (("left of", "Yes"), ("right of", "No"), ("above", "No")):
        question = ask_claims((*pair, Claim("relation", "star", relation, "moon")))[-1]
        assert answer_truly(question, scene) == expected
    (asked,) = ask_claims((Claim("text", "", "", "OPEN"),))
    assert answer_truly(asked, Scene("gray", (Item("text", "black", 0, 0, 4, 2, "OPEN"),))) == "Yes"
    assert answer_truly(asked, Scene("gray", (Item("text", "black", 0, 0, 4, 2, "OPNE"),))) == "No"


def test_absence_parts_and_comparisons_are_answered_by_counting() -> None:
    scene = Scene("gray", (Item("star", "blue", 0, 0, 2, 2), Item("moon", "pink", 4, 0, 6, 2)))
    for claim, expected in (
        (Claim("count", "bell", "", 0), "No"),
        (Claim("part", "star", "blue", 1), "one"),
        (Claim("part", "star", "red", 0), "No"),
        (Claim("comparison", "star", "as many as", "moon"), "Yes"),
        (Claim("comparison", "star", "more than", "moon"), "No"),
    ):
        assert answer_truly(ask_claims((claim,))[-1], scene) == expected


def test_reading_order_goes_row_by_row() -> None:
    items = (Item("star", "red", 3, 3, 5, 5), Item("moon", "red", 4, 0, 6, 2), Item("bell", "red", 0, 0, 2, 2))
    assert [item.kind for item in in_reading_order(Scene("gray", items)).items] == ["bell", "moon", "star"]
    assert describe_scene(in_reading_order(Scene("gray", items))).index("bell") < 40


def test_what_a_rewrite_claims_weighs_more_than_its_frame() -> None:
    claims = (Claim("count", "umbrella", "", 2), Claim("attribute", "umbrella", "color", "red"))
    text = 'I need two red umbrellas for my class, "umbrellas" and redder, please.'
    assert [text[a:b] for a, b in find_claimed(text, claims)] == ["two", "red", "umbrellas", "umbrellas"]
    draft, _ = write("rewrite", 1, claims)
    heavy = [i for i, weight in zip(draft.ids, draft.weights, strict=True) if weight > 1]
    said = open_writer().vocab.tokenizer.decode(heavy)
    assert "red" in said
    assert "umbre" in said
    assert "prompt" not in said
