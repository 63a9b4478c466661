"""Thoughts and fences around an answer: every way of marking them, also cut, and tokens that follow the text."""

from __future__ import annotations

import json

import pytest

from datagen.chat import (
    FIRST_PLACES,
    LAST_PLACES,
    Reply,
    Sampling,
    Token,
    check_reply,
    find_json,
    set_thought_aside,
    split_thought,
)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<think>", "</think>"),
        ("<THINKING>", "</THINKING>"),
        ("<seed:think>", "</seed:think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|channel>thought\n", "<channel|>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("", "</think>"),
    ],
)
def test_a_thought_in_any_tags(opening: str, closing: str) -> None:
    split = split_thought(f"{opening}No, wait{closing}\n\nYes")
    assert split.answer == "Yes"
    assert split.thought.startswith("No, wait")
    if opening:
        cut = split_thought(f"{opening}No, wait")
        assert (cut.answer, cut.is_open) == ("", True)


def test_a_text_without_a_thought_is_its_own_answer() -> None:
    text = " I think <b>therefore</b> I am \n"
    assert (split_thought(text).answer, split_thought(text).thought) == (text, "")


def test_tokens_are_those_of_the_answer() -> None:
    words = ("<think>", "No", ",", " wait", "</think>", "\n\n", "Yes", ".", "<eos>")
    tokens = tuple(Token(word, {word: -0.1}) for word in words)
    for text, thought in (("<think>No, wait</think>\n\nYes.", ""), ("Yes.", "No, wait"), ("No, wait\n\nYes.", "")):
        reply = set_thought_aside(Reply(text, first_logprobs={"<think>": -0.1}, thought=thought, tokens=tokens))
        assert (reply.text, reply.thought) == ("Yes.", "No, wait")
        assert [token.text for token in reply.tokens] == ["Yes", ".", "<eos>"]
        assert reply.first_logprobs == {"Yes": -0.1}
        assert set_thought_aside(reply) == reply


def test_tokens_that_spell_something_else_are_left_out() -> None:
    reply = set_thought_aside(Reply("Yes ✅", first_logprobs={"Yes": -0.1}, tokens=(Token("Yes"), Token(" \ufffd"))))
    assert (reply.tokens, reply.first_logprobs) == ((), {"Yes": -0.1})


def test_a_long_answer_keeps_the_log_probabilities_of_its_ends() -> None:
    tokens = tuple(Token(f" {k}", {f" {k}": -0.1}) for k in range(500))
    reply = set_thought_aside(Reply("".join(token.text for token in tokens), tokens=tokens))
    assert len(reply.tokens) == 500
    assert sum(bool(token.logprobs) for token in reply.tokens) == FIRST_PLACES + LAST_PLACES


DOCUMENT = '{"prompt": "a {red} star"}'


@pytest.mark.parametrize(
    "text",
    [
        DOCUMENT,
        f"```json\n{DOCUMENT}\n```",
        f"Here: {DOCUMENT} Is it well?",
        f'{{"prompt": "a draft"}} or rather {DOCUMENT}',
        f"I {{use}} braces: {DOCUMENT}",
        f"```\n{{}}\n```\n```JSON\n{DOCUMENT}```",
    ],
)
def test_a_json_document_among_words(text: str) -> None:
    assert json.loads(find_json(text)) == json.loads(DOCUMENT)


@pytest.mark.parametrize("text", ["", "no JSON", "{" * 5000, "[" * 19_000, '{"prompt": "cut'])
def test_no_json_document(text: str) -> None:
    assert find_json(text) == text
    asked = Sampling(schema={"type": "object", "required": ["prompt"]})
    assert "is not JSON" in check_reply(Reply(text), asked).error


def test_what_obeys_a_schema_is_the_document_alone() -> None:
    asked = Sampling(schema={"type": "object", "required": ["prompt"]})
    reply = check_reply(Reply(f'<think>{{"n": 1}}?</think>```json\n{DOCUMENT}\n```'), asked)
    assert (reply.error, reply.text) == ("", DOCUMENT)
    assert check_reply(Reply("<think>so", "length"), asked).error.startswith(
        "the model was cut off while it was thinking"
    )
    assert check_reply(Reply("<think>so</think>"), asked).error == "the model thought and did not answer"
    chosen = check_reply(Reply("<think>no</think>yes"), Sampling(choices=("yes", "no")))
    assert (chosen.text, chosen.error) == ("yes", "")
