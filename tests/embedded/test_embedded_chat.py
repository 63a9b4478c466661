"""The embedded model answers chats: each alone, the same each time, and what it cannot do is an error.

Most of these tests make a reader of their own: the real classes with weights that were never trained. What it says
means nothing; that it is said, bounded and checked is what is tested. What the shipped reader says is tested last.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from datagen.chat import ChatRequest, Message, Part, Sampling
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.chat import DESCRIBE
from datagen.embedded.loading import FILES, READER, save_lm
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.embedded.pictograms import render_scene
from datagen.embedded.vocab import Vocabulary
from datagen.embedded.world import lay_out
from datagen.errors import BackendError
from datagen.prompts.expanded import instruct
from datagen.records import Claim, Failure, Mode, Prompt, Request
from datagen.scoring.layout import read_layout
from datagen.scoring.questions import WHOLE
from datagen.workshop.lm import LMShape, new_model

MODES: tuple[Mode, ...] = ("think", "reflect")
RED_STAR = (Claim("count", "star", "", 1), Claim("attribute", "star", "color", "red"))
FIRST = Sampling(max_tokens=1, top_logprobs=5)
SCHEMA = {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((SHIPPED / name).read_bytes())
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    save_lm(new_model(Vocabulary(tokenizer), LMShape(layers=2, heads=6, kv_heads=6)), tokenizer, folder / READER)
    return folder


@pytest.fixture(scope="module")
def backend(checkpoint: Path) -> EmbeddedBackend:
    return EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": checkpoint, "device": "cpu", "batch_size": 8}))


def png(claims: tuple[Claim, ...] = RED_STAR, size: int = 96) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(render_scene(lay_out(claims, random.Random(1)))).resize((size, size)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(text: str, *images: bytes, sampling: Sampling = FIRST) -> ChatRequest:
    parts = (*(Part(image=image) for image in images), Part(text=text))
    return ChatRequest((Message("user", parts),), sampling)


def test_log_probabilities_are_those_of_the_first_tokens_likeliest_first(backend: EmbeddedBackend) -> None:
    (reply,) = backend.chat([ask(WHOLE["vqascore"].format("a red star"), png())])
    assert reply.first_logprobs is not None
    values = list(reply.first_logprobs.values())
    assert 1 <= len(values) <= 5  # tokens of one text count once
    assert values == sorted(values, reverse=True)
    assert values[0] <= 0
    assert reply.text == next(iter(reply.first_logprobs))


def test_a_question_is_answered_the_same_whoever_else_asks(backend: EmbeddedBackend) -> None:
    question = ask(WHOLE["qwenvqascore"].format("a red star"), png())
    others = [ask("Describe the image.", png(), sampling=Sampling(max_tokens=60)), ask("Is the star red?", png())]
    (alone,) = backend.chat([question])
    assert list(backend.chat([others[0], question, *others]))[1] == alone


def test_what_cannot_be_read_fails_alone(backend: EmbeddedBackend) -> None:
    asked = [ask("Is the star red?", b"no image"), ask("star " * 300), ask("Is the star red?", png(size=300))]
    broken, long, fine = backend.chat(asked)
    assert broken.error.startswith("the chat cannot be read")
    assert "tokens long" in long.error
    assert not fine.error


def test_an_answer_that_breaks_its_schema_is_an_error(backend: EmbeddedBackend) -> None:
    (reply,) = backend.chat([ask("Is the star red?", png(), sampling=Sampling(max_tokens=8, schema=SCHEMA))])
    assert "schema" in reply.error


def test_seeds_make_different_rewrites_and_repeat(backend: EmbeddedBackend) -> None:
    told = instruct("user request", "a red star", form="pictograms")
    rewrites = [ask(told, sampling=Sampling(1.0, max_tokens=20, seed=seed)) for seed in (1, 2, 3, 1)]
    first, second, third, again = backend.chat(rewrites)
    assert first == again
    assert len({first.text, second.text, third.text}) == 3


def test_it_looks_before_it_answers_and_says_so_to_nobody(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab, given = backend.vocab, list[list[int]]()

    def first_token(tokens: torch.Tensor) -> torch.Tensor:
        given.append(tokens[0].tolist())
        logits = torch.zeros(1, tokens.shape[1], vocab.size)
        logits[0, -1, vocab.yes if vocab.end_look in given[-1] else vocab.look] = 9
        return logits

    def write(prompts: list[list[int]], seeds: list[int], *, eos: int, **rest: object) -> list[list[int]]:
        assert eos == vocab.end_look
        assert all(prompt[-1] == vocab.look for prompt in prompts)
        return [[*vocab.text_ids("a star"), vocab.end_look] for _ in prompts]

    monkeypatch.setattr(backend.talker._decoder, "logits", first_token)
    monkeypatch.setattr(backend.talker._decoder, "sample", write)
    (reply,) = backend.chat([ask("Is the star red?", png())])
    assert reply.text == "Yes"
    assert given[-1][-1] == vocab.end_look

    monkeypatch.setattr(backend.talker._decoder, "sample", lambda prompts, *rest, **more: [[1, 2] for _ in prompts])
    (endless,) = backend.chat([ask("Is the star red?", png())])
    assert endless.error == "the model looks at the image and never answers"


def test_an_untrained_reader_makes_failures_and_no_crash(backend: EmbeddedBackend) -> None:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    prompt = Prompt.make("a red star", RED_STAR, **where)
    for answer in backend.generate([Request(prompt, k, k, "reflect") for k in range(4)]):
        assert isinstance(answer, Failure)
        assert answer.error


def test_a_checkpoint_that_only_draws_says_so(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    drawer = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": tmp_path, "device": "cpu"}))
    with pytest.raises(BackendError, match="no model that reads"):
        list(drawer.chat([ask("Is the star red?", png())]))


@pytest.fixture(scope="module")
def shipped() -> EmbeddedBackend:
    return EmbeddedBackend(EmbeddedOptions.parse({"device": "cpu"}))


def colored(kind: str, color: str) -> tuple[Claim, ...]:
    return Claim("count", kind, "", 1), Claim("attribute", kind, "color", color)


THINGS = [(kind, color) for kind in ("star", "moon", "house", "fish") for color in ("red", "blue", "green")]


def test_the_shipped_reader_says_what_it_sees(shipped: EmbeddedBackend) -> None:
    asked = [ask(DESCRIBE, png(colored(*thing)), sampling=Sampling(0.0, max_tokens=64)) for thing in THINGS]
    seen = [read_layout(reply.text).things for reply in shipped.chat(asked)]
    right = [[(t.label, t.color) for t in things] == [thing] for things, thing in zip(seen, THINGS, strict=True)]
    assert sum(right) >= 10, seen


def test_a_reflection_notes_both_weights(shipped: EmbeddedBackend) -> None:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    requests = [Request(Prompt.make("a red star", RED_STAR, **where), k, k, mode) for k in range(3) for mode in MODES]
    for request, answer in zip(requests, shipped.generate(requests), strict=True):
        assert not isinstance(answer, Failure), answer
        assert ("reader" in answer.settings) == (request.mode == "reflect")
        assert answer.settings.get("reader") != answer.settings["checkpoint"]
