"""Stands in for the packages `vllm_omni` 0.30.0 and `vllm`, which cannot be installed beside datagen's own tests.

What has the same names, signatures and shapes was read in these files of the wheel vllm_omni-0.30.0-py3-none-any.whl:

    vllm_omni/__init__.py                       `Omni`, which loads late
    vllm_omni/entrypoints/omni.py               `Omni.generate`: one list of parameters for all prompts; closes itself
    vllm_omni/entrypoints/omni_base.py          `Omni.__init__`, `close`, a length check before anything can close it
    vllm_omni/engine/omni_engine_base.py        `engine.pipeline_config`, the RuntimeError of a dead orchestrator
    vllm_omni/config/stage_config.py            `PipelineConfig.stages`, `StagePipelineConfig.omni_kv_config`
    vllm_omni/inputs/data.py                    `OmniDiffusionSamplingParams`
    vllm_omni/outputs/__init__.py               `OmniRequestOutput`; an output for each stage that ends in something
    vllm_omni/errors.py                         `OmniClientError`
    vllm_omni/diffusion/models/bagel/pipeline_bagel.py, diffusion/output_formatter.py      where a thought stands
    vllm_omni/model_executor/models/bagel/pipeline.py, deploy/bagel*.yaml                  the three layouts
    vllm_omni/model_executor/stage_input_processors/bagel.py                               `GEN_THINK_SYSTEM_PROMPT`

The names of vLLM are those of its `v1/engine/exceptions.py`, `sampling_params.py` and `outputs.py`. Only what the
backend uses is here. No model runs: a thought says what it was asked with, and a picture's colour is its seed's.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image

SYSTEM_PROMPT = "Plan first."
_PREFILL = {"need_send_cache": True, "kv_transfer_criteria": {"type": "prefill_finished"}}
LAYOUTS: dict[str, list[dict[str, Any] | None]] = {
    "bagel.yaml": [_PREFILL, {"need_recv_cache": True}],
    "bagel_think.yaml": [{"need_send_cache": True}, {"need_recv_cache": True}],
    "bagel_single_stage.yaml": [None],
}
"""`omni_kv_config` of each stage; the last one draws."""


class EngineDeadError(Exception):
    """Of vLLM: the engine is gone."""


class EngineGenerateError(Exception):
    """Of vLLM: one request failed."""


class OmniClientError(ValueError):
    """Of vLLM-Omni: a request that is wrong."""


@dataclass
class SamplingParams:
    """What a stage that writes takes; the defaults are those of bagel.yaml."""

    temperature: float = 0.4
    top_p: float = 0.9
    top_k: int = 1
    max_tokens: int | None = 2048
    seed: int | None = 52
    extra_args: dict[str, Any] | None = None


@dataclass
class OmniDiffusionSamplingParams:
    """What a stage that draws takes."""

    num_outputs_per_prompt: int = 1
    seed: int | None = 52
    height: int | None = None
    width: int | None = None
    num_inference_steps: int | None = None
    extra_args: dict[str, Any] = field(default_factory=dict)


@dataclass
class CompletionOutput:
    """What a stage wrote."""

    index: int
    text: str
    token_ids: list[int]
    finish_reason: str | None = None


@dataclass
class OmniRequestOutput:
    """What one stage gives back for one request."""

    request_id: str = ""
    outputs: list[CompletionOutput] = field(default_factory=list)
    finished: bool = True
    stage_id: int | None = None
    final_output_type: str = "text"
    images: list[Any] = field(default_factory=list)
    _multimodal_output: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def multimodal_output(self) -> Any:
        return self._multimodal_output


@dataclass
class World:
    """What happened, and what is to go wrong: `fails` gets a prompt and how many were asked so far, and may raise."""

    fails: Callable[[str, int], None] = lambda text, asked: None
    change: Callable[[list[OmniRequestOutput]], list[OmniRequestOutput]] = lambda outputs: outputs
    started: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[dict[str, Any], list[Any]]] = field(default_factory=list)
    closed: int = 0
    start_fails: str = ""


class Omni:
    """The engine, without one."""

    world: ClassVar[World]

    def __init__(self, model: str, **kwargs: Any) -> None:
        assert all(engine.is_closed for engine in self.alive), "two engines at once do not fit into a GPU"
        self.world.started.append({"model": model, **kwargs})
        if self.world.start_fails:
            raise RuntimeError(self.world.start_fails)
        layout = LAYOUTS[kwargs.get("deploy_config") or "bagel.yaml"]
        stages = tuple(SimpleNamespace(omni_kv_config=config) for config in layout)
        self.engine = SimpleNamespace(pipeline_config=SimpleNamespace(stages=stages))
        self.default_sampling_params_list: list[Any] = [SamplingParams() for _ in layout[1:]]
        self.default_sampling_params_list.append(OmniDiffusionSamplingParams())
        self.is_closed: bool = False
        self.alive.append(self)

    alive: ClassVar[list[Omni]]

    def generate(
        self,
        prompts: Any,
        sampling_params_list: Any = None,
        *,
        py_generator: bool = False,
        use_tqdm: bool | Callable[..., Any] = True,
    ) -> Generator[OmniRequestOutput, None, None] | list[OmniRequestOutput]:
        params = self.default_sampling_params_list if sampling_params_list is None else sampling_params_list
        if len(params) != len(self.default_sampling_params_list):  # outside of what closes the engine
            raise ValueError(f"Expected {len(self.default_sampling_params_list)} sampling params, got {len(params)}")
        try:
            if self.is_closed:
                raise RuntimeError("Orchestrator died unexpectedly. See logs above.")
            assert not py_generator, "a generator's errors come too late for the engine to close itself"
            requests = prompts if isinstance(prompts, Sequence) and not isinstance(prompts, str) else [prompts]
            return [output for k, prompt in enumerate(requests) for output in self._run(k, prompt, params)]
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        self.world.closed += not self.is_closed
        self.is_closed = True

    def _run(self, index: int, prompt: dict[str, Any], params: Sequence[Any]) -> list[OmniRequestOutput]:
        self.world.asked.append((prompt, list(params)))
        self.world.fails(prompt["prompt"], len(self.world.asked))
        request_id = f"{index}_{uuid.uuid4()}"
        *writing, drawing = params
        assert isinstance(drawing, OmniDiffusionSamplingParams)
        assert drawing.seed is not None
        outputs = []
        for stage in writing:
            text = f"<think>\nI was asked {prompt['prompt']} at {stage.temperature}, seed {stage.seed}.\n</think>"
            reason, words = ("length", text[: stage.max_tokens]) if stage.max_tokens < len(text) else ("stop", text)
            completions = [CompletionOutput(0, words, [0], reason)]
            outputs.append(OmniRequestOutput(request_id, completions, stage_id=0))
        metadata: dict[str, Any] = {}
        if not writing and drawing.extra_args.get("think"):
            metadata["text"] = {"think_text": f"<think>I was asked {prompt['prompt']}.</think>"}
        colour = (drawing.seed % 251, drawing.seed % 241, drawing.seed % 239)
        picture = Image.new("RGB", (drawing.width or 64, drawing.height or 64), colour)
        beside = {"metadata": metadata} if metadata else {}
        outputs.append(
            OmniRequestOutput(
                request_id,
                stage_id=len(writing),
                final_output_type="image",
                images=[picture] * drawing.num_outputs_per_prompt,
                _multimodal_output=beside,
            )
        )
        return self.world.change(outputs)


def install(monkeypatch: pytest.MonkeyPatch) -> World:
    """Put the stand-in where imports find it, for one test; what is returned says what happened and may be changed."""
    world = World()
    monkeypatch.setattr(Omni, "world", world, raising=False)
    monkeypatch.setattr(Omni, "alive", [], raising=False)
    named: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": SamplingParams},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.exceptions": {
            "EngineDeadError": EngineDeadError,
            "EngineGenerateError": EngineGenerateError,
        },
        "vllm_omni": {"Omni": Omni, "__version__": "0.30.0"},
        "vllm_omni.inputs": {},
        "vllm_omni.inputs.data": {"OmniDiffusionSamplingParams": OmniDiffusionSamplingParams},
        "vllm_omni.model_executor": {},
        "vllm_omni.model_executor.stage_input_processors": {},
        "vllm_omni.model_executor.stage_input_processors.bagel": {"GEN_THINK_SYSTEM_PROMPT": SYSTEM_PROMPT},
    }
    for name, values in named.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return world
