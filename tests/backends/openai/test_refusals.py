"""Servers that refuse a parameter, or ask to wait: asked again without it or later, told once, remembered."""

from __future__ import annotations

import json
import logging
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
import yaml

from datagen.backends.openai import build
from datagen.chat import ChatRequest, Message, Reply, Sampling
from datagen.records import Failure, Sample
from datagen.web import read_retry_after
from tests.backends.openai.test_openai_backend import QUICK, draw, error_of
from tests.helpers.faulty_server import FaultyServer, Own, answer_rightly, chat_answer, png_of
from tests.helpers.runs import small_values
from tests.test_unreached import answer_question, call

NOW = 1_800_000_000.0
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def openai_says(name: str) -> Any:
    code = "unsupported_parameter"
    return {"error": {"message": f"Unsupported parameter: '{name}' is not supported.", "param": name, "code": code}}


def unknown(name: str) -> Any:
    return {"error": {"message": f"Unknown parameter: '{name}'.", "param": name, "code": "unknown_parameter"}}


def only_default(name: str) -> Any:
    what = f"Unsupported value: '{name}' does not support 0 with this model. Only the default (1) value is supported."
    return {"error": {"message": what, "param": name, "code": "unsupported_value"}}


def forbidden(name: str) -> Any:
    entry = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 1}
    return {"object": "error", "message": {"detail": [entry]}, "type": "invalid_request_error"}


def no_field(name: str) -> Any:
    return [{"error": {"code": 400, "message": f'Invalid JSON payload. Unknown name "{name}": Cannot find field.'}}]


def plainly(name: str) -> Any:
    return {"error": {"message": f"property '{name}' is unsupported"}}


def in_words(name: str) -> Any:
    return {"detail": f"This model does not support {name}, sorry"}


def refusing(said: dict[str, Any], status: int = 400) -> Any:
    """A server that refuses the first of some parameters that a request has."""

    def choose(path: str, body: dict[str, Any]) -> str | Own:
        refused = next((name for name in said if name in body), None)
        return (status, said[refused], {}) if refused else ""

    return choose


def ask(server: FaultyServer, times: int = 2, **sampling: Any) -> tuple[list[Reply], list[dict[str, Any]]]:
    backend = build({"base_url": server.url, **QUICK, "concurrency": 1, "retries": 0})
    requests = [ChatRequest((Message.say("user", f"how many? {k}"),), Sampling(**sampling)) for k in range(times)]
    replies = list(backend.chat(requests))
    return replies, [body for _, body in server.bodies]


SAYINGS = (openai_says, unknown, only_default, forbidden, no_field, plainly, in_words)
NAMES = ("seed", "temperature", "top_p", "response_format", "logprobs")


@pytest.mark.parametrize(
    ("name", "say"), [*(("seed", say) for say in SAYINGS), *zip(NAMES[1:], (*SAYINGS[2:4], *SAYINGS[5:]), strict=True)]
)
def test_a_refused_parameter_is_left_out_told_and_remembered(
    caplog: pytest.LogCaptureFixture, name: str, say: Any
) -> None:
    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = chat_answer('{"n": 3}')
        top = [{"token": "{", "logprob": -0.1}]
        made["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return made

    wants = {"top_logprobs": 5} if name == "logprobs" else {"schema": SCHEMA}
    with FaultyServer(choose=refusing({name: say(name)}), answer=answer) as server:
        replies, bodies = ask(server, **wants)
    assert [reply.text for reply in replies] == ['{"n": 3}'] * 2
    assert [reply.error for reply in replies] == [""] * 2
    assert [name in body for body in bodies] == [True, False, False], "asked once more, and the next at once without it"
    assert set(bodies[0]) - set(bodies[1]) == {name, *(["top_logprobs"] if name == "logprobs" else [])}
    told = [record.message for record in caplog.records if record.name == "datagen" and server.url in record.message]
    assert len(told) == 1
    assert f"refuses '{name}': asked without it from here on" in told[0]


def test_max_tokens_is_asked_for_by_its_other_name(caplog: pytest.LogCaptureFixture) -> None:
    what = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    said = {"max_tokens": {"error": {"message": what, "param": "max_tokens", "code": "unsupported_parameter"}}}
    with FaultyServer(choose=refusing(said), answer=lambda path, body: chat_answer("three")) as server:
        replies, bodies = ask(server, max_tokens=9)
    assert [reply.text for reply in replies] == ["three"] * 2
    assert [(body.get("max_tokens"), body.get("max_completion_tokens")) for body in bodies] == [
        (9, None),
        (None, 9),
        (None, 9),
    ]
    assert "refuses 'max_tokens': asked with 'max_completion_tokens' from here on" in caplog.text


def test_several_are_refused_one_after_the_other_and_again_by_a_second_endpoint() -> None:
    said = {name: unknown(name) for name in ("max_tokens", "max_completion_tokens", "seed", "temperature")}
    with FaultyServer(choose=refusing(said), answer=lambda path, body: chat_answer("three")) as server:
        replies, bodies = ask(server)
    assert [reply.text for reply in replies] == ["three"] * 2
    assert len(bodies) == 6
    assert not set(said) & set(bodies[-1])
    with FaultyServer(choose=refusing({name: unknown(name) for name in ("seed", "response_format")})) as server:
        made = draw(server, [1, 2], api="images", concurrency=1)
    assert [sample.image for sample in made if isinstance(sample, Sample)] == [png_of(0)] * 2
    assert [sorted(body) for _, body in server.bodies][-1] == ["model", "n", "prompt"]


def test_a_sample_without_its_seed_says_so() -> None:
    with FaultyServer(choose=refusing({"seed": forbidden("seed")}, status=422)) as server:
        made = draw(server, [1, 2], concurrency=1, temperature=0.7)
        kept = draw(server, [3], extra_body={"seed": 3})
    assert all(isinstance(sample, Sample) and sample.settings["left_out"] == ["seed"] for sample in made)
    assert "HTTP 422" in error_of(kept[0]), "what the recipe sets is never left out"
    with FaultyServer() as server:
        (sample,) = draw(server, [1])
    assert isinstance(sample, Sample)
    assert "left_out" not in sample.settings


def test_fewer_log_probabilities_where_a_server_gives_some() -> None:
    def choose(path: str, body: dict[str, Any]) -> str | Own:
        what = {"error": {"message": "top_logprobs: Input should be less than or equal to 5"}}
        return (400, what, {}) if body.get("top_logprobs", 0) > 5 else ""

    with FaultyServer(choose=choose, answer=answer_question_in_words) as server:
        replies, bodies = ask(server, max_tokens=1, top_logprobs=20)
    assert [body["top_logprobs"] for body in bodies] == [20, 5, 5]
    assert replies[0].first_logprobs == {"Yes": -0.1}


def answer_question_in_words(path: str, body: dict[str, Any]) -> dict[str, Any]:
    made = chat_answer("Yes")
    made["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "logprob": -0.1, "bytes": None}]}
    return made


@pytest.mark.parametrize(
    "what",
    [
        "max_tokens is too large: 512. The maximum context length is 400 tokens.",
        "Your request was rejected by the safety system: a seed is not allowed in this picture",
        "the picture cannot be drawn",
    ],
)
def test_what_is_no_refusal_of_a_parameter_is_a_failure_and_nothing_is_left_out(what: str) -> None:
    said = (400, {"error": {"message": what}}, {})
    with FaultyServer(choose=lambda path, body: said if body.get("seed", 1) == 1 else "") as server:
        bad, good = draw(server, [1, 2], concurrency=1, temperature=1.0, max_tokens=512)
    assert what[:20] in error_of(bad)
    assert isinstance(bad, Failure)
    assert not bad.unreached, "the server would say it again"
    assert isinstance(good, Sample)
    assert "left_out" not in good.settings
    assert "seed" in server.bodies[-1][1]


def test_workers_tell_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyServer(choose=refusing({"seed": unknown("seed")}), answer=answer_question) as server:
        judge = {"name": "openai", "base_url": server.url, "model": "tiny"}
        recipe = tmp_path / "told.yaml"
        recipe.write_text(yaml.safe_dump(small_values(rewards=["vqa"], judge=judge)), encoding="utf-8")
        assert call(monkeypatch, "build", recipe, "--run", tmp_path / "run", "--workers", "2") == 0
        refused = sum("seed" in body for _, body in server.bodies)
    assert refused > 1, "it met several requests at once"
    assert caplog.text.count("refuses 'seed'") == 1
    scores = [json.loads(line) for file in (tmp_path / "run/scores").iterdir() for line in file.open()]
    assert len(scores) == 20
    assert all(score["value"] is not None for score in scores)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"retry_after": "3"}, 3),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "-4"}, 0),
        ({"retry_after": "86400"}, 86_400),
        ({"retry_after": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry_after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(given: dict[str, str], seconds: float | None) -> None:
    named = {name.replace("_", "-"): value for name, value in given.items()}
    assert read_retry_after(named, NOW) == seconds


def test_a_wait_by_date_is_waited_and_one_of_a_day_is_told(caplog: pytest.LogCaptureFixture) -> None:
    busy = {"error": {"message": "too many"}}
    waits = {1: formatdate(time() + 1, usegmt=True), 2: "86400"}

    def choose(path: str, body: dict[str, Any]) -> str | Own:
        once = body["seed"] == 1 and server.tries[1] > 1
        return "" if once or body["seed"] not in waits else (429, busy, {"Retry-After": waits[body["seed"]]})

    caplog.set_level(logging.WARNING, "datagen")
    with FaultyServer(choose=choose) as server:
        dated, day, neighbour = draw(server, [1, 2, 3], max_wait_seconds=60)
    assert isinstance(dated, Sample)
    assert isinstance(neighbour, Sample)
    assert "too many; the server asks to wait 86,400 s, and datagen waits at most 60 s" in error_of(day)
    assert isinstance(day, Failure)
    assert day.unreached
    assert server.tries == {1: 2, 2: 1, 3: 1}
    assert "asks to wait 86,400 s, and datagen waits at most 60 s (max_wait_seconds)" in caplog.text


@pytest.mark.parametrize(
    ("status", "unreached"),
    [(400, False), (413, False), (422, False), (402, True), (404, True), (408, True), (429, True), (502, True)],
)
def test_which_errors_are_of_the_asking(status: int, unreached: bool) -> None:
    with FaultyServer(choose=lambda path, body: (status, {"error": {"message": "no"}}, {})) as server:
        (failure,) = draw(server, [1], retries=0)
        (reply,), _ = ask(server, times=1)
    assert isinstance(failure, Failure)
    assert failure.unreached is reply.unreached is unreached


@pytest.mark.parametrize("fault", ["cut", "drop", "truncated", "error_text", "plain_text", "drip"])
def test_an_answer_that_does_not_come_whole_is_asked_for_again_by_the_next_run(fault: str) -> None:
    with FaultyServer(lambda seed: fault, answer=answer_rightly) as server:
        (failure,) = draw(server, [1], retries=0, timeout_seconds=0.5)
    assert isinstance(failure, Failure)
    assert failure.unreached
