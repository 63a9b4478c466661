"""Step-by-step reflection for models that cannot reflect in one sequence: generate, look, criticise, generate again.

The parts of the criticism are those of IRG (arXiv 2509.06945): required improvements, step-by-step guidance, a final
prompt; the second image is generated from the final prompt. With `close`, a last criticism is about the last image; it
should find nothing to improve. Such samples have `switch: forced`, and `finish: length` if any step was cut off. An
error after the first image makes the sample a failure with its reason; if the model was not reached, the next run
repeats the sample from its start.

Not covered: editing the first image; a backend of its own can do this for models that edit.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from functools import cache
from typing import Any

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


Steps = Generator[Request | ChatRequest, "Sample | Failure | Reply", "Sample | Failure"]
"""A reflection as steps: yields what to ask, takes the answer, returns the sample or a failure that names the step."""


def reflect_in_steps(request: Request, *, rounds: int, max_tokens: int, close: bool = False) -> Steps:
    """Reflect about the image of one request; whoever runs the steps decides how the model is asked."""
    answer = yield replace(request, mode="think")
    if not isinstance(answer, Sample):
        assert isinstance(answer, Failure)
        return answer
    sample = answer
    for turn in range(1, rounds + 1 + close):
        reply = yield _ask(request, sample, turn, max_tokens)
        assert isinstance(reply, Reply)
        parts = _read(reply)
        if isinstance(parts, str):
            return Failure.unanswered(request, f"round {turn}: {parts}", unreached=reply.unreached)
        reflection = write_reflection(parts["improvements"], parts["guidance"], parts["final_prompt"])
        look, criticism = Segment("text", "look", text=parts["look"]), Segment("text", "reflect", text=reflection)
        if turn > rounds:
            closing = replace(look, role="closing look"), replace(criticism, role="close")
            finish = reply.finish if sample.finish == "stop" else sample.finish
            sample = replace(sample, finish=finish, segments=(*sample.segments, *closing))
            break
        answer = yield _redraw(request, parts["final_prompt"], turn)
        if not isinstance(answer, Sample) or answer.image is None:
            reason, unreached = (answer.error, answer.unreached) if isinstance(answer, Failure) else ("no image", False)
            what = f"round {turn}: the picture was not drawn again: {reason}"
            return Failure.unanswered(request, what, unreached=unreached)
        added = (look, criticism, Segment("image", "refined image", image=answer.image))
        finish = next((end for end in (sample.finish, reply.finish, answer.finish) if end != "stop"), "stop")
        sample = replace(sample, finish=finish, segments=(*sample.segments, *added))
    return replace(sample, mode=request.mode, switch="forced")


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
