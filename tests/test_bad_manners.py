"""What models and plugins do that they should not: half letters, and ending the program. It is recorded, by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datagen.chat import Reply, Sampling, check_reply
from datagen.errors import BackendError, PluginError
from datagen.pipeline import Silent, create_run, open_run, plan_stage, run_jobs
from datagen.plugins import load_plugin
from datagen.records import Failure, Request, Sample, Segment, Verdict
from datagen.runners.local import make_runner
from tests.helpers.faulty_server import png_of
from tests.helpers.runs import build_here, small_recipe

HALF = "half a letter: \ud83d"
ESCAPED = "half a letter: \\ud83d"


class Model:
    """Answers as `answer` says."""

    name, lexicon = "planted", "pictograms"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        for request in requests:
            yield self.answer(request)


def plant(monkeypatch: pytest.MonkeyPatch, **members: Any) -> str:
    """Make a module of these members importable, and return its name."""
    for name in ("planted", "planted.module"):
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    for name, member in members.items():
        setattr(module, name, member)
    return "planted.module"


def draw(request: Request, text: str = "thought", engine: str = "planted") -> Sample:
    parts = Segment("text", "think", text=text), Segment("image", "image", image=png_of(request.seed))
    return Sample.make(request, parts, engine=engine, switch="autonomous", finish="stop", settings={})


def list_failures(folder: Path) -> list[Failure]:
    run = open_run(str(folder))
    return [each for shard in run.folder.list_shards("failures") for each in run.folder.read_failures(shard)]


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: draw(request, text=HALF),
        lambda request: draw(request, engine=HALF),
        lambda request: Failure.unanswered(request, HALF, HALF),
    ],
    ids=["text", "engine", "failure"],
)
def test_half_a_letter_of_a_model_is_a_recorded_failure(
    answer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant(monkeypatch, build=lambda options: Model(answer))
    run = create_run(small_recipe(backend={"name": name}, failure_limit=1.0), str(tmp_path / "run"))
    plan_stage(run, Silent())
    run_jobs(run, "both", make_runner(0), Silent())
    failures = list_failures(tmp_path / "run")
    assert len(failures) == 20
    assert any(ESCAPED in f"{failure.error} {failure.detail}" or "surrogates" in failure.error for failure in failures)


def test_half_a_letter_of_a_scorers_exception_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(prompt: Any, sample: Any, tools: Any) -> Verdict:
        raise ValueError(HALF)

    name = plant(monkeypatch, score=score, TARGET="image", JUDGES=frozenset())
    build_here(small_recipe(rewards=["counting", name], failure_limit=1.0), tmp_path / "run")
    assert {failure.error for failure in list_failures(tmp_path / "run")} == {f"{name}: ValueError: {ESCAPED}"}


def test_half_a_letter_of_a_chat_is_no_answer() -> None:
    assert check_reply(Reply(HALF), Sampling()).error == "the answer holds half a letter (a lone surrogate)"


def test_a_scorer_that_ends_the_program_is_a_recorded_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = plant(monkeypatch, score=lambda *given: sys.exit(0), TARGET="image", JUDGES=frozenset())
    build_here(small_recipe(rewards=["counting", name], failure_limit=1.0), tmp_path / "run")
    assert {failure.error for failure in list_failures(tmp_path / "run")} == {f"{name}: SystemExit: 0"}


def test_a_model_that_ends_the_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = plant(monkeypatch, build=lambda options: Model(lambda request: sys.exit(0)))
    with pytest.raises(BackendError, match=f"'{name}' broke down: SystemExit: 0"):
        build_here(small_recipe(backend={"name": name}), tmp_path / "run")


def test_a_module_that_ends_the_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "leaving_too").mkdir()
    (tmp_path / "leaving_too/scorer.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    with pytest.raises(PluginError, match=r"it calls exit\(3\)"):
        load_plugin("rewards", "leaving_too.scorer", "score")
