"""How a step ended is kept: a cut plan, a refusal, a filtered picture, a model cut while it was thinking."""

from __future__ import annotations

import base64
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.chat import Reply, Sampling
from datagen.pictures import from_base64, from_data_url
from datagen.pipeline import open_run
from datagen.records import Failure, Sample
from datagen.scoring.asking import ask_captions
from tests.backends.openai.test_driven_reflection import PARTS, Scripted, reflect
from tests.backends.openai.test_openai_backend import ask, draw, error_of, make_requests, picture_answer
from tests.helpers.faulty_server import FaultyServer, chat_answer, png_of
from tests.helpers.runs import small_values
from tests.test_unreached import call

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def ending(answer: dict[str, Any], finish: str) -> dict[str, Any]:
    answer["choices"][0]["finish_reason"] = finish
    return answer


def planned(plan: dict[str, Any]) -> Any:
    """A server that plans so, and draws rightly."""
    return lambda path, body: picture_answer(body) if "modalities" in body else plan


def test_a_plan_that_is_cut_makes_a_sample_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer(answer=planned(ending(chat_answer("a star in the mid"), "length"))) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "think": "driven", "max_tokens": 5}
        recipe = tmp_path / "cut.yaml"
        values = small_values(prompts=2, backend=backend, rewards=["tests.helpers.agree"])
        recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
        assert call(monkeypatch, "build", recipe, "--run", tmp_path / "run", "--workers", "0") == 0
    samples = open_run(str(tmp_path / "run")).folder.read_samples(0)
    assert {(sample.segments[0].text, sample.finish) for sample in samples} == {("a star in the mid", "length")}
    assert len(samples) == 4


def test_a_rewriter_that_is_cut_while_it_thinks_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer(answer=lambda path, body: ending(chat_answer(None), "length")) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny"}
        recipe = tmp_path / "said.yaml"
        values = small_values(prompts=4, expand={"backend": backend, "styles": ["question"]})
        recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
        assert call(monkeypatch, "prompts", recipe, "--run", tmp_path / "run") == 0
    assert "refused: cut off 4" in capsys.readouterr().err
    examples = open_run(str(tmp_path / "run")).folder.read_notes()["expansion"]["examples"]["cut off"]
    assert "cut off while it was thinking after 256 tokens: raise max_tokens" in examples[0]["reason"]


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (chat_answer(None, refusal="I cannot help with that."), "the model refuses: I cannot help with that."),
        (chat_answer("No.", refusal="I cannot help with that."), "the model refuses: I cannot help with that."),
        (ending(chat_answer("a st"), "content_filter"), "the server filtered the answer (content_filter)"),
        (ending(chat_answer(None), "length"), "the model was cut off while it was thinking after 64 tokens"),
        (chat_answer(None), "there is no plan: it is empty"),
    ],
)
def test_no_plan_is_a_failure_with_its_reason(plan: dict[str, Any], why: str) -> None:
    with FaultyServer(answer=planned(plan)) as server:
        (result,) = draw(server, [1], "think", think="driven", max_tokens=64)
    assert why in error_of(result)
    assert isinstance(result, Failure)
    assert not result.unreached, "it is an answer"


def test_a_drawing_that_a_filter_touched_is_a_failure() -> None:
    with FaultyServer(answer=lambda path, body: ending(picture_answer(body), "content_filter")) as server:
        (result,) = draw(server, [1])
    assert "the server filtered the answer (content_filter)" in error_of(result)
    with FaultyServer(answer=lambda path, body: picture_answer(body, refusal="not this one")) as server:
        (result,) = draw(server, [1])
    assert "the model refuses: not this one" in error_of(result)
    black = {"b64_json": base64.b64encode(png_of(0)).decode(), "finish_reason": "CONTENT_FILTERED"}
    with FaultyServer(answer=lambda path, body: {"data": [black]}) as server:
        (result,) = draw(server, [1], api="images")
    assert "the server filtered the answer (CONTENT_FILTERED)" in error_of(result)
    with FaultyServer(answer=lambda path, body: ending(chat_answer("I think of"), "length")) as server:
        (result,) = draw(server, [1])
    assert "cut off before the picture: raise max_tokens" in error_of(result)


@pytest.mark.parametrize(
    ("content", "finish", "sampling", "problem"),
    [
        (None, "length", Sampling(schema=SCHEMA), "the model was cut off while it was thinking after 512 tokens"),
        (
            "",
            "length",
            Sampling(max_tokens=9),
            "cut off while it was thinking after 9 tokens: raise max_tokens, or turn",
        ),
        ('{"n": ', "length", Sampling(schema=SCHEMA), "the answer was cut off after 512 tokens: raise max_tokens"),
        ("Ye", "length", Sampling(choices=("Yes", "No")), "the answer was cut off after 512 tokens"),
        ('{"n": 3}', "length", Sampling(schema=SCHEMA), ""),
        ("a long caption that", "length", Sampling(), ""),
        (None, "content_filter", Sampling(schema=SCHEMA), "the server filtered the answer (content_filter)"),
        (None, "stop", Sampling(schema=SCHEMA), "the engine ignores the schema: '' is not JSON"),
    ],
)
def test_an_answer_that_was_cut_is_not_said_to_ignore_what_it_was_asked(
    content: str | None, finish: str, sampling: Sampling, problem: str
) -> None:
    reply, _ = ask(content, sampling, finish_reason=finish)
    assert problem in reply.error
    assert bool(reply.error) == bool(problem)
    assert not reply.unreached


def test_a_refusal_is_the_answer_of_a_chat() -> None:
    reply, _ = ask("", Sampling(), message={"role": "assistant", "content": None, "refusal": "I will not judge this."})
    assert reply.error == "the model refuses: I will not judge this."


@pytest.mark.parametrize(
    ("replies", "finish", "reason"),
    [
        ({}, "stop", ""),
        ({0: Reply(json.dumps(PARTS), "length")}, "length", ""),
        (
            {0: Reply("", "error", error="HTTP 503", unreached=True)},
            "",
            "round 1: the model does not reflect: HTTP 503",
        ),
    ],
)
def test_a_step_of_a_reflection_that_is_cut_or_not_reached_says_so(
    replies: dict[int, Reply], finish: str, reason: str
) -> None:
    (request,) = make_requests([1], "reflect")
    result = reflect(Scripted(replies), request)
    assert (result.finish if isinstance(result, Sample) else "") == finish
    assert (result.error if isinstance(result, Failure) else "") == reason
    assert (isinstance(result, Failure) and result.unreached) == bool(reason)


def test_a_redrawing_over_http_keeps_how_each_step_ended() -> None:
    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if "response_format" in body:
            return chat_answer(json.dumps(PARTS))
        made = picture_answer(body, {"type": "text", "text": "I see"})
        return ending(made, "length" if body["messages"][0]["content"] == PARTS["final_prompt"] else "stop")

    with FaultyServer(answer=answer) as server:
        (sample,) = draw(server, [3], "reflect")
    assert isinstance(sample, Sample)
    assert sample.finish == "length"
    parts = (503, {"error": {"message": "loading"}}, {})
    with FaultyServer(answer=answer) as server:
        server.choose = lambda path, body: parts if body["messages"][0]["content"] == PARTS["final_prompt"] else ""
        (failed,) = draw(server, [3], "reflect", retries=0)
    assert error_of(failed) == "round 1: the picture was not drawn again: HTTP 503: loading"
    assert isinstance(failed, Failure)
    assert failed.unreached


def test_half_a_caption_is_none() -> None:
    def ask_them(requests: Any) -> list[Reply]:
        return [Reply("a red star and a", "length"), Reply("a red star"), Reply(" ", "length"), Reply(" ")]

    said = ask_captions([b"1", b"2", b"3", b"4"], [1, 2, 3, 4], ask_them)
    assert [reply.error.partition(" after")[0] for reply in said] == [
        "the answer was cut off",
        "",
        "the model was cut off while it was thinking",
        "an empty caption",
    ]


ENCODED = base64.b64encode(png_of(9)).decode()
WRAPPED = "\r\n".join(textwrap.wrap(ENCODED, 64)) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        ENCODED,
        WRAPPED,
        f"data:image/png;base64,{ENCODED}",
        f" data:image/png;base64,{WRAPPED}",
        f"DATA:image/png;charset=utf-8;BASE64,{ENCODED}",
        f"data:image/png;base64,{ENCODED}".replace("=", "%3D").replace("+", "%2B"),
    ],
)
def test_pictures_in_every_spelling_of_base64(text: str) -> None:
    assert from_base64(text) == png_of(9)
    with FaultyServer(answer=lambda path, body: {"data": [{"b64_json": text}]}) as server:
        (sample,) = draw(server, [1], api="images")
    assert isinstance(sample, Sample)
    assert sample.image == png_of(9)
    if "," in text:
        assert from_data_url(text) == png_of(9)
        with FaultyServer(answer=lambda path, body: {"data": [{"url": text}]}) as server:
            (sample,) = draw(server, [1], api="images")
        assert isinstance(sample, Sample)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://example.org/a.png", "not a picture but an address"),
        ("data:image/png,plain", "not a picture but an address"),
        ("data:image/png;base64,?!", "not base64"),
    ],
)
def test_what_is_no_picture_in_a_url(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_data_url(text)
