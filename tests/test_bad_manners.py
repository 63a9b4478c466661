"""What plugins do that they should not: half letters, wrong types, ending the program. It is recorded, by name."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from datagen.chat import Reply, Sampling, check_reply
from datagen.config import Recipe
from datagen.errors import BackendError, PluginError, TooManyFailures
from datagen.pipeline import Silent, check_recipe, create_run, list_scorable, open_run, plan_stage, run_jobs
from datagen.plugins import attempt, load_plugin
from datagen.records import Failure, Request, Sample, Segment, Verdict
from datagen.runners.local import make_runner
from datagen.taxonomy.check import check_paths
from tests.helpers.faulty_server import png_of
from tests.helpers.runs import build_here, small_recipe, small_values

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


def write_module(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Write a scorer `own.module` that other processes can import too."""
    (folder / "own").mkdir()
    head = 'TARGET = "image"\nJUDGES = frozenset()\n'
    (folder / "own/module.py").write_text(f"{head}{code}\n", encoding="utf-8")
    for name in ("own", "own.module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(folder))


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


def end_by(kind: Any) -> Any:
    raise kind(0)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_scorer_that_interrupts_is_a_recorded_failure(
    kind: type[BaseException], workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path, monkeypatch, f"def score(*given): raise {kind.__name__}(0)")
    run = create_run(small_recipe(rewards=["counting", "own.module"], failure_limit=1.0), str(tmp_path / "run"))
    plan_stage(run, Silent())
    run_jobs(run, "both", make_runner(workers), Silent())
    assert {failure.error for failure in list_failures(tmp_path / "run")} == {f"own.module: {kind.__name__}: 0"}


def test_ctrl_c_while_a_scorer_works_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(*given: Any) -> Verdict:
        os.kill(os.getpid(), signal.SIGINT)
        return Verdict(1.0, "done")

    name = plant(monkeypatch, score=score, TARGET="image", JUDGES=frozenset())
    with pytest.raises(KeyboardInterrupt):
        build_here(small_recipe(rewards=["counting", name]), tmp_path / "run")
    assert list_failures(tmp_path / "run") == []


def test_ctrl_c_is_no_failure_of_a_plugin_where_python_handles_it() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of tests in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            attempt(lambda: end_by(KeyboardInterrupt))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_a_model_that_interrupts_is_named(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant(monkeypatch, build=lambda options: Model(lambda request: end_by(kind)))
    with pytest.raises(BackendError, match=f"'{name}' broke down: {kind.__name__}: 0"):
        build_here(small_recipe(backend={"name": name}), tmp_path / "run")


def change(**fields: Any) -> Any:
    """A model whose samples have these fields."""
    return lambda request: dataclasses.replace(draw(request), **fields)


def part(**fields: Any) -> Any:
    """A model whose samples begin with such a segment."""

    def answer(request: Request) -> Sample:
        sample = draw(request)
        first = dataclasses.replace(sample.segments[0], **fields)
        return dataclasses.replace(sample, segments=(first, *sample.segments[1:]))

    return answer


def fail(**fields: Any) -> Any:
    return lambda request: dataclasses.replace(Failure.unanswered(request, "said"), **fields)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (change(segments=None), "Sample.segments None (NoneType): it must be a tuple or a list"),
        (change(segments=()), "an empty sample"),
        (change(segments=({"kind": "text"},)), "segments[0] {'kind': 'text'} (dict): it must be a Segment"),
        (part(kind="video"), "segments[0].kind 'video': it must be text or image"),
        (part(text=None), "segments[0].text None (NoneType): it must be text"),
        (part(role=7), "segments[0].role 7 (int): it must be text"),
        (part(kind="image", image=None), "segments[0].image None (NoneType): it must be the bytes of a file"),
        (part(image=png_of(1)), "segments[0], a text with an image: they are two segments"),
        (change(segments=(Segment("image", "image", image=png_of(1)),) * 50), "50 images: a sample has at most 16"),
        (change(seed=True), "Sample.seed True (bool): it must be a whole number"),
        (change(engine=None), "Sample.engine None (NoneType): it must be text"),
        (change(settings=[1]), "Sample.settings [1] (list): it must be a mapping"),
        (change(settings={"p": math.nan}), "what cannot be stored: Out of range float values are not JSON compliant"),
        (fail(stage="score"), "Failure.stage 'score': that of a backend is generate"),
        (fail(unreached="yes"), "Failure.unreached 'yes' (str): it must be true or false"),
    ],
)
def test_a_wrong_field_of_a_model_is_a_failure_that_names_it(
    answer: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant(monkeypatch, build=lambda options: Model(answer))
    run = create_run(small_recipe(prompts=2, backend={"name": name}, failure_limit=1.0), str(tmp_path / "run"))
    plan_stage(run, Silent())
    run_jobs(run, "generate", make_runner(0), Silent())
    failures = list_failures(tmp_path / "run")
    assert {(failure.stage, failure.error.split(": nan")[0]) for failure in failures} == {
        ("generate", f"'{name}' answered {said}")
    }
    assert len(failures) == 4


@pytest.mark.parametrize("fields", [{"prompt_id": ["a"]}, {"candidate": None}, {"candidate": True}])
def test_an_answer_to_no_request_that_can_be_told_is_an_error_that_names_the_model(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant(monkeypatch, build=lambda options: Model(change(**fields)))
    with pytest.raises(BackendError, match=f"'{name}' answered Sample.{next(iter(fields))} "):
        build_here(small_recipe(backend={"name": name}), tmp_path / "run")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (None, "a NoneType, not a Verdict"),
        (Verdict(0.5, None, None), "reason None (NoneType): it must be text"),  # type: ignore[arg-type]
        (Verdict(0.5, "", None), "evidence None (NoneType): it must be a mapping"),  # type: ignore[arg-type]
        (Verdict("0.5", ""), "value '0.5' (str): it must be a number or None"),  # type: ignore[arg-type]
        (Verdict(True, ""), "value True (bool): it must be a number or None"),
        (Verdict(math.nan, ""), "nan, which is not in [0, 1]"),
        (Verdict(1.5, ""), "1.5, which is not in [0, 1]"),
        (Verdict(1.0, "", {"passed": "yes"}), "evidence['passed'] 'yes' (str): it must be true or false or None"),
        (Verdict(1.0, "", {"claims": {"a": "b"}}), "evidence['claims']['a'] 'b', not whether it holds"),
        (Verdict(1.0, "", {"questions": ["a"]}), "evidence['questions'] 'a': no question with its `p`"),
        (Verdict(1.0, "", {"rounds": []}), "evidence['rounds']: that word is the toolkit's own"),
        (Verdict(1.0, "", {"rounds_open": []}), "evidence['rounds_open']: that word is the toolkit's own"),
        (
            Verdict(1.0, "", {"more": {1}}),
            "evidence that cannot be stored: Object of type set is not JSON serializable",
        ),
    ],
)
def test_a_wrong_field_of_a_verdict_is_a_failure_that_names_it(
    verdict: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plant(monkeypatch, score=lambda *given: verdict, TARGET="image", JUDGES=frozenset())
    build_here(small_recipe(prompts=2, rewards=["counting", name], failure_limit=1.0), tmp_path / "run")
    failures = list_failures(tmp_path / "run")
    assert [each.error.partition("Error: the scorer answered ")[2] for each in failures] == [said] * 4
    assert all(each.error.startswith(f"{name}: ") for each in failures)


@pytest.mark.parametrize("said", [None, 7, [], [Verdict(1.0, "")] * 3])
def test_verdicts_on_a_group_are_one_for_each_sample(
    said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"score": lambda *given: Verdict(None, ""), "TARGET": "image", "JUDGES": frozenset()}
    name = plant(monkeypatch, score_group=lambda *given: said, **members)
    build_here(small_recipe(prompts=2, rewards=["counting", name], failure_limit=1.0), tmp_path / "run")
    assert {failure.error.split(" answered ")[0] for failure in list_failures(tmp_path / "run")} == {
        f"{name}: {'ValueError' if isinstance(said, list) else 'TypeError'}: the scorer"
    }


def test_failures_at_the_border_count_towards_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = plant(monkeypatch, build=lambda options: Model(part(kind="video")))
    with pytest.raises(TooManyFailures, match=r"answered segments\[0\].kind 'video'"):
        build_here(small_recipe(backend={"name": name}, failure_limit=0.5), tmp_path / "run")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def score(prompt, sample, tools)\n    return 1", "own/module.py:3: expected ':'"),
        ("1 / 0", "own/module.py:3: ZeroDivisionError: division by zero"),
        ("from own import nothing", "own/module.py:3: cannot import name 'nothing' from 'own'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_problem_with_its_line_beside_all_others(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path, monkeypatch, code)
    values = small_values(rewards=["counting", "own.module"])
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (tmp_path / "second.yaml").write_text("taxonomy: [no_such_taxonomy]\n", encoding="utf-8")
    paths = [str(tmp_path / "first.yaml"), str(tmp_path / "second.yaml")]
    problems = check_paths(paths, scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    (first,) = [problem for problem in problems if problem.file == paths[0]]
    assert first.what.startswith(f"the scorer 'own.module' cannot be imported: {tmp_path}/{said}")
    assert any("no_such_taxonomy" in problem.what for problem in problems)


def test_a_run_that_stops_says_its_three_commonest_reasons_with_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(["one", *["four"] * 4, *["two"] * 2, *["nine"] * 9, *["three"] * 4])

    def score(*given: Any) -> Verdict:
        raise ValueError(next(calls))

    name = plant(monkeypatch, score=score, TARGET="image", JUDGES=frozenset())
    with pytest.raises(TooManyFailures) as caught:
        build_here(small_recipe(rewards=["counting", name], failure_limit=0.9), tmp_path / "run")
    reasons = ((9, "nine"), (4, "four"), (4, "three"))
    most = "; ".join(f"{name}: ValueError: {reason} ({count} times)" for count, reason in reasons)
    assert caught.value.what.endswith(f"Most often: {most}")
