"""A server as a backend: requests become HTTP requests, answers become samples, and each one fails alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from datagen.backends.openai.line import Line
from datagen.backends.openai.options import OpenAIOptions
from datagen.backends.openai.refusals import Refusals
from datagen.backends.openai.transport import (
    CHAT,
    IMAGES,
    AnswerError,
    RequestError,
    Transport,
    read_drawing,
    read_image,
    read_reply,
    require_willing,
)
from datagen.chat import ChatRequest, Message, Reply, check_reply, explain_cut
from datagen.errors import BackendError
from datagen.generation.reflecting import reflect_in_steps
from datagen.pictures import normalise, to_data_url
from datagen.records import Failure, Request, Sample, Segment
from datagen.usage import Usage

PLAN_FIRST = (
    "Think about the picture before it is drawn: name every object with its colour, how many there are, and where each "
    "one is. Answer with the plan alone."
)
"""System message of the request for a plan (`think: driven`)."""
NOT_OF_A_SAMPLE = {
    "base_url",
    "api_key_env",
    "lexicon",
    "concurrency",
    "retries",
    "timeout_seconds",
    "max_wait_seconds",
    "max_answer_bytes",
}
"""Options that say where a server is and how requests are sent; they do not change what it answers."""


class OpenAIBackend:
    """Generates samples and answers chats over HTTP. A seed gives the same sample again if the server honours seeds."""

    name = "openai"

    def __init__(self, options: OpenAIOptions) -> None:
        if options.api == "images" and options.think == "driven":
            raise BackendError("backend option 'think': driven needs api: chat", hint="/images has no text to drive")
        self.options = options
        self.lexicon = options.lexicon
        left_out = NOT_OF_A_SAMPLE | ({"thinking"} if options.thinking is None else set())
        self.settings = options.model_dump(exclude=left_out)
        self.line = Line(options, Refusals({*options.extra_body, *options.think_body}))

    @property
    def progress(self) -> str:
        """How many requests may be open, with `concurrency: auto`."""
        return f"{self.line.fleet.limit} open" if self.options.concurrency == "auto" else ""

    @property
    def usage(self) -> Usage:
        """What the servers were asked for so far, in tokens as they count them."""
        return self.line.transport.usage

    def check_server(self) -> None:
        """Raise BackendError when no server answers, or one refuses the key or does not have the model."""

        async def check(transport: Transport, nothing: int) -> None:
            await transport.check()

        for _ in self.line.run(check, [0]):
            pass

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield answers as they come, each slot taking the next request at once; see `datagen.pipeline.flow`."""
        return self.line.flow(self._generate, requests)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request, in order. Raises BackendError when the key is refused."""
        return self.line.run(self._generate, requests)

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; see `datagen.chat.ChatEngine`."""
        return self.stream_chat(requests)

    def stream_chat(self, requests: Iterable[ChatRequest | None]) -> Iterator[Reply]:
        """Yield one reply for each request, in order, taking each when there is room; see `StreamingChat`."""
        return self.line.run(self._answer, requests)

    async def _generate(self, transport: Transport, request: Request) -> Sample | Failure:
        """Return a sample or a failure. The toolkit drives a reflection: no server writes two images in one answer."""
        if request.mode != "reflect":
            return await self._make(transport, request)
        most = self.options.max_tokens or 2048
        options = self.options
        steps = reflect_in_steps(request, rounds=options.rounds, max_tokens=most, close=options.close)
        asked = next(steps)
        while True:
            if isinstance(asked, Request):
                answer: Sample | Failure | Reply = _as_stored(request, await self._make(transport, asked))
            else:
                answer = await self._answer(transport, asked)
            try:
                asked = steps.send(answer)
            except StopIteration as end:
                made: Sample | Failure = end.value
                return made

    async def _make(self, transport: Transport, request: Request) -> Sample | Failure:
        try:
            segments, finish, switch = await self._draw(transport, request)
            transport.usage += Usage(images=sum(segment.kind == "image" for segment in segments))
        except RequestError as error:
            return Failure.unanswered(request, str(error), unreached=error.unreached)
        except AnswerError as error:
            return Failure.unanswered(request, str(error))
        if request.mode == "think" and not any(segment.role == "think" for segment in segments):
            hint = "the server was asked to think and answered without a thought; see think_body, or think: driven"
            return Failure.unanswered(request, hint)
        if request.mode == "direct":
            segments = tuple(segment for segment in segments if segment.kind == "image")
        switch = switch if request.mode == "think" else "none"
        settings = {**self.settings, **self._list_left_out(request)}
        return Sample.make(request, segments, engine="openai/1", switch=switch, finish=finish, settings=settings)

    def _list_left_out(self, request: Request) -> dict[str, Any]:
        """Return the parameters that decide a picture and were not sent: a sample without its seed does not repeat."""
        endpoint = IMAGES if self.options.api == "images" else CHAT
        left_out = self.line.refusals.list_left_out(endpoint, self._body(ChatRequest(()), self._begin(request)))
        return {"left_out": left_out} if left_out else {}

    def _begin(self, request: Request) -> dict[str, Any]:
        return {"model": self.options.model, "seed": request.seed % 2**31}  # fits a signed 32-bit integer

    async def _draw(self, transport: Transport, request: Request) -> tuple[tuple[Segment, ...], str, str]:
        """Return the segments, the finish reason, and who switched from text to image."""
        options, thought = self.options, request.mode == "think"
        body = self._begin(request)
        extra = {**(options.think_body if thought and options.think == "native" else {}), **options.extra_body}
        if options.api == "images":
            return (await self._draw_plainly(transport, request.prompt.text, body, extra),), "stop", "forced"
        plan = Reply("")
        if thought and options.think == "driven":
            plan = await self._plan(transport, request.prompt.text, body)
        text = f"{request.prompt.text}\n\n{plan.text}" if plan.text else request.prompt.text
        asked = self._body(ChatRequest((Message.say("user", text),)), body)
        size = zip(("width", "height"), (options.image_size or "").split("x"), strict=False)
        sides = {side: int(length) for side, length in size if length}
        asked["extra_body"] = {"modalities": ["image"], **sides, **extra}
        segments, finish, together = read_drawing(await transport.chat(**asked))
        if plan.text:
            images = (segment for segment in segments if segment.kind == "image")
            finish = plan.finish if plan.finish != "stop" else finish
            return (Segment("text", "think", text=plan.text), *images), finish, "forced"
        return segments, finish, "autonomous" if together else "forced"

    async def _draw_plainly(
        self, transport: Transport, text: str, body: dict[str, Any], extra: dict[str, Any]
    ) -> Segment:
        size = {"size": self.options.image_size} if self.options.image_size else {}
        asked = {"seed": body["seed"], **extra}
        form = {"n": 1, "response_format": "b64_json", "extra_body": asked}
        return read_image(await transport.images(model=body["model"], prompt=text, **form, **size))

    async def _plan(self, transport: Transport, text: str, body: dict[str, Any]) -> Reply:
        """Return the plan and its finish reason. Raises AnswerError when there is none."""
        told = ChatRequest((Message.say("system", PLAN_FIRST), Message.say("user", text)))
        answer = await transport.chat(**self._body(told, body))
        require_willing(answer)
        plan = read_reply(answer)
        if plan.error or not plan.text.strip():
            is_cut = plan.finish == "length"
            empty = explain_cut(plan.text, self.options.max_tokens) if is_cut else "it is empty"
            raise AnswerError(f"there is no plan: {plan.error or empty}")
        return replace(plan, text=plan.text.strip())

    async def _answer(self, transport: Transport, request: ChatRequest) -> Reply:
        how = request.sampling
        body: dict[str, Any] = {"model": self.options.model, "seed": how.seed % 2**31}
        asked = self._body(request, body)
        room = how.max_tokens + self.options.thinking_tokens  # a thought counts, and must not use up the answer's room
        asked.update(temperature=how.temperature, top_p=how.top_p, max_tokens=room)
        if how.schema is not None:
            asked["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(how.schema), "strict": True},
            }
        asked["extra_body"] = {**self.options.chat_extras(), **asked["extra_body"]}
        if how.choices:
            asked["extra_body"] = {"structured_outputs": {"choice": list(how.choices)}, **asked["extra_body"]}
        if how.top_logprobs:
            asked.update(logprobs=True, top_logprobs=how.top_logprobs)
        try:
            answer = await transport.chat(**asked)
            require_willing(answer)
            reply = read_reply(answer)
        except RequestError as error:
            return Reply("", "error", error=str(error), unreached=error.unreached)
        except AnswerError as error:
            return Reply("", "error", error=str(error))
        return check_reply(reply, how)

    def _body(self, request: ChatRequest, body: dict[str, Any]) -> dict[str, Any]:
        chosen = {"temperature": self.options.temperature, "max_tokens": self.options.max_tokens}
        given = {key: value for key, value in chosen.items() if value is not None}
        return {**body, **given, "messages": [_to_message(m) for m in request.messages], "extra_body": {}}


def _as_stored(request: Request, answer: Sample | Failure) -> Sample | Failure:
    """Return a sample with its images as they will be stored, for the model to look at; a failure for a damaged one."""
    if isinstance(answer, Failure):
        return answer
    try:
        segments = (replace(part, image=normalise(part.image)) if part.image else part for part in answer.segments)
        return replace(answer, segments=tuple(segments))
    except OSError as error:
        return Failure.unanswered(request, str(error))


def _to_message(message: Message) -> dict[str, Any]:
    """Return a message in wire form; one of text alone becomes a string, which every server accepts."""
    if all(not part.image for part in message.parts):
        return {"role": message.role, "content": "".join(part.text for part in message.parts)}
    parts = [
        {"type": "image_url", "image_url": {"url": to_data_url(part.image)}}
        if part.image
        else {"type": "text", "text": part.text}
        for part in message.parts
    ]
    return {"role": message.role, "content": parts}
