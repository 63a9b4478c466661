"""vLLM as a backend: a joint checkpoint writes samples by itself, and every model answers chats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.backends.embedded.answers import IMAGE_TOKENS, Fitting, Reader, read_answer
from datagen.backends.embedded.checkpoint_io import load_codec
from datagen.backends.embedded.vocab import Vocabulary
from datagen.backends.vllm.engine import Engine
from datagen.backends.vllm.options import VllmOptions
from datagen.chat import ChatRequest, Reply, Token, check_reply
from datagen.errors import BackendError
from datagen.records import Failure, Request, Sample

ENGINE = "vllm/1"


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
            vocab = Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))
            self._reader = Reader(vocab, load_codec(folder), ENGINE, self.settings)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order. Raises BackendError for a model that cannot draw."""
        from vllm import SamplingParams

        if not self.engine.joint:
            what = "the model has no image tokenizer: there is no codec/ beside its weights"
            raise BackendError(what, where=self.options.model, hint="it can rewrite and judge, not draw")
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
    """Return a written token with the likeliest at its place, by their text; of two with one text, the likelier."""
    ranked = sorted(place.items(), key=lambda item: -item[1].logprob)
    named: dict[str, float] = {}
    for token, entry in ranked:
        named.setdefault(entry.decoded_token or str(token), entry.logprob)
    said = place.get(written)
    return Token((said.decoded_token if said else None) or "", named)
