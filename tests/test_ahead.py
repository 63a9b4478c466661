"""What scorers ask a judge and a drawer about many samples goes out together, and nothing is asked twice."""

from __future__ import annotations

import hashlib
import math
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from datagen.chat import ChatRequest, Reply
from datagen.pipeline import Run, Silent, create_run, find_jobs, finish_shards, plan_stage, run_jobs
from datagen.records import Failure, Request, Sample, Score, Segment
from datagen.runners.local import make_runner
from tests.helpers.faulty_server import FaultyServer, png_of
from tests.helpers.runs import build_here, small_recipe
from tests.test_unreached import answer_question

SCORERS = ["vqa", {"name": "soft_tifa", "mean": "am"}, "soft_tifa", "question_graph", "rubric"]
SHARDS = (8, 8, 4)


@dataclass
class Judge:
    """Answers by a hash of what it is asked, and notes each call; what `breaks` holds breaks the call that holds it."""

    logprobs: bool = True
    breaks: set[bytes] = field(default_factory=set)
    calls: list[list[ChatRequest]] = field(default_factory=list)

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        self.calls.append(list(requests))
        if any(part.image in self.breaks for request in requests for part in request.messages[0].parts):
            raise RuntimeError("no memory for this one")
        for request in requests:
            yes = hashlib.sha256(repr(request).encode()).digest()[0] / 256
            one, other = ("three", "two") if "How many" in request.messages[0].parts[1].text else ("Yes", "No")
            first = {one: math.log(yes + 1e-9), other: math.log(1 - yes)} if self.logprobs else None
            yield Reply(rf"Yes \boxed{{{yes:.3f}}}" if yes > 0.5 else rf"No \boxed{{{yes:.3f}}}", first_logprobs=first)


@dataclass
class Drawer:
    calls: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        self.calls.append(len(requests))
        for request in requests:
            picture = Segment("image", "image", image=png_of(request.seed))
            yield Sample.make(request, (picture,), engine="d", switch="none", finish="stop", settings={})


def plant(monkeypatch: pytest.MonkeyPatch, **models: Any) -> None:
    for name, model in {"planted": None, **{f"planted.{name}": model for name, model in models.items()}}.items():
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.build = lambda options, model=model: model  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)


def list_scores(run: Run) -> list[Score]:
    return [score for shard in run.folder.list_shards("scores") for score in run.folder.read_scores(shard)]


@pytest.mark.parametrize("logprobs", [True, False])
def test_a_judge_is_asked_all_of_a_shard_at_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, logprobs: bool
) -> None:
    judge = Judge(logprobs)
    plant(monkeypatch, judge=judge)
    run, _ = build_here(small_recipe(rewards=SCORERS, judge="planted.judge"), tmp_path / "run")
    together = judge.calls.copy()
    assert len(together) == len(SHARDS) * (1 if logprobs else 2), "answers are drawn in a second call"
    asked = [request for call in together for request in call]
    assert len(asked) == len(set(map(repr, asked))), "the two Soft-TIFA scorers ask the same"
    scores = list_scores(run)
    assert all(score.value is not None for score in scores)
    monkeypatch.setattr("datagen.pipeline.shards._open_asking", lambda run: None)
    alone, _ = build_here(small_recipe(rewards=SCORERS, judge="planted.judge"), tmp_path / "alone")
    assert len(judge.calls) - len(together) > sum(SHARDS)
    assert list_scores(alone) == scores, "asked one by one, a judge says the same"


def test_a_large_shard_is_asked_about_in_parts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge()
    plant(monkeypatch, judge=judge)
    monkeypatch.setattr("datagen.pipeline.shards.ASKED_TOGETHER", 3)
    run, _ = build_here(small_recipe(rewards=["vqa"], judge="planted.judge"), tmp_path)
    assert [len(call) for call in judge.calls] == [3, 3, 2, 3, 3, 2, 3, 1]
    assert all(score.value is not None for score in list_scores(run))


def test_a_caption_is_drawn_with_those_of_its_shard(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, drawer = Judge(), Drawer()

    def encode(images: Sequence[bytes]) -> np.ndarray:
        return np.ones((len(images), 1), np.float32)

    plant(monkeypatch, judge=judge, drawer=drawer, encoder=encode)
    recipe = small_recipe(
        rewards=["reconstruction"], judge="planted.judge", drawer="planted.drawer", encoders=["planted.encoder"]
    )
    run, _ = build_here(recipe, tmp_path)
    assert [len(call) for call in judge.calls] == list(SHARDS)
    assert drawer.calls == list(SHARDS)
    assert all(score.value == 1.0 for score in list_scores(run))


def test_a_question_that_breaks_the_judge_costs_its_neighbours_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge()
    plant(monkeypatch, judge=judge)
    run, _ = build_here(small_recipe(rewards=["counting"]), tmp_path / "first")
    broken = next(iter(run.folder.read_samples(0)))
    assert broken.image is not None
    judge.breaks.add(broken.image)
    run, _ = build_here(small_recipe(rewards=["vqa"], judge="planted.judge"), tmp_path / "second")
    lost = [score for score in list_scores(run) if score.value is None]
    assert [score.sample_id for score in lost] == [broken.id]
    assert "no memory for this one" in lost[0].reason


class Crowd:
    """A judge's server that answers the oldest question when so many are open at a time, or when few are left."""

    def __init__(self, crowd: int, questions: int) -> None:
        self.crowd, self.left, self.open = crowd, questions, list[object]()
        self.changed = threading.Condition()

    def choose(self, path: str, body: dict[str, Any]) -> str:
        me = object()
        with self.changed:
            self.open.append(me)
            self.changed.notify_all()
            is_due = self.changed.wait_for(
                lambda: self.open[0] is me and len(self.open) >= min(self.crowd, self.left), timeout=60
            )
            assert is_due
            self.open.remove(me)
            self.left -= 1
            self.changed.notify_all()
        return ""


def test_a_judge_behind_http_is_asked_across_shards_without_a_pause(tmp_path: Path) -> None:
    """Shards have eight questions and the judge wants twelve at a time, so those of the next one are asked before."""
    with FaultyServer(answer=answer_question) as server:
        judge = {"name": "openai", "base_url": server.url, "model": "tiny", "concurrency": 12}
        recipe = small_recipe(rewards=["vqa"], judge=judge, prompts=20)
        alone, _ = build_here(recipe, tmp_path / "alone")
        asked = len(server.bodies)
        run = create_run(recipe, str(tmp_path / "run"))
        plan_stage(run, Silent())
        run_jobs(run, "generate", make_runner(0), Silent())
        server.choose = Crowd(12, 40).choose
        results = list(finish_shards(run, find_jobs(run, "score", Silent()).jobs))
        assert len(server.bodies) - asked == 40, "nothing is asked twice"
    assert sorted(result.shard for result in results) == [0, 1, 2, 3, 4]
    assert list_scores(run) == list_scores(alone)
