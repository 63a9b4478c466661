"""Asks a language model for rewrites and keeps every answer, so that the same plan comes out after a kill.

The answers to one batch of questions are one file, `rewrites/00003.jsonl`. Batches follow each other in the same order
each time the plan is drawn; what is there is read back, what is missing or was asked otherwise is asked again. What was
not answered since the model was not reached is no answer: the plan cannot be drawn without it, so it is asked again
here as long as that brings anything, and then by the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from datagen.chat import ChatEngine, ChatRequest, Reply, set_thought_aside
from datagen.config import Choice
from datagen.errors import BackendError, ConfigError
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
        """Yield one reply for each request, in order. Raises BackendError when the model is not reached."""
        batch, asked = self._batch, {_name(request): request for request in requests}
        self._batch += 1
        before = self._read(batch)
        kept = {rewrite.key: rewrite for rewrite in before if rewrite.key in asked}
        left, lost = {key: request for key, request in asked.items() if key not in kept}, ""
        while left:
            answered, lost = self._ask(left)
            kept |= answered
            left = {key: request for key, request in left.items() if key not in answered}
            if not answered:
                break
        rewrites = [kept[key] for key in asked if key in kept]
        if rewrites != before:
            self._run.folder.write_rewrites(batch, rewrites)
        if left:
            what = f"the model that rewrites was not reached for {len(left)} of {len(asked)} prompts: {lost}"
            hint = "what it answered is kept; the same command asks about the rest again"
            raise BackendError(what, where=str(self._run.folder), hint=hint)
        named = (kept[_name(request)] for request in requests)
        return (Reply(rewrite.text, rewrite.finish, error=rewrite.error) for rewrite in named)

    def _ask(self, requests: Mapping[str, ChatRequest]) -> tuple[dict[str, Rewrite], str]:
        """Return what was answered, by its key, and why something was not."""
        self._engine = self._engine or self._run.open_chat(self._choice)
        replies = [set_thought_aside(reply) for reply in self._engine.chat(list(requests.values()))]
        if len(replies) != len(requests):
            what = f"{self._choice.name!r} gave {len(replies)} answers to {len(requests)} questions"
            raise ConfigError(what, hint="an engine yields one reply for each request")
        answered = {
            key: Rewrite(key, reply.text[:MOST_CHARACTERS], reply.finish, reply.error[:MOST_CHARACTERS])
            for key, reply in zip(requests, replies, strict=True)
            if not reply.unreached
        }
        return answered, next((reply.error for reply in replies if reply.unreached), "")

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
