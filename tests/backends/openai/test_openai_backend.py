"""The OpenAI backend against a server on loopback that misbehaves: made, or failed with its reason, and never twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen.backends.openai import build
from datagen.chat import ChatRequest, Message, Part, Sampling
from datagen.errors import BackendError
from datagen.records import Claim, Failure, Prompt, Request, Sample
from tests.helpers.faulty_server import HUGE_BYTES, FaultyServer, answer_rightly, chat_answer, png_of
from tests.helpers.runs import build_here, small_recipe

QUICK = {"model": "tiny", "retries": 2, "timeout_seconds": 1.0, "concurrency": 16, "max_answer_bytes": 20_000_000}
KEY = "sk-secret-0123456789"


def make_requests(seeds: list[int], mode: str = "direct") -> list[Request]:
    claims = (Claim("count", "star", "", 1),)
    where = {"weakness": "w", "skill": "s", "level": "easy", "seed": 0, "template": "t"}
    return [
        Request(Prompt.make(f"star {seed}", claims, index=seed, **where), 0, seed, mode)  # type: ignore[arg-type]
        for seed in seeds
    ]


def draw(server: FaultyServer, seeds: list[int], mode: str = "direct", **options: Any) -> list[Sample | Failure]:
    return list(build({"base_url": server.url, **QUICK, **options}).generate(make_requests(seeds, mode)))


def error_of(result: Sample | Failure) -> str:
    assert isinstance(result, Failure)
    return result.error


@pytest.mark.parametrize("fault", ["429_once", "500_once", "503_once", "cut_once", "drop_once", "truncated_once"])
def test_what_passes_is_asked_again(fault: str) -> None:
    with FaultyServer(lambda seed: fault) as server:
        (sample,) = draw(server, [5])
    assert isinstance(sample, Sample)
    assert sample.image == png_of(5)
    assert server.tries[5] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("429", "HTTP 429: too many"),
        ("500", "HTTP 500: fault 500"),
        ("400", "HTTP 400: fault 400"),
        ("cut", "the answer broke off"),
        ("drop", "the connection failed"),
        ("drip", "the answer did not end within 1 s"),
        ("truncated", "the answer is not JSON"),
        ("plain_text", "the answer is not JSON: b'Internal Server Error'"),
        ("error_text", "HTTP 200 with an error"),
        ("no_picture", "not a picture"),
        ("huge", "longer than max_answer_bytes"),
    ],
)
def test_what_stays_wrong_is_a_failure_and_its_neighbours_are_made(fault: str, reason: str) -> None:
    with FaultyServer(lambda seed: fault if seed == 2 else "") as server:
        first, bad, last = draw(server, [1, 2, 3], retries=1)
    assert reason in error_of(bad)
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert [first.image, last.image] == [png_of(1), png_of(3)]
    assert server.tries[2] == (1 if fault in ("400", "error_text", "no_picture", "huge") else 2)
    assert server.sent_bytes < HUGE_BYTES / 2


def test_500_samples_are_each_made_or_failed_once(tmp_path: Path) -> None:
    kinds = [
        "",
        "",
        "",
        "429_once",
        "500_once",
        "cut_once",
        "500",
        "truncated",
        "no_picture",
        "error_text",
        "plain_text",
    ]

    def fault(seed: int) -> str:
        return kinds[seed % len(kinds)]

    with FaultyServer(fault) as server:
        backend = {"name": "openai", "base_url": server.url, **QUICK, "retries": 1, "timeout_seconds": 60}
        recipe = small_recipe(
            prompts=125, candidates=4, shard_prompts=16, rewards=["tests.helpers.agree"], backend=backend
        )
        build_here(recipe, tmp_path / "run")
    made: Counter[str] = Counter()
    for file in (tmp_path / "run/samples").glob("*.parquet"):
        made.update(pq.read_table(file, columns=["id"]).column("id").to_pylist())
    failed: Counter[str] = Counter()
    for file in (tmp_path / "run/failures").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            assert row["error"]
            failed[f"{row['prompt_id']}-{row['candidate']:02d}"] += 1
    assert len(made) + len(failed) == 500
    assert not made.keys() & failed.keys()
    assert max((made + failed).values()) == 1
    expected = sum(kinds[seed % len(kinds)] in ("", "429_once", "500_once", "cut_once") for seed in server.tries)
    assert len(made) == expected


def test_requests_in_flight_are_as_many_as_allowed_and_no_more() -> None:
    lock, together = threading.Lock(), threading.Barrier(3)
    now: list[int] = [0, 0]

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        with lock:
            now[0] += 1
            now[1] = max(now)
        together.wait(30)  # breaks, and fails the request, unless three are here at once
        with lock:
            now[0] -= 1
        return answer_rightly(path, body)

    with FaultyServer(answer=answer) as server:
        made = draw(server, list(range(12)), concurrency=3, timeout_seconds=60)
    assert all(isinstance(sample, Sample) for sample in made)
    assert now == [0, 3]


def test_a_key_reaches_the_server_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with FaultyServer(lambda seed: "500" if seed == 2 else "", key=KEY) as server:
        good, bad = draw(server, [1, 2], api_key_env="MY_KEY", retries=0)
    assert isinstance(good, Sample)
    assert "[key]" in error_of(bad)
    assert KEY not in repr((good, bad))


def test_a_key_in_the_address_is_refused_without_being_shown() -> None:
    with pytest.raises(BackendError) as caught:
        build({"model": "tiny", "base_url": f"http://me:{KEY}@localhost/v1"})
    assert "environment" in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_wrong_with_a_server_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BackendError, match="no server answers"):
        build({"model": "tiny", "base_url": "http://127.0.0.1:9/v1"})
    with FaultyServer(models=("tiny",)) as server, pytest.raises(BackendError, match="did you mean 'tiny'"):
        build({"model": "tinny", "base_url": server.url})
    with FaultyServer(key=KEY) as server:
        with pytest.raises(BackendError, match="wants a key"):
            build({"model": "tiny", "base_url": server.url})
        monkeypatch.setenv("OPENAI_API_KEY", "wrong")
        with pytest.raises(BackendError, match=r"refuses the key in \$OPENAI_API_KEY"):
            build({"model": "tiny", "base_url": server.url})


def test_a_key_refused_in_the_middle_stops_the_run() -> None:
    with FaultyServer(lambda seed: "401" if seed == 3 else "") as server, pytest.raises(BackendError):
        draw(server, [1, 2, 3, 4])


def test_think_takes_the_thought_of_the_server() -> None:
    with FaultyServer() as server:
        (sample,) = draw(server, [1], "think")
    assert isinstance(sample, Sample)
    assert [(s.role, s.text) for s in sample.segments] == [("think", "a plan"), ("image", "")]
    assert sample.switch == "forced"
    ((_, body),) = server.bodies
    assert body["think"] is True
    assert body["modalities"] == ["image"]


def test_a_server_that_ignores_think_is_a_failure() -> None:
    with FaultyServer(answer=lambda path, body: picture_answer(body)) as server:
        (result,) = draw(server, [1], "think")
    assert "answered without a thought" in error_of(result)


def picture_answer(body: dict[str, Any], *before: dict[str, Any], **message: Any) -> dict[str, Any]:
    import base64

    url = "data:image/png;base64," + base64.b64encode(png_of(body["seed"])).decode()
    return chat_answer([*before, {"type": "image_url", "image_url": {"url": url}}], **message)


def test_text_and_picture_in_one_answer_are_the_models_own_switch() -> None:
    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return picture_answer(body, {"type": "text", "text": "<think>one star</think>"})

    with FaultyServer(answer=answer) as server:
        (sample,) = draw(server, [1], "think")
    assert isinstance(sample, Sample)
    assert sample.switch == "autonomous"
    assert sample.segments[0].text == "one star"


def test_driven_thought_is_asked_for_first_and_says_so() -> None:
    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return picture_answer(body) if "modalities" in body else chat_answer("a star in the middle")

    with FaultyServer(answer=answer) as server:
        (sample,) = draw(server, [1], "think", think="driven")
    assert isinstance(sample, Sample)
    assert [s.text for s in sample.segments] == ["a star in the middle", ""]
    assert sample.switch == "forced"
    assert "a star in the middle" in server.bodies[1][1]["messages"][0]["content"]


def test_images_endpoint() -> None:
    with FaultyServer() as server:
        (sample,) = draw(server, [4], api="images", image_size="64x64", extra_body={"num_inference_steps": 2})
    assert isinstance(sample, Sample)
    assert sample.image == png_of(4)
    path, body = server.bodies[0]
    assert path.endswith("/images/generations")
    assert (body["size"], body["seed"], body["num_inference_steps"]) == ("64x64", 4, 2)


def ask(content: Any, sampling: Sampling, image: bytes = b"", **choice: Any) -> tuple[Any, dict[str, Any]]:
    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = chat_answer(content)
        made["choices"][0].update(choice)
        return made

    message = Message("user", (Part(text="is it?"), *([Part(image=image)] if image else [])))
    with FaultyServer(answer=answer) as server:
        (reply,) = build({"base_url": server.url, **QUICK}).chat([ChatRequest((message,), sampling)])
    return reply, server.bodies[0][1]


def test_chat_sends_pictures_and_reads_log_probabilities() -> None:
    top = [{"token": "yes", "logprob": -0.1, "bytes": None}, {"token": " No", "logprob": -2.5, "bytes": None}]
    logprobs = {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]}
    reply, body = ask("yes", Sampling(max_tokens=1, top_logprobs=2), png_of(1), logprobs=logprobs)
    assert reply.error == ""
    assert reply.first_logprobs == {"yes": -0.1, " No": -2.5}
    assert body["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize(
    ("content", "sampling", "problem"),
    [
        ("maybe", Sampling(choices=("yes", "no")), "ignores choices"),
        ("yes", Sampling(choices=("yes", "no")), ""),
        ("sure!", Sampling(schema={"type": "object", "required": ["n"]}), "is not JSON"),
        ('{"m": 1}', Sampling(schema={"type": "object", "required": ["n"]}), "'n' is a required property"),
        ('{"n": 1}', Sampling(schema={"type": "object", "required": ["n"]}), ""),
        ("yes", Sampling(top_logprobs=5), "no log-probabilities"),
    ],
)
def test_what_a_server_ignores_is_an_error_and_never_believed(content: str, sampling: Sampling, problem: str) -> None:
    reply, _ = ask(content, sampling)
    assert problem in reply.error
    assert bool(reply.error) == bool(problem)


def test_a_reflection_is_driven_over_http() -> None:
    parts = {"look": "a star", "improvements": "none", "guidance": "keep it", "final_prompt": "one star"}

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return chat_answer(json.dumps(parts)) if "response_format" in body else answer_rightly(path, body)

    with FaultyServer(answer=answer) as server:
        (sample,) = draw(server, [3], mode="reflect")
    assert isinstance(sample, Sample)
    assert [segment.role for segment in sample.segments] == ["think", "image", "look", "reflect", "refined image"]
    assert (sample.mode, sample.switch) == ("reflect", "forced")
    asked = [body["messages"][-1]["content"] for _, body in server.bodies]
    assert [part["type"] for part in asked[1]] == ["image_url", "text"]
    assert asked[2] == "one star"
    with FaultyServer() as server:  # it answers the criticism with words that are no JSON
        (failed,) = draw(server, [3], mode="reflect")
    assert error_of(failed).startswith("round 1: the model does not reflect")
