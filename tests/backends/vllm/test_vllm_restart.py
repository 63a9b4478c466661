"""An engine that dies is started again, and what it was given is given to the next one whole. Needs no vLLM."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datagen.backends.vllm.engine import Engine
from datagen.backends.vllm.options import VllmOptions
from datagen.errors import BackendError


class EngineDeadError(Exception):
    pass


class Written:
    def __init__(self, ids: list[int]) -> None:
        self.outputs = [self]
        self.token_ids = ids


class DyingLLM:
    """Dies on the first `deaths` calls to any engine; keeps what each call was given."""

    deaths = 0
    started = 0
    given: list[list[dict[str, list[int]]]] = []  # noqa: RUF012

    def __init__(self, model: str, **rest: Any) -> None:
        if model.endswith("missing"):
            raise ValueError(f"no such model: {model}\nand a long trace")
        type(self).started += 1

    def generate(self, prompts: list[dict[str, list[int]]], params: list[Any], use_tqdm: bool) -> list[Written]:
        self.given.append(prompts)
        if len(self.given) <= self.deaths:
            raise EngineDeadError
        return [Written([*prompt["prompt_token_ids"], 9]) for prompt in prompts]


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> type[DyingLLM]:
    names = ("vllm", "vllm.v1", "vllm.v1.engine", "vllm.v1.engine.exceptions")
    modules = {name: ModuleType(name) for name in names}
    modules["vllm"].LLM = DyingLLM  # type: ignore[attr-defined]
    modules["vllm.v1.engine.exceptions"].EngineDeadError = EngineDeadError  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    DyingLLM.deaths, DyingLLM.started, DyingLLM.given = 0, 0, []
    return DyingLLM


def test_a_dead_engine_is_started_again_and_gets_everything(llm: type[DyingLLM], tmp_path: Path) -> None:
    llm.deaths = 1
    engine = Engine(VllmOptions.parse({"model": str(tmp_path)}))
    assert engine.continue_tokens([[1], [2, 3]], [None, None]) == [[1, 9], [2, 3, 9]]
    assert llm.started == 2
    assert llm.given[0] == llm.given[1]


def test_an_engine_that_keeps_dying_is_one_error(llm: type[DyingLLM], tmp_path: Path) -> None:
    llm.deaths = 99
    engine = Engine(VllmOptions.parse({"model": str(tmp_path), "restarts": 2}))
    with pytest.raises(BackendError, match="the vLLM engine died"):
        engine.continue_tokens([[1]], [None])
    assert llm.started == 3


def test_a_model_that_does_not_start_is_one_line(llm: type[DyingLLM]) -> None:
    with pytest.raises(BackendError) as caught:
        Engine(VllmOptions.parse({"model": "missing"}))
    assert caught.value.what == "vLLM cannot start the model: no such model: missing"
    assert llm.started == 0
