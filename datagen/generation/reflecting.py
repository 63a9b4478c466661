"""Step-by-step reflection for models that cannot reflect in one sequence: generate, look, criticise, generate again.

The parts of the criticism are those of IRG (arXiv 2509.06945): required improvements, step-by-step guidance, a final
prompt; the second image is generated from the final prompt. Such samples have `switch: forced`, and `finish: length` if
any step was cut off. An error after the first image makes the sample a failure with its reason; if the model was not
reached, the next run repeats the sample from its start.

Not covered: editing the first image; a backend of its own can do this for models that edit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling, check_reply
from datagen.plugins import shipped_path
from datagen.records import Failure, Request, Sample, Segment, seed_of, write_reflection

_PARTS = ("look", "improvements", "guidance", "final_prompt")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in _PARTS},
    "required": list(_PARTS),
    "additionalProperties": False,
}
"""JSON Schema of a criticism."""
MOST_CHARACTERS = 8000
"""Most characters of a criticism."""


class Drawing(Protocol):
    """A backend that generates images and chats about them."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request."""

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order."""


def drive_reflection(
    backend: Drawing, requests: Sequence[Request], *, rounds: int, max_tokens: int
) -> Iterator[Sample | Failure]:
    """Yield a sample with a refined image for each request, in order, or a failure that names the step."""
    first = {(a.prompt_id, a.candidate): a for a in backend.generate([replace(r, mode="think") for r in requests])}
    made: dict[int, Sample | Failure] = {}
    for k, request in enumerate(requests):
        answer = first.get((request.prompt.id, request.candidate))
        made[k] = answer or Failure.unanswered(request, "the backend gave no answer")
    for turn in range(1, rounds + 1):
        going = {k: sample for k, sample in made.items() if isinstance(sample, Sample)}
        made |= _reflect_once(backend, requests, going, turn, max_tokens)
    for k, request in enumerate(requests):
        sample = made[k]
        yield replace(sample, mode=request.mode, switch="forced") if isinstance(sample, Sample) else sample


def _reflect_once(
    backend: Drawing, requests: Sequence[Request], samples: dict[int, Sample], turn: int, max_tokens: int
) -> dict[int, Sample | Failure]:
    """Return each sample with another look, criticism and image."""
    keys = list(samples)
    asked = [_ask(requests[k], samples[k], turn, max_tokens) for k in keys]
    replies = dict(zip(keys, backend.chat(asked), strict=True))
    criticisms = {k: _read(reply) for k, reply in replies.items()}
    told = {k: parts for k, parts in criticisms.items() if not isinstance(parts, str)}
    again = [_redraw(requests[k], parts["final_prompt"], turn) for k, parts in told.items()]
    drawn = {(a.prompt_id, a.candidate): a for a in backend.generate(again)} if again else {}
    made: dict[int, Sample | Failure] = {}
    for k in keys:
        step = f"round {turn}"
        if isinstance(parts := criticisms[k], str):
            made[k] = Failure.unanswered(requests[k], f"{step}: {parts}", unreached=replies[k].unreached)
            continue
        answer = drawn.get((requests[k].prompt.id, requests[k].candidate))
        if not isinstance(answer, Sample) or answer.image is None:
            reason, unreached = (answer.error, answer.unreached) if isinstance(answer, Failure) else ("no image", False)
            what = f"{step}: the picture was not drawn again: {reason}"
            made[k] = Failure.unanswered(requests[k], what, unreached=unreached)
            continue
        reflection = write_reflection(parts["improvements"], parts["guidance"], parts["final_prompt"])
        added = (
            Segment("text", "look", text=parts["look"]),
            Segment("text", "reflect", text=reflection),
            Segment("image", "refined image", image=answer.image),
        )
        ends = (samples[k].finish, replies[k].finish, answer.finish)
        finish = next((end for end in ends if end != "stop"), "stop")
        made[k] = replace(samples[k], finish=finish, segments=(*samples[k].segments, *added))
    return made


def _ask(request: Request, sample: Sample, turn: int, max_tokens: int) -> ChatRequest:
    words = _template().render(prompt=request.prompt.text)
    seed = seed_of(request.seed, "reflect", turn)
    parts = (Part(image=sample.image or b""), Part(text=words))
    return ChatRequest((Message("user", parts),), Sampling(1.0, max_tokens=max_tokens, seed=seed, schema=SCHEMA))


def _redraw(request: Request, prompt: str, turn: int) -> Request:
    text = replace(request.prompt, text=prompt)
    return replace(request, prompt=text, mode="direct", seed=seed_of(request.seed, "redraw", turn))


def _read(reply: Reply) -> dict[str, str] | str:
    """Return the parts of a criticism, or why there is none."""
    reply = check_reply(reply, Sampling(schema=SCHEMA))
    if reply.error:
        return f"the model does not reflect: {reply.error}"
    if len(reply.text) > MOST_CHARACTERS:
        return f"the reflection has {len(reply.text):,} characters; at most {MOST_CHARACTERS:,} are kept"
    parts: dict[str, str] = json.loads(reply.text)
    return parts if parts["final_prompt"].strip() else "the reflection has no final prompt"


@cache
def _template() -> Template:
    path = shipped_path("templates", "reflecting", "reflect.j2")
    return ImmutableSandboxedEnvironment().from_string(path.read_text(encoding="utf-8"))
