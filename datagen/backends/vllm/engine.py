"""vLLM as a backend, with one engine that is restarted when it dies.

A joint checkpoint generates samples, and every model answers chats. After a restart the whole call is sent again, so no
request is lost or answered twice. Prompts are token ids or chat messages; sampling follows `datagen.chat.Sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.backends.vllm.options import VllmOptions
from datagen.chat import ChatRequest, Message, Reply, Sampling, Token, check_reply
from datagen.embedded.answers import IMAGE_TOKENS, Fitting, Reader, read_answer
from datagen.embedded.loading import has_codec, load_codec
from datagen.embedded.vocab import Vocabulary
from datagen.errors import BackendError, first_line
from datagen.pictures import read_image
from datagen.records import Failure, Request, Sample


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
            hint = "is the name right, and does the model fit? see `engine:` for any argument of vllm.LLM"
            raise BackendError(
                f"vLLM cannot start the model: {first_line(error)}", where=options.model, hint=hint
            ) from error

    def continue_tokens(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any]) -> list[list[int]]:
        """Return the token ids generated after each prompt."""
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
        """Run work on the engine; restart a dead one, at most `restarts` times for each call."""
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
        bound = {"json": dict(spec.schema), "disable_any_whitespace": True}  # or a weak model writes blanks for ever
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


ENGINE = "vllm/1"


class VllmBackend:
    """Generates samples with a joint checkpoint, and answers chats with any model.

    Each request has its own seed, but vLLM's batches change the last bits of logits: a sample usually, not always,
    repeats when other requests run beside it.
    """

    name = "vllm"
    lexicon = "pictograms"

    def __init__(self, options: VllmOptions) -> None:
        self.options = options
        self.engine = Engine(options)
        self.settings = options.model_dump(include={"model", "dtype", "temperature", "top_p", "max_tokens"})
        if self.engine.joint:
            from tokenizers import Tokenizer

            folder = Path(options.model)
            vocab = Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))
            self._reader = Reader(vocab, load_codec(folder), ENGINE, self.settings)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order. Raises BackendError for a model without images."""
        from vllm import SamplingParams

        if not self.engine.joint:
            what = "the model has no image tokenizer: there is no codec/ beside its weights"
            raise BackendError(what, where=self.options.model, hint="it can rewrite and judge, not generate images")
        fitting = Fitting.sort(self._reader.vocab, requests, self.options.max_tokens - IMAGE_TOKENS - 8)
        prompts, fits = fitting.ids, fitting.kept
        sampling = [
            SamplingParams(
                temperature=self.options.temperature,
                top_p=self.options.top_p,
                max_tokens=self.options.max_tokens - len(prompts[k]),
                seed=requests[k].seed,
                stop_token_ids=[self._reader.vocab.eos],
                detokenize=False,
            )
            for k in fits
        ]
        written = self.engine.continue_tokens([prompts[k] for k in fits], sampling) if fits else []
        answers = [read_answer(self._reader.vocab, ids) for ids in written]
        made = dict(zip(fits, self._reader.read([requests[k] for k in fits], answers), strict=True))
        yield from ({**made, **fitting.failures}[k] for k in range(len(requests)))

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; see `datagen.chat.ChatEngine`."""
        specs = [request.sampling for request in requests]
        outputs = self.engine.chat([request.messages for request in requests], specs)
        for output, spec in zip(outputs, specs, strict=True):
            tokens = tuple(
                _read_token(token, place) for token, place in zip(output.token_ids, output.logprobs or (), strict=False)
            )
            first = (tokens[0].logprobs or None) if tokens else None
            yield check_reply(Reply(output.text, output.finish_reason or "stop", first, tokens=tokens), spec)


def _read_token(written: int, place: Mapping[int, Any]) -> Token:
    """Return a generated token with the likeliest at its position, by text; of two with one text, the likelier."""
    ranked = sorted(place.items(), key=lambda item: -item[1].logprob)
    named: dict[str, float] = {}
    for token, entry in ranked:
        named.setdefault(entry.decoded_token or str(token), entry.logprob)
    said = place.get(written)
    return Token((said.decoded_token if said else None) or "", named)
