"""The toolkit drives a reflection: five segments, forced, and a step that goes wrong is a failure with its name."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from datagen.backends.openai import build
from datagen.chat import ChatRequest, Reply, check_reply
from datagen.generation.reflecting import MOST_CHARACTERS, reflect_in_steps
from datagen.pictures import from_data_url
from datagen.records import Failure, Prompt, Request, Sample, Segment
from tests.helpers.faulty_server import FaultyServer, chat_answer
from tests.helpers.picture_kinds import KINDS, is_seen, pixels_of

PARTS = {
    "look": "two stars",
    "improvements": "one more star",
    "guidance": "draw it left",
    "final_prompt": "three stars",
}


@dataclass
class Scripted:
    """Draws its prompt as bytes; answers each chat with the next of `replies`, or with PARTS."""

    replies: dict[int, Reply] = field(default_factory=dict)
    undrawn: str = ""
    asked: list[ChatRequest] = field(default_factory=list)
    drawn: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        for request in requests:
            self.drawn.append(request)
            if request.prompt.text == self.undrawn:
                yield Failure.unanswered(request, "the canvas is torn")
                continue
            think = (Segment("text", "think", text="a plan"),) if request.mode == "think" else ()
            image = Segment("image", "image", image=request.prompt.text.encode())
            yield Sample.make(
                request, (*think, image), engine="scripted", switch="autonomous", finish="stop", settings={}
            )

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        for request in requests:
            reply = self.replies.get(len(self.asked), Reply(json.dumps(PARTS)))
            self.asked.append(request)
            yield check_reply(reply, request.sampling)


def make_requests(count: int = 2) -> list[Request]:
    where = {"weakness": "w", "skill": "s", "level": "easy", "seed": 0, "template": "t"}
    prompts = [Prompt.make(f"prompt {k}", (), index=k, **where) for k in range(count)]
    return [Request(prompt, 0, 100 + k, "reflect") for k, prompt in enumerate(prompts)]


def drive(backend: Scripted, rounds: int = 1, count: int = 2) -> list[Sample | Failure]:
    return [reflect(backend, request, rounds) for request in make_requests(count)]


def reflect(backend: Scripted, request: Request, rounds: int = 1, close: bool = False) -> Sample | Failure:
    """Take each step of a reflection with the scripted model."""
    steps = reflect_in_steps(request, rounds=rounds, max_tokens=300, close=close)
    asked = next(steps)
    while True:
        (answer,) = backend.generate([asked]) if isinstance(asked, Request) else backend.chat([asked])
        try:
            asked = steps.send(answer)
        except StopIteration as end:
            made: Sample | Failure = end.value
            return made


def test_a_sample_has_five_segments_and_says_that_it_was_driven() -> None:
    backend = Scripted()
    first, second = drive(backend)
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert [s.role for s in first.segments] == ["think", "image", "look", "reflect", "refined image"]
    assert (first.mode, first.switch, first.seed) == ("reflect", "forced", 100)
    assert first.segments[1].image == b"prompt 0"
    assert first.segments[4].image == b"three stars"
    assert first.segments[3].text.splitlines() == [
        "Required improvements: one more star",
        "Final prompt: three stars",
        "Step-by-step guidance: draw it left",
    ]
    assert backend.asked[0].messages[0].parts[0].image == b"prompt 0"
    assert "prompt 0" in backend.asked[0].messages[0].parts[1].text
    assert len({request.seed for request in backend.drawn}) == 4


def test_rounds_follow_each_other_on_the_last_image() -> None:
    backend = Scripted()
    (sample,) = drive(backend, rounds=3, count=1)
    assert isinstance(sample, Sample)
    assert [s.role for s in sample.segments].count("refined image") == 3
    assert [chat.messages[0].parts[0].image for chat in backend.asked] == [b"prompt 0", b"three stars", b"three stars"]
    assert len({chat.sampling.seed for chat in backend.asked}) == 3


def test_a_closing_look_is_about_the_last_image_and_draws_nothing() -> None:
    nothing = Reply(json.dumps({**PARTS, "look": "three stars", "improvements": "none"}))
    backend = Scripted({1: nothing})
    sample = reflect(backend, make_requests(1)[0], close=True)
    assert isinstance(sample, Sample)
    roles = ["think", "image", "look", "reflect", "refined image", "closing look", "close"]
    assert [s.role for s in sample.segments] == roles
    assert [segment.text.splitlines()[0] for segment in sample.segments[-2:]] == [
        "three stars",
        "Required improvements: none",
    ]
    assert [chat.messages[0].parts[0].image for chat in backend.asked] == [b"prompt 0", b"three stars"]
    assert len(backend.drawn) == 2
    assert sample.image == b"three stars"
    failed = reflect(Scripted({1: Reply("{}")}), make_requests(1)[0], close=True)
    assert isinstance(failed, Failure)
    assert failed.error.startswith("round 2: the model does not reflect")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("no JSON"), "round 1: the model does not reflect: the engine ignores the schema"),
        (Reply("", "error", error="HTTP 500"), "round 1: the model does not reflect: HTTP 500"),
        (Reply(json.dumps({**PARTS, "look": "x" * MOST_CHARACTERS})), "round 1: the reflection has"),
        (Reply(json.dumps({**PARTS, "final_prompt": " "})), "round 1: the reflection has no final prompt"),
    ],
)
def test_a_criticism_that_cannot_be_used_fails_its_own_sample_alone(reply: Reply, reason: str) -> None:
    bad, good = drive(Scripted({0: reply}))
    assert isinstance(bad, Failure)
    assert bad.error.startswith(reason)
    assert isinstance(good, Sample)


def test_an_image_that_is_not_drawn_fails_with_the_step() -> None:
    first, second = drive(Scripted(undrawn="prompt 1"))
    assert isinstance(first, Sample)
    assert isinstance(second, Failure)
    assert second.error == "the canvas is torn"
    for answer in drive(Scripted(undrawn="three stars")):
        assert isinstance(answer, Failure)
        assert answer.error == "round 1: the picture was not drawn again: the canvas is torn"


def test_a_model_looks_at_its_picture_as_it_will_be_stored() -> None:
    """A server's picture that EXIF turns, with metadata, comes back to it upright and bare."""
    turned, seen, off = KINDS["a turned JPEG"]
    looked: list[bytes] = []

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        content = body["messages"][0]["content"]
        if isinstance(content, list):
            looked.append(from_data_url(content[0]["image_url"]["url"]))
            return chat_answer(json.dumps(PARTS))
        picture = "data:image/jpeg;base64," + base64.b64encode(turned).decode()
        return chat_answer([{"type": "text", "text": "a plan"}, {"type": "image_url", "image_url": {"url": picture}}])

    with FaultyServer(answer=answer) as server:
        (made,) = build({"base_url": server.url, "model": "tiny"}).generate(make_requests(1))
    assert isinstance(made, Sample)
    assert [is_seen(pixels_of(image), seen, off) for image in looked] == [True]
