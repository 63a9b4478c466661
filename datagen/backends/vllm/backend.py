"""vLLM as a backend: a joint checkpoint writes samples by itself, and every model answers chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from datagen.backends.embedded.answers import (
    IMAGE_TOKENS,
    draw_codes,
    list_segments,
    read_answer,
)
from datagen.backends.embedded.checkpoint_io import load_codec
from datagen.backends.embedded.vocab import Vocabulary
from datagen.backends.vllm.engine import Engine
from datagen.backends.vllm.options import VllmOptions
from datagen.chat import ChatRequest, Reply, check_reply
from datagen.errors import BackendError
from datagen.records import Failure, Request, Sample

ENGINE = "vllm/1"
PICTURES_AT_ONCE = 64


class VllmBackend:
    """Generates samples with a joint checkpoint, and answers chats with any model.

    Each request has its own seed, but vLLM's batches change the last bits of logits: a sample is likely, not sure, to
    come out the same in other company.
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
            self._vocab = Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))
            self._codec = load_codec(folder)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order. Raises BackendError for a model that cannot draw."""
        from vllm import SamplingParams

        if not self.engine.joint:
            what = "the model has no image tokenizer: there is no codec/ beside its weights"
            raise BackendError(what, where=self.options.model, hint="it can rewrite and judge, not draw")
        limit = self.options.max_tokens - IMAGE_TOKENS - 8
        prompts = [self._vocab.prompt_ids(request.prompt.text, request.mode) for request in requests]
        fits = [k for k, prompt in enumerate(prompts) if len(prompt) <= limit]
        sampling = [
            SamplingParams(
                temperature=self.options.temperature,
                top_p=self.options.top_p,
                max_tokens=self.options.max_tokens - len(prompts[k]),
                seed=requests[k].seed,
                stop_token_ids=[self._vocab.eos],
                detokenize=False,
            )
            for k in fits
        ]
        written = self.engine.continue_tokens([prompts[k] for k in fits], sampling) if fits else []
        answers = {k: read_answer(self._vocab, ids) for k, ids in zip(fits, written, strict=True)}
        codes = {k: answer.codes for k, answer in answers.items() if answer.codes is not None}
        images = draw_codes(self._codec, codes, PICTURES_AT_ONCE, "cpu")
        for k, request in enumerate(requests):
            if k not in answers:
                yield Failure.unanswered(
                    request, f"the prompt is {len(prompts[k])} tokens long; this model reads {limit}"
                )
            elif k not in images:
                yield Failure.unanswered(request, answers[k].problem, answers[k].plan or "")
            else:
                segments, finish = list_segments(answers[k], images[k]), answers[k].finish
                yield Sample.make(
                    request, segments, engine=ENGINE, switch="autonomous", finish=finish, settings=self.settings
                )

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; see `datagen.chat.ChatEngine`."""
        specs = [request.sampling for request in requests]
        outputs = self.engine.chat([request.messages for request in requests], specs)
        for output, spec in zip(outputs, specs, strict=True):
            first = output.logprobs[0] if output.logprobs else {}
            named = {entry.decoded_token or str(token): entry.logprob for token, entry in first.items()}
            yield check_reply(Reply(output.text, output.finish_reason or "stop", named or None), spec)
