"""The embedded model answers chats: each alone, the same each time, and what it cannot do is an error."""

from __future__ import annotations

import io
import random
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from datagen.backends.embedded.backend import SHIPPED, EmbeddedBackend, EmbeddedOptions
from datagen.backends.embedded.checkpoint_io import FILES
from datagen.backends.embedded.world import lay_out
from datagen.chat import ChatRequest, Message, Part, Reply, Sampling
from datagen.errors import BackendError
from datagen.pictograms import draw_scene
from datagen.prompts.instructions import instruct
from datagen.records import Claim
from datagen.rewards._questions import WHOLE

RED_STAR = (Claim("count", "star", "", 1), Claim("attribute", "star", "color", "red"))
FIRST = Sampling(max_tokens=1, top_logprobs=5)
SCHEMA = {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]}


@cache
def backend() -> EmbeddedBackend:
    return EmbeddedBackend(EmbeddedOptions.parse({"device": "cpu", "batch_size": 8}))


def png(claims: tuple[Claim, ...] = RED_STAR, size: int = 96) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_scene(lay_out(claims, random.Random(1)))).resize((size, size)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(text: str, *images: bytes, sampling: Sampling = FIRST) -> ChatRequest:
    parts = (*(Part(image=image) for image in images), Part(text=text))
    return ChatRequest((Message("user", parts),), sampling)


def answer(*requests: ChatRequest) -> list[Reply]:
    return list(backend().chat(requests))


def test_log_probabilities_are_those_of_the_first_tokens_likeliest_first() -> None:
    (reply,) = answer(ask(WHOLE["vqascore"].format("a red star"), png()))
    assert reply.first_logprobs is not None
    values = list(reply.first_logprobs.values())
    assert len(values) == 5
    assert values == sorted(values, reverse=True)
    assert values[0] <= 0
    assert reply.text == next(iter(reply.first_logprobs))


def test_a_question_is_answered_the_same_whoever_else_asks() -> None:
    question = ask(WHOLE["qwenvqascore"].format("a red star"), png())
    others = [ask("Describe the image.", png(), sampling=Sampling(max_tokens=60)), ask("Is the star red?", png())]
    (alone,) = answer(question)
    assert answer(others[0], question, *others)[1] == alone


def test_what_cannot_be_read_fails_alone() -> None:
    broken, long, fine = answer(
        ask("Is the star red?", b"no image"), ask("star " * 300), ask("Is the star red?", png(size=300))
    )
    assert broken.error.startswith("the chat cannot be read")
    assert "tokens long" in long.error
    assert not fine.error


def test_an_answer_that_breaks_its_schema_is_an_error() -> None:
    (reply,) = answer(ask("Is the star red?", png(), sampling=Sampling(max_tokens=8, schema=SCHEMA)))
    assert "schema" in reply.error


def test_seeds_make_different_rewrites_and_repeat() -> None:
    told = instruct("user request", "a red star", form="pictograms")
    rewrites = [ask(told, sampling=Sampling(1.0, max_tokens=80, seed=seed)) for seed in (1, 2, 3, 1)]
    first, second, third, again = answer(*rewrites)
    assert first == again
    assert len({first.text, second.text, third.text}) > 1


def test_a_checkpoint_that_only_draws_says_so(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    drawer = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": tmp_path, "device": "cpu"}))
    with pytest.raises(BackendError, match="no model that reads"):
        list(drawer.chat([ask("Is the star red?", png())]))
