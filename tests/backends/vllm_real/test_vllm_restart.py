"""An engine that dies is started again, and the next one is given what is unfinished. Needs no vLLM."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from datagen.backends.vllm.engine import Asked, Engine
from datagen.backends.vllm.options import VllmOptions
from datagen.errors import BackendError
from tests.helpers.tiny_models import make_requests


class EngineDeadError(Exception):
    pass


class Written:
    """What the engine gives back: the prompt and a 9."""

    finished = True

    def __init__(self, request_id: str, prompt: list[int]) -> None:
        self.request_id, self.token_ids = request_id, [*prompt, 9]
        self.outputs = [self]


class DyingLLM:
    """Answers the two oldest requests a step, the second first, and dies at the steps in `deaths`.

    Steps count over all engines. `given` has what each engine was given, and `aborted` what was taken out of them.
    """

    deaths: frozenset[int] = frozenset()
    steps = 0
    given: list[list[list[int]]] = []  # noqa: RUF012
    aborted: list[str] = []  # noqa: RUF012

    def __init__(self, model: str, **rest: Any) -> None:
        if model.endswith("missing"):
            raise ValueError(f"no such model: {model}\nand a long trace")
        self.given.append([])
        self.inside: dict[str, list[int]] = {}
        self.llm_engine = self
        self.vllm_config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=2))

    def add_request(self, request_id: str, prompt: dict[str, Any], params: Any) -> None:
        assert request_id not in self.inside
        self.given[-1].append(prompt["prompt_token_ids"])
        self.inside[request_id] = prompt["prompt_token_ids"]

    def abort_request(self, request_ids: list[str]) -> None:
        self.aborted.extend(request_ids)

    def step(self) -> list[Written]:
        type(self).steps += 1
        if self.steps in self.deaths:
            raise EngineDeadError
        return [Written(name, self.inside.pop(name)) for name in list(self.inside)[1::-1]]


def make_asked(count: int) -> list[Asked]:
    return [Asked(request, [k], None) for k, request in enumerate(make_requests(["a star"] * count, "think"))]


def run(engine: Engine, asked: Iterable[Asked | None]) -> list[tuple[int, list[int]] | None]:
    said = engine.stream_tokens(iter(asked))
    return [None if each is None else (each[0].prompt[0], each[1]) for each in said]


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> type[DyingLLM]:
    names = ("vllm", "vllm.v1", "vllm.v1.engine", "vllm.v1.engine.exceptions")
    modules = {name: ModuleType(name) for name in names}
    modules["vllm"].LLM = DyingLLM  # type: ignore[attr-defined]
    modules["vllm.v1.engine.exceptions"].EngineDeadError = EngineDeadError  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    DyingLLM.deaths, DyingLLM.steps, DyingLLM.given, DyingLLM.aborted = frozenset(), 0, [], []
    return DyingLLM


def open_engine(folder: Path, restarts: int = 1) -> Engine:
    return Engine(VllmOptions.parse({"model": str(folder), "restarts": restarts}))


def test_a_dead_engine_is_started_again_and_gets_what_is_unfinished(llm: type[DyingLLM], tmp_path: Path) -> None:
    llm.deaths = frozenset({2})
    said = run(open_engine(tmp_path), make_asked(6))
    assert said == [(k, [k, 9]) for k in (1, 0, 3, 2, 5, 4)]
    assert llm.given == [[[0], [1], [2], [3], [4], [5]], [[2], [3], [4], [5]]]
    assert llm.aborted == []


def test_deaths_are_counted_until_all_that_was_in_the_engine_is_answered(llm: type[DyingLLM], tmp_path: Path) -> None:
    llm.deaths = frozenset({1, 4, 7})  # two steps answer the four requests that the window holds
    assert len(run(open_engine(tmp_path), make_asked(12))) == 12
    llm.deaths, llm.steps = frozenset({1, 3}), 0
    with pytest.raises(BackendError, match="the vLLM engine died"):
        run(open_engine(tmp_path), make_asked(12))


def test_an_engine_that_keeps_dying_is_one_error(llm: type[DyingLLM], tmp_path: Path) -> None:
    llm.deaths = frozenset(range(100))
    with pytest.raises(BackendError, match="the vLLM engine died"):
        run(open_engine(tmp_path, restarts=2), make_asked(1))
    assert len(llm.given) == 3


def test_a_flow_takes_what_the_window_holds_and_no_more(llm: type[DyingLLM], tmp_path: Path) -> None:
    taken: list[int] = []

    def flow() -> Iterator[Asked]:
        for each in make_asked(9):
            taken.append(each.prompt[0])
            yield each

    said = open_engine(tmp_path).stream_tokens(flow())
    held = [len(taken) - came for came, _ in enumerate(said)]
    assert max(held) == 4
    assert len(taken) == len(held) == 9


def test_where_there_is_none_to_take_the_engine_goes_on_and_says_so_when_it_is_empty(
    llm: type[DyingLLM], tmp_path: Path
) -> None:
    first, second, third = make_asked(3)
    said = run(open_engine(tmp_path), [None, first, None, second, None, None, third])
    assert said == [None, (0, [0, 9]), (1, [1, 9]), None, (2, [2, 9])]


def test_a_caller_that_stops_leaves_nothing_in_the_engine(llm: type[DyingLLM], tmp_path: Path) -> None:
    said = open_engine(tmp_path).stream_tokens(iter(make_asked(9)))
    next(said)
    said.close()
    assert llm.aborted == ["0", "2", "3"], "0 is finished, but nobody took it"


def test_a_model_that_does_not_start_is_one_line(llm: type[DyingLLM]) -> None:
    with pytest.raises(BackendError) as caught:
        Engine(VllmOptions.parse({"model": "missing"}))
    assert caught.value.what == "vLLM cannot start the model: no such model: missing"
    assert llm.given == []
