"""A model that is not reached says nothing: no score, no failed sample for good, but a question for the next run."""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import openai
import pytest
import yaml

from datagen.chat import ChatRequest, Reply
from datagen.cli import main
from datagen.pipeline import create_run, find_jobs, open_run, plan_stage, run_jobs
from datagen.pipeline.unreached import is_unreached
from datagen.pipeline.watch import Silent
from datagen.records import Failure, Request, Sample, Score
from datagen.runners.local import make_runner
from datagen.store import RunFolder
from tests.helpers.faulty_server import FaultyServer, chat_answer
from tests.helpers.runs import SHARDS, build_here, hash_records, small_recipe, small_values

PARTS = (*SHARDS, "dataset")
BUSY = (503, {"error": {"message": "loading the model"}}, {})


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    """Run a command as from a shell, here; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["datagen", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def answer_question(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Say yes or no by the picture that is asked about, always the same."""
    picture = body["messages"][0]["content"][0]["image_url"]["url"]
    yes = (sum(picture.encode()) % 97 + 1) / 99
    top = [{"token": word, "logprob": math.log(p)} for word, p in (("Yes", yes), ("No", 1 - yes))]
    made = chat_answer("Yes" if yes > 0.5 else "No")
    made["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return made


def write_recipe(folder: Path, server: FaultyServer, **changes: Any) -> Path:
    judge = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 0, "concurrency": 4}
    path = folder / "judged.yaml"
    values = small_values(**{"rewards": ["vqa"], "judge": judge, "failure_limit": 0.2, **changes})
    path.write_text(yaml.safe_dump({**values, "name": "judged"}), encoding="utf-8")
    return path


def read_scores(folder: Path) -> list[Score]:
    run = open_run(str(folder))
    return [score for shard in run.folder.list_shards("scores") for score in run.folder.read_scores(shard)]


def test_a_judge_that_is_down_stops_the_build_and_the_same_command_asks_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer(answer=answer_question) as server:
        build = ("build", write_recipe(tmp_path, server), "--workers", "0", "--run")
        assert call(monkeypatch, *build, tmp_path / "well") == 0
        asked = len(server.bodies)
        capsys.readouterr()
        server.choose = lambda path, body: BUSY
        assert call(monkeypatch, *build, tmp_path / "down") == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "20 of 20 samples failed (100.0%); the recipe allows 20.0%" in said
        assert "20 samples not scored, since a model was not reached: vqa: the judge was not reached: HTTP 503" in said
        assert "the same command repeats them" in said
        assert not (tmp_path / "down/dataset").exists()
        assert {score.value for score in read_scores(tmp_path / "down")} == {None}
        server.choose = lambda path, body: ""
        server.bodies.clear()
        assert call(monkeypatch, *build, tmp_path / "down") == 0
        assert len(server.bodies) == asked == 21  # one asks whether the judge can be read
        assert "not reached" not in capsys.readouterr().err
        assert hash_records(tmp_path / "down", *PARTS) == hash_records(tmp_path / "well", *PARTS)


def test_what_a_judge_was_not_reached_for_is_told_and_asked_again_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One question in five is not answered: the build ends, says so, and `score` asks about those prompts alone."""
    with FaultyServer(answer=answer_question) as server:
        recipe = write_recipe(tmp_path, server, failure_limit=0.9, rewards=["counting", "vqa"])
        build = ("build", recipe, "--workers", "0", "--run")
        assert call(monkeypatch, *build, tmp_path / "well") == 0
        server.bodies.clear()
        capsys.readouterr()
        server.choose = lambda path, body: BUSY if len(server.bodies) % 5 == 0 else ""
        assert call(monkeypatch, *build, tmp_path / "run") == 0
        shown = capsys.readouterr()
        lost = [score for score in read_scores(tmp_path / "run") if score.reason.startswith("not asked yet")]
        assert len(lost) == 4
        assert {(score.name, score.value) for score in lost} == {("vqa", None)}
        assert "warning: 4 samples not scored, since a model was not reached" in shown.err
        assert "HTTP 503: loading the model (4 times)" in shown.out
        assert call(monkeypatch, "status", tmp_path / "run") == 0
        assert "4 samples not scored" in capsys.readouterr().out

        server.choose = lambda path, body: ""
        server.bodies.clear()
        assert call(monkeypatch, "score", tmp_path / "run", "--workers", "0") == 0
        asked_again = 2 * len({score.sample_id.rpartition("-")[0] for score in lost})
        assert len(server.bodies) == 1 + asked_again < 20, "both candidates of each prompt with a lost one"
        assert hash_records(tmp_path / "run", *SHARDS) == hash_records(tmp_path / "well", *SHARDS)
        server.bodies.clear()
        assert call(monkeypatch, *build, tmp_path / "run") == 0
        assert server.bodies == []
        assert hash_records(tmp_path / "run", *PARTS) == hash_records(tmp_path / "well", *PARTS)


ADAPT = {"candidates": 5, "adapt": {"start": 2, "by": ["counting", "attribute"]}}


@pytest.mark.parametrize(
    ("changes", "models"), [({}, ()), ({"mode": "reflect"}, ()), (ADAPT, ("--workers", "1", "--models", "2"))]
)
def test_what_was_not_drawn_is_drawn_by_the_next_build_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: Any, models: Any
) -> None:
    down, recipe = tmp_path / "down", tmp_path / "drawn.yaml"
    values = small_values(**{"backend": {"down": str(down), "fails": 0.1}, "failure_limit": 0.6, **changes})
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    build = ("build", recipe, "--workers", "0", "--run")
    assert call(monkeypatch, *build, tmp_path / "well") == 0
    down.touch()
    capsys.readouterr()
    assert call(monkeypatch, *build, tmp_path / "run") == 0
    shown = capsys.readouterr()
    assert "samples not generated, since a model was not reached: HTTP 503: loading the model" in shown.err
    before = {sample.id: sample for sample in read_samples(tmp_path / "run")}
    down.write_text("9" * 30)
    run = open_run(str(tmp_path / "run"))
    work = find_jobs(run, "both", Silent())
    left = sum(job.samples - job.kept for job in work.jobs if job.draw)
    lost = [fault for shard in range(3) for fault in run.folder.read_failures(shard) if fault.unreached]
    assert left == len(lost) if changes is not ADAPT else left > len(lost) > 0
    down.unlink()
    assert call(monkeypatch, *build, tmp_path / "run", *models) == 0
    said = capsys.readouterr().err
    assert "not reached" not in said
    done, total = re.findall(r"generate +([0-9]+)/([0-9]+)", said)[-1]
    assert done == total
    after = {sample.id: sample for sample in read_samples(tmp_path / "run")}
    assert before.items() <= after.items()
    assert len(before) < len(after)
    assert hash_records(tmp_path / "run", *SHARDS) == hash_records(tmp_path / "well", *SHARDS)


def read_samples(folder: Path) -> list[Sample]:
    run = open_run(str(folder))
    return [sample for shard in run.folder.list_shards("samples") for sample in run.folder.read_samples(shard)]


def test_a_drawing_server_that_is_down_stops_the_run_which_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultyServer(choose=lambda path, body: BUSY) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 0}
        recipe = write_recipe(tmp_path, server, backend=backend, mode="direct", rewards=["tests.helpers.agree"])
        assert call(monkeypatch, "build", recipe, "--workers", "0", "--run", tmp_path / "run") == 1
        assert "20 samples not generated, since a model was not reached: HTTP 503" in capsys.readouterr().err
        server.choose = lambda path, body: ""
        assert call(monkeypatch, "generate", tmp_path / "run", "--workers", "0") == 0
        assert len(read_samples(tmp_path / "run")) == 20
        assert call(monkeypatch, "build", recipe, "--workers", "0", "--run", tmp_path / "run") == 0


def test_a_rewriter_that_is_not_reached_is_asked_again_before_there_is_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    down, journal, recipe = tmp_path / "down", tmp_path / "journal", tmp_path / "said.yaml"
    backend = {"name": "tests.helpers.rewriter", "down": str(down), "journal": str(journal)}
    recipe.write_text(yaml.safe_dump(small_values(backend=backend, expand={"styles": ["question"]})), encoding="utf-8")
    build = ("build", recipe, "--workers", "0", "--run")
    assert call(monkeypatch, *build, tmp_path / "well") == 0
    asked = len(journal.read_text().splitlines())
    journal.unlink()
    down.touch()
    assert call(monkeypatch, *build, tmp_path / "run") == 1
    assert "the rewriting model was not reached for" in capsys.readouterr().err
    assert not (tmp_path / "run/prompts").exists()
    kept = len((tmp_path / "run/rewrites/00000.jsonl").read_text().splitlines())
    assert 0 < kept < asked
    down.unlink()
    journal.unlink()
    assert call(monkeypatch, *build, tmp_path / "run") == 0
    assert len(journal.read_text().splitlines()) == asked - kept
    parts = ("rewrites", *SHARDS)
    assert hash_records(tmp_path / "run", *parts) == hash_records(tmp_path / "well", *parts)


def plant(monkeypatch: pytest.MonkeyPatch, **models: Any) -> None:
    for name, model in {"lost": None, **{f"lost.{name}": model for name, model in models.items()}}.items():
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.build = lambda options, model=model: model  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)


class Describer:
    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        yield from (Reply("a star") for _ in requests)


class Drawer:
    def __init__(self) -> None:
        self.asked, self.down = 0, True

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        self.asked += len(requests)
        for request in requests:
            yield Failure.unanswered(request, "HTTP 503" if self.down else "no picture", unreached=self.down)


def test_a_drawer_that_is_not_reached_is_asked_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawer = Drawer()

    def encode(images: Sequence[bytes]) -> np.ndarray:
        return np.ones((len(images), 1), np.float32)

    plant(monkeypatch, describer=Describer(), drawer=drawer, encoder=encode)
    models = {"judge": "lost.describer", "drawer": "lost.drawer", "encoders": ["lost.encoder"]}
    recipe = small_recipe(rewards=["counting"], evaluate=["reconstruction"], **models)
    _, result = build_here(recipe, tmp_path)
    assert drawer.asked == 20
    assert "reconstruction: the drawer was not reached: HTTP 503 (20 times)" in result.unreached
    drawer.down = False
    _, result = build_here(recipe, tmp_path)
    assert drawer.asked == 40
    assert result.unreached == ""
    reasons = {score.reason for score in read_scores(tmp_path) if score.name == "reconstruction"}
    assert reasons == {"the caption was not drawn: no picture"}, "an answer, if not a good one"


LOSES = """
from pathlib import Path
from datagen.records import Verdict
TARGET = "image"
JUDGES = frozenset()
def score(prompt, sample, tools):
    if Path(DOWN).exists() and sample.seed % 4 == 0:
        raise ConnectionError("the judge is down")
    return Verdict((sample.seed % 97) / 97, "by its seed")
"""


class Killed(BaseException):
    """As `kill -9`: nothing that datagen catches."""


@pytest.mark.parametrize(("draws", "place"), [(True, 0), (True, 1), (True, 2), (True, 3), (False, 0), (False, 1)])
def test_killed_while_it_asks_again_a_run_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draws: bool, place: int
) -> None:
    """Stopped before each of the files that the second round writes, which draws and scores, or scores alone."""
    down, (well, torn) = tmp_path / "down", (tmp_path / "well", tmp_path / "torn")
    (tmp_path / "loses").mkdir()
    (tmp_path / "loses/scorer.py").write_text(LOSES.replace("DOWN", repr(str(down))), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("loses", "loses.scorer"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # the one before knows another file
    backend = {"down": str(down) if draws else ""}
    recipe = small_recipe(prompts=4, candidates=4, rewards=["loses.scorer"], backend=backend)

    def go_on(folder: Path) -> int:
        run = create_run(recipe, str(folder))
        plan_stage(run, Silent())
        run_jobs(run, "both", make_runner(0), Silent())
        return len(find_jobs(run, "both", Silent()).jobs)

    assert go_on(well) == 0
    down.touch()
    assert go_on(torn) == 1
    down.unlink()
    open_whole, left = RunFolder.open_whole, [place]

    def die(folder: RunFolder, name: str) -> AbstractContextManager[IO[bytes]]:
        if left[0] == 0 and name.partition("/")[0] in SHARDS:
            raise Killed
        left[0] -= name.partition("/")[0] in SHARDS
        return open_whole(folder, name)

    monkeypatch.setattr(RunFolder, "open_whole", die)
    with pytest.raises(Killed):
        go_on(torn)
    monkeypatch.setattr(RunFolder, "open_whole", open_whole)
    assert go_on(torn) == 0
    assert hash_records(torn, *SHARDS) == hash_records(well, *SHARDS)


ASKS_A_PORT = """
import urllib.request
from datagen.records import Verdict
TARGET = "image"
JUDGES = frozenset()
def score(prompt, sample, tools):
    if sample.candidate:
        raise ZeroDivisionError("a fault of its own")
    try:
        urllib.request.urlopen("http://127.0.0.1:9/score")
    except OSError as error:
        raise ValueError("my server does not answer") from error
"""


def test_a_scorer_of_the_users_that_does_not_reach_its_server_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asks_a_port").mkdir()
    module = tmp_path / "asks_a_port/scorer.py"
    module.write_text(ASKS_A_PORT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    run, result = build_here(small_recipe(rewards=["counting", "asks_a_port.scorer"]), tmp_path / "run")
    assert "10 samples not scored" in result.unreached
    faults = [fault for shard in range(3) for fault in run.folder.read_failures(shard)]
    assert [fault.unreached for fault in faults] == [fault.candidate == 0 for fault in faults]
    assert all(json.dumps(fault.to_dict()).count("unreached") == fault.unreached for fault in faults)


def raise_and_catch(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except (OSError, ValueError, openai.OpenAIError) as error:
        return error
    raise AssertionError("nothing was raised")


def hide(cause: Exception) -> None:
    try:
        raise cause
    except ConnectionError:
        raise ValueError("said without its cause") from None


def test_what_says_that_a_model_was_not_reached() -> None:
    with FaultyServer(choose=lambda path, body: (int(body["seed"]), {}, {})) as server:

        def post(status: int) -> Any:
            body = json.dumps({"seed": status}).encode()
            return urllib.request.urlopen(urllib.request.Request(f"{server.url}/chat/completions", body))

        client = openai.OpenAI(base_url=server.url, api_key="x", max_retries=0)
        ask = client.chat.completions.create
        by_http = {status: raise_and_catch(lambda status=status: post(status)) for status in (400, 429, 503)}
        by_client = {
            status: raise_and_catch(lambda status=status: ask(model="m", messages=[], seed=status))
            for status in (400, 429, 503)
        }
    assert [is_unreached(error) for error in by_http.values()] == [False, True, True]
    assert [is_unreached(error) for error in by_client.values()] == [False, True, True]
    assert is_unreached(raise_and_catch(lambda: urllib.request.urlopen("http://127.0.0.1:9/")))
    assert is_unreached(TimeoutError())
    assert is_unreached(socket.gaierror("no such host"))
    assert not is_unreached(raise_and_catch(lambda: hide(ConnectionError("gone"))))
    assert not is_unreached(urllib.error.HTTPError("u", 404, "no", None, None))  # type: ignore[arg-type]
    assert not is_unreached(ZeroDivisionError())
    assert not is_unreached(FileNotFoundError("weights.bin"))
