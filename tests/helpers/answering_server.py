"""A judge on loopback that knows what it thinks of a picture and answers in one of the ways that judges of 2026 have.

`Manner` says the way: what stands before the answer, whether and where it thinks, whether it gives log-probabilities.
It writes token by token: the answer is drawn from its probabilities by the seed of the request (the likeliest one at
temperature 0), `max_tokens` cuts it, `structured_outputs: choice` masks it as vLLM does, after which log-probabilities
sum to 1, and `enable_thinking: false` spares the thought.
"""

from __future__ import annotations

import base64
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.faulty_server import FaultyServer, chat_answer

LONG_THOUGHT = "No wait, let me count the stars again. One, two, no, " * 4 + "so it shows what was asked for."


@dataclass(frozen=True)
class Manner:
    """How a judge answers; probabilities of `yes_no` and `numbers` may sum to less than 1, the rest is said by none.

    `thinks` is where it thinks: `tags` (both of them), `closing` (the template wrote the opening one), `beside` (in
    `reasoning_content`, log-probabilities for both), `reasoning` (the same under its newer name), `hidden`.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    yes_no: Mapping[str, float] = field(default_factory=lambda: {"Yes": 0.9, "No": 0.08})
    numbers: Mapping[str, float] = field(default_factory=lambda: {"three": 0.9, "3": 0.05, "two": 0.04})
    thinks: str = ""
    thought: str = LONG_THOUGHT
    logprobs: bool = True

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, as `FaultyServer` sends it."""
        thinking = self.thinks and (body.get("chat_template_kwargs") or {}).get("enable_thinking") is not False
        likely = self.numbers if "How many" in _words(body) else self.yes_no
        choices = (body.get("structured_outputs") or {}).get("choice")
        before, after = self.before, self.after
        if choices:
            kept = {form: likely.get(form, 1e-9) for form in choices}
            likely, before, after = {form: p / sum(kept.values()) for form, p in kept.items()}, (), ()
        places = [{token: 0.97} for token in before] + [dict(likely)] + [{token: 0.97} for token in after]
        thought = _split(self.thought) if thinking else []
        if thinking and self.thinks in ("tags", "closing"):
            thought = [*(["<think>", "\n"] if self.thinks == "tags" else []), *thought, "</think>", "\n\n"]
        return self._write(body, [{token: 0.9} for token in thought], places)

    def _write(
        self, body: dict[str, Any], thought: list[dict[str, float]], places: list[dict[str, float]]
    ) -> dict[str, Any]:
        rng, most = random.Random(body.get("seed", 0)), body.get("max_tokens", 10**6)
        written = [_choose(place, body.get("temperature", 1.0), rng) for place in [*thought, *places]]
        cut, kept = len(written) > most, written[:most]
        inside = self.thinks in ("tags", "closing")
        content = "".join(kept if inside else kept[len(thought) :])
        beside = {"beside": "reasoning_content", "reasoning": "reasoning"}.get(self.thinks, "")
        message = {beside: "".join(kept[: len(thought)])} if beside and thought else {}
        answer = chat_answer(content or None, **message)
        choice = answer["choices"][0]
        choice["finish_reason"] = "length" if cut else "stop"
        if self.logprobs and body.get("logprobs"):
            shown = list(zip(kept, [*thought, *places], strict=False))
            choice["logprobs"] = {"content": [_show(token, likely) for token, likely in shown]}
        return answer


class AnsweringServer(FaultyServer):
    """A server that answers about each new picture in the next of its manners; open it with `with`."""

    def __init__(self, manners: Mapping[str, Manner]) -> None:
        super().__init__(answer=self._answer)
        self.manners = manners
        self.asked: dict[str, list[dict[str, Any]]] = {name: [] for name in manners}
        self._names: dict[str, str] = {}
        self._left = iter(manners)

    def name_of(self, image: bytes) -> str:
        """Return the name of the manner in which the server answered about a picture (PNG bytes)."""
        return self._names["data:image/png;base64," + base64.b64encode(image).decode()]

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        (picture,) = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if "image_url" in part]
        with self.lock:
            name = self._names.get(picture) or self._names.setdefault(picture, next(self._left))
            self.asked[name].append(body)
        return self.manners[name].answer(path, body)


def _words(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _split(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def _choose(likely: Mapping[str, float], temperature: float, rng: random.Random) -> str:
    if temperature == 0 or len(likely) == 1:
        return max(likely, key=lambda token: likely[token])
    return rng.choices([*likely], [*likely.values()])[0]


def _show(token: str, likely: Mapping[str, float]) -> dict[str, Any]:
    """Return a token as servers tell of it, with what else might have stood there."""
    others = {**likely, "The": 0.004, " ": 0.002}
    top = [{"token": name, "logprob": math.log(p), "bytes": None} for name, p in others.items()]
    return {"token": token, "logprob": math.log(likely[token]), "bytes": None, "top_logprobs": top}
