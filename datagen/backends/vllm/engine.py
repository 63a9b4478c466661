"""One vLLM engine, started again when it dies; requests in, `RequestOutput`s out.

What a call was given is given to the new engine whole, so nothing is lost or kept twice. Prompts are token ids or chat
messages; the sampling spec is `datagen.chat.Sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datagen.backends.embedded.checkpoint_io import has_codec
from datagen.backends.vllm.options import VllmOptions
from datagen.chat import Message, Sampling
from datagen.errors import BackendError
from datagen.pictures import read_image


class Engine:
    """Holds a running `vllm.LLM`."""

    def __init__(self, options: VllmOptions) -> None:
        self.options = options
        self.joint = has_codec(Path(options.model))
        self._llm = self._start()

    def _start(self) -> Any:
        from vllm import LLM

        options = self.options
        given: dict[str, Any] = {"dtype": options.dtype, "max_model_len": options.max_model_len}
        if not self.joint:
            given["limit_mm_per_prompt"] = {"image": options.images_per_prompt}
        try:
            return LLM(model=options.model, **{**given, **options.engine})
        except (ValueError, RuntimeError, OSError, TypeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            hint = "is the name right, and does the model fit? see `engine:` for any argument of vllm.LLM"
            raise BackendError(f"vLLM cannot start the model: {first}", where=options.model, hint=hint) from error

    def continue_tokens(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any]) -> list[list[int]]:
        """Return the token ids written after each prompt."""
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._call(lambda llm: llm.generate(asked, list(sampling), use_tqdm=False))
        return [list(output.outputs[0].token_ids) for output in outputs]

    def chat(self, messages: Sequence[Sequence[Message]], sampling: Sequence[Sampling]) -> list[Any]:
        """Return one `CompletionOutput` for each conversation."""
        talks = [[_to_message(message) for message in talk] for talk in messages]
        params = [to_params(spec, self.options.thinking_tokens) for spec in sampling]
        told = self.options.template_kwargs or None
        outputs = self._call(lambda llm: llm.chat(talks, params, use_tqdm=False, chat_template_kwargs=told))
        return [output.outputs[0] for output in outputs]

    def _call(self, work: Callable[[Any], Any]) -> Any:
        """Run work on the engine; one that died is started again, `restarts` times a call."""
        from vllm.v1.engine.exceptions import EngineDeadError

        for turn in range(self.options.restarts + 1):
            try:
                return work(self._llm)
            except EngineDeadError as error:
                if turn == self.options.restarts:
                    hint = "finished shards are kept; the engine's own log says why it died"
                    raise BackendError("the vLLM engine died", where=self.options.model, hint=hint) from error
                self._llm = self._start()
        raise AssertionError("the last turn returns or raises")


def to_params(spec: Sampling, thinking_tokens: int = 0) -> Any:
    """Return a sampling spec as `vllm.SamplingParams`, with room for a thought before the answer."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    bound: dict[str, Any] = {}
    if spec.schema is not None:
        bound = {"json": dict(spec.schema), "disable_any_whitespace": True}  # else a weak model writes blanks for ever
    elif spec.choices:
        bound = {"choice": list(spec.choices)}
    return SamplingParams(
        temperature=spec.temperature,
        top_p=spec.top_p,
        max_tokens=spec.max_tokens + thinking_tokens,
        seed=spec.seed,
        logprobs=spec.top_logprobs or None,
        structured_outputs=StructuredOutputsParams(**bound) if bound else None,
    )


def _to_message(message: Message) -> dict[str, Any]:
    if all(not part.image for part in message.parts):
        return {"role": message.role, "content": "".join(part.text for part in message.parts)}
    parts: list[dict[str, Any]] = [
        {"type": "image_pil", "image_pil": read_image(part.image)}
        if part.image
        else {"type": "text", "text": part.text}
        for part in message.parts
    ]
    return {"role": message.role, "content": parts}
