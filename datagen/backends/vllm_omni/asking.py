"""A request in vLLM-Omni's own terms: the prompt of a text-to-image task, and sampling parameters for each stage.

Two layouts are known. With two stages, a thinker writes text and hands its cache to a stage that draws; with one, the
drawing stage does both and is told to think by `extra_args`. Everything begins from the engine's own defaults.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from typing import Any

from datagen.backends.vllm_omni.options import OmniOptions
from datagen.records import Request


def find_think_template(options: OmniOptions) -> str:
    """Return what a model is asked in mode `think`: the recipe's words, else those of BAGEL's authors."""
    if options.think_template is not None:
        return options.think_template
    bagel = importlib.import_module("vllm_omni.model_executor.stage_input_processors.bagel")
    return f"<|im_start|>{bagel.GEN_THINK_SYSTEM_PROMPT}<|im_end|>{options.template}"


def make_prompt(template: str, options: OmniOptions, request: Request) -> dict[str, Any]:
    """Return the prompt of one request."""
    asked: dict[str, Any] = {"prompt": template.replace("{prompt}", request.prompt.text), "modalities": ["image"]}
    if negative := options.extra_args.get("negative_prompt"):
        asked["negative_prompt"] = negative  # the thinker, which reads it, sees no extra_args
    return asked


def make_params(defaults: Sequence[Any], options: OmniOptions, request: Request, hands_on_early: bool) -> list[Any]:
    """Return sampling parameters of each stage, changed copies of the engine's, all with the seed of the request.

    `hands_on_early` says that a thinker hands its cache on before it writes, and then stops by itself.
    """
    drawing = importlib.import_module("vllm_omni.inputs.data").OmniDiffusionSamplingParams
    thinks = request.mode == "think"
    params = [copy.deepcopy(stage) for stage in defaults]
    for stage in params:
        stage.seed = request.seed
        if not isinstance(stage, drawing):
            _set_writing(stage, options, thinks, hands_on_early)
            continue
        _set_drawing(stage, options)
        if len(params) == 1:
            stage.extra_args = {"max_think_tokens": options.max_tokens, **stage.extra_args, "think": thinks}
    return params


def _set_writing(stage: Any, options: OmniOptions, thinks: bool, hands_on_early: bool) -> None:
    """Let a thinker write; in mode `direct` one token, as what it hands on is its reading of the prompt."""
    if not hands_on_early:
        stage.max_tokens = options.max_tokens if thinks else 1
    stage.temperature = options.temperature
    stage.top_k = 0  # all tokens: the shipped files say 1, so that every thought on a prompt would be the same


def _set_drawing(stage: Any, options: OmniOptions) -> None:
    chosen = options.model_dump(include={"height", "width", "num_inference_steps"}, exclude_none=True)
    for name, value in chosen.items():
        setattr(stage, name, value)
    stage.num_outputs_per_prompt = 1
    stage.extra_args = {**(stage.extra_args or {}), **options.extra_args}
