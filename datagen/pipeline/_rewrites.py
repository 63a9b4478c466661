"""Asks a language model for rewrites and keeps every answer, so that the same plan comes out after a kill.

The answers to one batch of questions are one file, `rewrites/00003.jsonl`. Batches follow each other in the same order
each time the plan is drawn; what is there is read back, what is missing or was asked otherwise is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datagen.chat import ChatEngine, ChatRequest, Reply
from datagen.config import Choice
from datagen.errors import ConfigError
from datagen.pipeline._run import Run
from datagen.records import Rewrite, hash_of

MOST_CHARACTERS = 20_000
"""What is kept of one answer; more is cut, and the cut answer is refused like any other that is too long."""


class Recorder:
    """An engine's answers by batch: from the run folder where they are, else from the engine, loaded late."""

    def __init__(self, run: Run, choice: Choice) -> None:
        self._run, self._choice, self._batch = run, choice, 0
        self._engine: ChatEngine | None = None

    def __call__(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order."""
        batch, keys = self._batch, [_name(request) for request in requests]
        self._batch += 1
        kept = self._read(batch)
        if [rewrite.key for rewrite in kept] != keys:
            kept = [
                Rewrite(key, reply.text[:MOST_CHARACTERS], reply.finish, reply.error[:MOST_CHARACTERS])
                for key, reply in zip(keys, self._ask(requests), strict=True)
            ]
            self._run.folder.write_rewrites(batch, kept)
        return (Reply(rewrite.text, rewrite.finish, error=rewrite.error) for rewrite in kept)

    def _ask(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        self._engine = self._engine or self._run.open_chat(self._choice)
        replies = list(self._engine.chat(requests))
        if len(replies) != len(requests):
            what = f"{self._choice.name!r} gave {len(replies)} answers to {len(requests)} questions"
            raise ConfigError(what, hint="an engine yields one reply for each request")
        return replies

    def _read(self, batch: int) -> list[Rewrite]:
        folder = self._run.folder
        if batch not in folder.list_shards("rewrites") or folder.find_damage("rewrites", [batch]):
            return []
        return folder.read_rewrites(batch)


def _name(request: ChatRequest) -> str:
    """Return the hash of a question and of how it is to be answered."""
    sampling = request.sampling
    words = [[message.role, *(part.text for part in message.parts)] for message in request.messages]
    how = [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, sampling.schema]
    return hash_of(words, how)
