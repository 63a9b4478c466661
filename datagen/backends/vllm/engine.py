"""vLLM as a backend, with one engine that is restarted when it dies.

A joint checkpoint generates samples: the engine is fed and stepped, so that its batch never drains while there are
requests. Every model answers chats, a call at a time. After a restart what is unfinished is sent again, so no request
is lost or answered twice. Prompts are token ids or chat messages; sampling follows `datagen.chat.Sampling`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from datagen.backends.vllm.options import VllmOptions
from datagen.chat import ChatRequest, Message, Reply, Sampling, Token, check_reply
from datagen.embedded.answers import IMAGE_TOKENS, Answer, Fitting, Reader, read_answer
from datagen.embedded.loading import has_codec, load_codec
from datagen.embedded.vocab import Vocabulary
from datagen.errors import BackendError, first_line
from datagen.pictures import read_image
from datagen.records import Failure, Request, Sample

QUIET_SECONDS = 0.5
"""A flow says after this time that nothing has come, and no answer waits longer for others to be decoded with."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its prompt as token ids and its `vllm.SamplingParams`."""

    request: Request
    prompt: Sequence[int]
    sampling: Any


class Engine:
    """Holds a running `vllm.LLM`; one flow or one chat uses it at a time."""

    def __init__(self, options: VllmOptions) -> None:
        self.options = options
        self.joint = has_codec(Path(options.model))
        self.llm = self._start()

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

    @property
    def window(self) -> int:
        """Most requests in the engine: two for each of its slots, so that a slot that falls free is taken at once."""
        return 2 * int(self.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)

    def stream_tokens(self, asked: Iterator[Asked | None]) -> Iterator[tuple[Asked, list[int]] | None]:
        """Yield what was asked with the token ids generated after it, as they come; None when it has been quiet.

        `asked` yields None when there is none to take now. A dead engine is restarted, at most `restarts` times before
        all that was in it has been answered. What is unfinished when the caller stops is taken out of the engine.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        inside: dict[str, Asked] = {}
        unsent: deque[str] = deque()
        window, numbers, more, heard = self.window, count(), True, time.monotonic()
        deaths, owed = 0, set[str]()  # `owed` was in the engine when it last died
        try:
            while more or inside:
                if more and len(inside) < window:
                    for each in asked:
                        if each is not None:
                            unsent.append(str(next(numbers)))
                            inside[unsent[-1]] = each
                        if each is None or len(inside) == window:
                            break
                    else:
                        more = False
                if not inside:
                    if more:
                        yield None
                    continue
                try:
                    while unsent:
                        self._add(unsent[0], inside[unsent[0]])
                        unsent.popleft()
                    finished = [output for output in self.llm.llm_engine.step() if output.finished]
                except EngineDeadError as error:
                    self._restart(deaths, error)
                    deaths, owed, unsent = deaths + 1, set(inside), deque(inside)
                    continue
                for output in finished:
                    owed.discard(output.request_id)
                    yield inside.pop(output.request_id), list(output.outputs[0].token_ids)
                deaths = deaths if owed else 0
                if finished:
                    heard = time.monotonic()
                elif time.monotonic() - heard >= QUIET_SECONDS:
                    yield None
                    heard = time.monotonic()
        finally:
            if inside:
                self.llm.llm_engine.abort_request(list(inside))

    def _add(self, name: str, asked: Asked) -> None:
        tokens = {"type": "token", "prompt_token_ids": list(asked.prompt)}
        self.llm.llm_engine.add_request(name, tokens, asked.sampling)

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

        for deaths in count():
            try:
                return work(self.llm)
            except EngineDeadError as error:
                self._restart(deaths, error)
        raise AssertionError("the last turn returns or raises")

    def _restart(self, deaths: int, error: Exception) -> None:
        """Replace an engine that has died, and `deaths` times before. Raises BackendError if that was too often."""
        if deaths == self.options.restarts:
            hint = "what was answered is kept; the engine's own log says why it died"
            raise BackendError("the vLLM engine died", where=self.options.model, hint=hint) from error
        self.llm = self._start()


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
READ_TOGETHER = 16
"""Images that are decoded in one batch."""


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
            self._reader = Reader(vocab, load_codec(folder), ENGINE, self.settings, batch=READ_TOGETHER)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order. Raises BackendError for a model without images."""
        answers = [answer for answer in self.stream(iter(requests)) if answer is not None]
        made = {(answer.prompt_id, answer.candidate): answer for answer in answers}
        yield from (made[request.prompt.id, request.candidate] for request in requests)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request as they come; None when nothing has come for half a second.

        Pictures are decoded together, a whole batch or what has come in half a second. Raises BackendError for a model
        without images.
        """
        if not self.engine.joint:
            what = "the model has no image tokenizer: there is no codec/ beside its weights"
            raise BackendError(what, where=self.options.model, hint="it can rewrite and judge, not generate images")
        refused: list[Failure] = []
        written: list[tuple[Request, Answer]] = []
        since = time.monotonic()
        for said in self.engine.stream_tokens(self.ask(requests, refused)):
            if said is not None:
                since = since if written else time.monotonic()
                written.append((said[0].request, read_answer(self._reader.vocab, said[1])))
            elif not written and not refused:
                yield None
            if said is None or len(written) == READ_TOGETHER or time.monotonic() - since >= QUIET_SECONDS:
                yield from self._read(written, refused)
        yield from self._read(written, refused)

    def ask(self, requests: Iterator[Request | None], refused: list[Failure]) -> Iterator[Asked | None]:
        """Yield requests as prompts, and put failures for those that leave no room for an answer into `refused`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        options, vocab = self.options, self._reader.vocab
        for request in requests:
            if request is None:
                yield None
                continue
            fitting = Fitting.sort(vocab, [request], options.max_tokens - IMAGE_TOKENS - 8)
            refused += fitting.failures.values()
            for k in fitting.kept:
                sampling = SamplingParams(
                    temperature=options.temperature,
                    top_p=options.top_p,
                    max_tokens=options.max_tokens - len(fitting.ids[k]),
                    seed=request.seed,
                    stop_token_ids=[vocab.eos],
                    detokenize=False,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                yield Asked(request, fitting.ids[k], sampling)

    def _read(self, written: list[tuple[Request, Answer]], refused: list[Failure]) -> Iterator[Sample | Failure]:
        """Empty both lists and yield what they hold as samples and failures."""
        said, failures = tuple(written), tuple(refused)
        written.clear()
        refused.clear()
        yield from failures
        with _one_thread():
            samples = list(self._reader.read([request for request, _ in said], [answer for _, answer in said]))
        yield from samples

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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one core: on processors the engine has the others, and threads would wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read_token(written: int, place: Mapping[int, Any]) -> Token:
    """Return a generated token with the likeliest at its position, by text; of two with one text, the likelier."""
    ranked = sorted(place.items(), key=lambda item: -item[1].logprob)
    named: dict[str, float] = {}
    for token, entry in ranked:
        named.setdefault(entry.decoded_token or str(token), entry.logprob)
    said = place.get(written)
    return Token((said.decoded_token if said else None) or "", named)
