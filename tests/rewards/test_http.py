"""The scorer `http` against a real service on loopback that answers, refuses, breaks off and is not there."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen.config import ScorerChoice
from datagen.errors import ConfigError
from datagen.pipeline import Silent, create_run, find_jobs, run_jobs
from datagen.pipeline.views import export_run, weigh_run
from datagen.records import Verdict
from datagen.runners.local import make_runner
from datagen.scoring.scorers import Scorer, load_scorer
from datagen.scoring.tools import Tools
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools
from tests.helpers.runs import SHARDS, build_here, hash_records, small_recipe


def measure(image: bytes) -> float:
    """What the service thinks of an image: the same for the same file."""
    return sum(image) % 97 / 96


def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Answer as UniRL's reward service: `nice` has one measure, `two` has two, none is known of a picture `bad`."""
    results, errors = [], []
    for request in body["requests"]:
        (turn,), (reward,) = request["history"], request["required_rewards"]
        image = base64.b64decode(turn["image_b64"])
        value = measure(image)
        known = {"nice": {"nice": value}, "two": {"look": value, "fit": 20 * value - 5}, "far": {"far": 12.5}}
        is_bad = image == b"bad"
        results.append({} if is_bad or reward not in known else {reward: known[reward]})
        errors.append({reward: "CUDA out of memory" if is_bad else "no such reward"} if not results[-1] else {})
    return {"results": results, "errors": errors}


@pytest.fixture
def tools() -> Tools:
    return make_tools()


@pytest.fixture
def service() -> Iterator[FaultyServer]:
    with FaultyServer(answer=answer) as server:
        yield server


def scorer(server: FaultyServer, reward: str = "nice", **options: Any) -> Scorer:
    choice = {"name": "http", "url": server.url, "reward": reward, "retries": 0, **options}
    return load_scorer(ScorerChoice.model_validate(choice))


def judge(server: FaultyServer, image: bytes = b"a picture", **options: Any) -> Verdict:
    tools = make_tools()
    return scorer(server, **options).score(make_prompt(count("star", 3)), make_sample(image=image), tools)


def test_a_request_has_the_prompt_the_image_and_the_reward(service: FaultyServer) -> None:
    verdict = judge(service)
    assert (verdict.value, verdict.reason) == (measure(b"a picture"), f"nice gives {measure(b'a picture'):g}")
    assert verdict.evidence == {"measures": {"nice": verdict.value}}
    ((path, body),) = service.bodies
    (request,) = body["requests"]
    assert path == "/v1/score"
    assert request["history"] == [
        {"text": "words that no scorer reads", "image_b64": base64.b64encode(b"a picture").decode()}
    ]
    assert request["required_rewards"] == ["nice"]
    assert request["metadata"]["claims"] == [count("star", 3).to_dict()]


def test_many_samples_are_asked_about_in_few_requests_and_once(service: FaultyServer, tools: Tools) -> None:
    module, prompt = scorer(service, batch=8), make_prompt(count("star", 3))
    samples = [make_sample(image=b"picture %d" % k) for k in range(20)]
    module.look_ahead([(prompt, sample) for sample in [*samples, *samples]], tools)
    assert sorted(len(body["requests"]) for _, body in service.bodies) == [4, 8, 8]
    values = [module.score(prompt, sample, tools).value for sample in samples]
    assert values == [measure(sample.image or b"") for sample in samples]
    assert len(service.bodies) == 3


def test_as_many_requests_as_asked_for_are_in_flight(tools: Tools) -> None:
    together = threading.Barrier(3, timeout=20)  # passes only three at a time

    def meet(path: str, body: dict[str, Any]) -> dict[str, Any]:
        together.wait()
        return answer(path, body)

    with FaultyServer(answer=meet) as server:
        module, prompt = scorer(server, batch=2, concurrency=3), make_prompt(count("star", 3))
        samples = [make_sample(image=b"picture %d" % k) for k in range(12)]
        module.look_ahead([(prompt, sample) for sample in samples], tools)
        values = [module.score(prompt, sample, tools).value for sample in samples]
    assert values == [measure(sample.image or b"") for sample in samples]


def test_a_key_is_sent_and_one_that_is_not_set_is_told(service: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    service.key = "k-1"
    monkeypatch.setenv("SERVICE_KEY", "k-1")
    assert judge(service, api_key_env="SERVICE_KEY").value == measure(b"a picture")
    with pytest.raises(ConnectionError, match="HTTP 401"):
        judge(service)
    monkeypatch.delenv("SERVICE_KEY")
    with pytest.raises(ConnectionError, match="environment variable SERVICE_KEY with its key is not set"):
        judge(service, api_key_env="SERVICE_KEY")


def test_a_key_does_not_follow_a_redirect(service: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEY", "k-1")
    with (
        FaultyServer(choose=lambda path, body: (302, {}, {"Location": f"{service.url}/score"})) as server,
        pytest.raises(ConnectionError, match="HTTP 302"),
    ):
        judge(server, api_key_env="SERVICE_KEY")
    assert not service.bodies


def test_a_measure_is_chosen_and_mapped(service: FaultyServer) -> None:
    raw = 20 * measure(b"a picture") - 5
    verdict = judge(service, reward="two", measure="fit", range=[-5, 15])
    assert verdict.value == pytest.approx(measure(b"a picture"))
    assert verdict.evidence["measures"] == {"look": measure(b"a picture"), "fit": raw}
    assert judge(service, reward="far", range=[0, 10]).value == 1.0, "cut off at the ends"
    with pytest.raises(ValueError, match=r"far gives 12\.5, not in \[0, 1\]: say `range"):
        judge(service, reward="far")
    with pytest.raises(ValueError, match="no number for its measure"):
        judge(service, reward="two")


def test_what_the_service_has_no_value_for_is_that_samples_failure_alone(service: FaultyServer, tools: Tools) -> None:
    module, prompt = scorer(service), make_prompt(count("star", 3))
    good, bad = make_sample(), make_sample(image=b"bad")
    module.look_ahead([(prompt, bad), (prompt, good)], tools)
    assert module.score(prompt, good, tools).value == measure(b"a picture")
    with pytest.raises(ValueError, match="the service has no nice: CUDA out of memory"):
        module.score(prompt, bad, tools)
    with pytest.raises(ValueError, match="the service has no lost: no such reward"):
        judge(service, reward="lost")
    assert module.score(prompt, make_sample(image=None), tools).value is None


@pytest.mark.parametrize(
    ("result", "error", "said"),
    [
        ({"nice": {"nice": 0.9}}, {"nice": "CUDA out of memory"}, "the service has no nice: CUDA out of memory"),
        ({"nice": {"nice": 0.9}}, "CUDA out of memory", "the service has no nice: CUDA out of memory"),
        ({"nice": {"nice": True}}, {}, "the service has no nice: its measures are not all numbers: {'nice': True}"),
        ({"nice": {"nice": 0.9, "is_blank": False}}, {}, "not all numbers"),
        ({"nice": {"nice": "0.9"}}, {}, "not all numbers"),
        ({"nice": {"nice": 10**400}}, {}, "not all numbers"),
        ({"nice": 0.9}, {}, "not all numbers"),
    ],
)
def test_a_value_beside_an_error_and_one_that_is_no_number_are_failures(
    tools: Tools, result: Any, error: Any, said: str
) -> None:
    def say(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answers = [answer(path, {"requests": [each]}) for each in body["requests"]]
        results, errors = ([each[key][0] for each in answers] for key in ("results", "errors"))
        return {"results": [result, *results[1:]], "errors": [error, *errors[1:]]}

    with FaultyServer(answer=say) as server:
        module, prompt = scorer(server), make_prompt(count("star", 3))
        bad, good = make_sample(image=b"first"), make_sample()
        module.look_ahead([(prompt, bad), (prompt, good)], tools)
        with pytest.raises(ValueError, match=re.escape(said)):
            module.score(prompt, bad, tools)
        assert module.score(prompt, good, tools).value == measure(b"a picture")


@pytest.mark.parametrize("error", [{}, {"nice": None}, {"nice": ""}, {"other": "no such reward"}, None])
def test_an_error_that_says_nothing_of_the_reward_is_none(error: Any) -> None:
    said = {"results": [{"nice": {"nice": 1}}], "errors": [error]}
    with FaultyServer(answer=lambda path, body: said) as server:
        assert judge(server).value == 1.0


def test_a_refused_batch_is_asked_one_by_one(tools: Tools) -> None:
    def choose(path: str, body: dict[str, Any]) -> Any:
        bad = [each for each in body["requests"] if base64.b64decode(each["history"][0]["image_b64"]) == b"bad"]
        return (422, {"detail": "no image"}, {}) if bad else ""

    with FaultyServer(answer=answer, choose=choose) as server:
        module, prompt = scorer(server), make_prompt(count("star", 3))
        good, bad = make_sample(), make_sample(image=b"bad")
        module.look_ahead([(prompt, good), (prompt, bad)], tools)
        assert module.score(prompt, good, tools).value == measure(b"a picture")
        with pytest.raises(ValueError, match="the service refuses: HTTP 422"):
            module.score(prompt, bad, tools)
        assert len(server.bodies) == 3


@pytest.mark.parametrize("fault", ["429", "503", "cut", "truncated", "drop", "plain_text"])
def test_a_fault_that_passes_costs_nothing_but_time(fault: str) -> None:
    with FaultyServer(lambda seed: f"{fault}_once", answer) as server:
        assert judge(server, retries=1).value == measure(b"a picture")
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("503", "HTTP 503"),
        ("404", "HTTP 404"),
        ("401", "HTTP 401"),
        ("cut", "the answer broke off"),
        ("plain_text", "not JSON"),
        ("drip", r"no answer within 0\.3 s"),
    ],
)
def test_a_fault_that_stays_is_no_answer(fault: str, said: str) -> None:
    with (
        FaultyServer(lambda seed: fault, answer) as server,
        pytest.raises(ConnectionError, match=f"the service was not reached: .*{said}"),
    ):
        judge(server, timeout_seconds=0.3 if fault == "drip" else 5)


@pytest.mark.parametrize("said", [{"results": []}, {"scores": [1]}, [1], {"results": [{"nice": {}}]}])
def test_an_answer_of_another_form_is_no_value(said: Any) -> None:
    with FaultyServer(choose=lambda path, body: (200, said, {})) as server, pytest.raises(ValueError, match="servi"):
        judge(server)


def test_a_dead_service_is_tried_once_for_a_shard_and_again_for_the_next(service: FaultyServer, tools: Tools) -> None:
    module, prompt = scorer(service, concurrency=1), make_prompt(count("star", 3))
    pairs = [(prompt, make_sample(image=b"picture %d" % k)) for k in range(40)]
    service.choose = lambda path, body: (503, {"detail": "loading"}, {})
    module.look_ahead(pairs, tools)
    for _, sample in pairs:
        with pytest.raises(ConnectionError, match="HTTP 503"):
            module.score(prompt, sample, tools)
    assert len(service.bodies) == 1, "40 samples are 3 requests, of which the first tells enough"
    service.choose = lambda path, body: ""
    tools.forget_lost()
    module.look_ahead(pairs, tools)
    assert module.score(*pairs[39], tools).value == measure(b"picture 39")


def test_a_run_goes_on_where_the_service_was_away(service: FaultyServer, tmp_path: Path) -> None:
    reward = {"name": "http", "url": service.url, "reward": "nice", "retries": 0, "as": "nice"}
    recipe = small_recipe(rewards=["counting", reward])
    build_here(recipe, tmp_path / "whole")
    service.choose = lambda path, body: (503, {"detail": "loading"}, {})
    run, _ = build_here(recipe, tmp_path / "away")
    lost = [score for shard in range(3) for score in run.folder.read_scores(shard) if score.name == "nice"]
    assert {(score.value, score.reason[:14]) for score in lost} == {(None, "not asked yet:")}
    service.choose = lambda path, body: ""
    again = create_run(recipe, str(tmp_path / "away"))
    assert len(find_jobs(again, "both", Silent()).jobs) == 3
    run_jobs(again, "both", make_runner(0), Silent())
    export_run(again, weigh_run(again, Silent()), Silent())
    assert hash_records(tmp_path / "away", *SHARDS, "dataset") == hash_records(tmp_path / "whole", *SHARDS, "dataset")
    files = (tmp_path / "away/dataset").rglob("*.parquet")
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert all(row["reward_nice"] == measure(row["images"][0]["bytes"]) for row in rows)
    card = (tmp_path / "away/dataset/README.md").read_text(encoding="utf-8")
    assert "127.0.0.1" not in card + json.dumps([row["provenance"] for row in rows])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "ftp://x"}, "begins with http"),
        ({"url": "http://me:secret@x"}, "no user name"),
        ({"range": [1, 1]}, "the first below the second"),
        ({"reward": ""}, "reward"),
        ({"batch": 0}, "batch"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    choice = {"name": "http", "url": "http://localhost:1", "reward": "nice", **options}
    with pytest.raises(ConfigError, match=said):
        load_scorer(ScorerChoice.model_validate(choice))


def test_its_name_tells_the_reward_and_never_the_address() -> None:
    choice = ScorerChoice.model_validate({"name": "http", "url": "http://gpu7:8080", "reward": "hpsv3"})
    assert choice.label == "http_hpsv3"
