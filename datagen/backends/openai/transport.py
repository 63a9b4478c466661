"""Send one request to a server and read its answer into segments or a reply.

Temporary errors are retried, `retries` times: 429, 5xx, time-outs, broken connections, and bodies that break off or are
not JSON. Pauses grow, or follow `Retry-After` up to `max_wait_seconds`. Retries and bodies are handled here, not by the
official client: its limit on `Retry-After` changes with its version, it would read 300 MB into memory, and it would
wait for ever for a server that sends a byte now and then. An error that remains is marked `unreached`: the request was
never answered. A parameter that the server refuses is dropped, see `refusals`.

Bodies go through the client's own `post`, which sends them as they are and hands out the answer unread: its typed
methods walk through every body once more.

A chat answer holds a string, or a list of parts with pictures as data URLs (vLLM-Omni and others), or pictures beside
the string under `images` (OpenRouter and others). The thought is in `reasoning_content` or `reasoning`, in the text
before the picture, or in `metrics.think_text` (vLLM-Omni's BAGEL and SenseNova-U1); in an answer of text alone also
between tags, or in a part of type `thinking` (Mistral). Any other shape is an error.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import os
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

import openai

from datagen.backends.openai.fleet import Fleet, Place, Server
from datagen.backends.openai.options import OpenAIOptions
from datagen.backends.openai.refusals import Refusals, find_refused, fit
from datagen.chat import MARKERS, Reply, Token, set_thought_aside
from datagen.errors import BackendError, did_you_mean
from datagen.notices import tell_once
from datagen.picture_files import find_kind
from datagen.pictures import from_base64, from_data_url, normalise
from datagen.records import Segment
from datagen.usage import Usage
from datagen.web import ABOUT_THE_REQUEST, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, read_retry_after

NO_KEY = "no-key"
"""Sent when the environment holds no key: the client wants one, while local servers rarely do."""
ONE_ANSWER = {"Connection": "close"}
"""Each request has a connection of its own: on one that goes on, httpcore2 2.16.2 takes what else a server sends for
the answer to the next request, where RFC 9112 (6.3) forbids that."""
CHAT, IMAGES = "/chat/completions", "/images/generations"
# The client is built on httpx or, from its version 3 on, httpx2; a body that breaks off raises that library's error.
_http: Any = importlib.import_module(openai.Timeout.__init__.__module__.split(".")[0])
_HttpError: type[Exception] = _http.HTTPError


class RequestError(Exception):
    """One request failed for good; the message is the reason, without secrets.

    `unreached` means that the server never answered it, so that a later run asks again.
    """

    def __init__(self, reason: str, *, unreached: bool = False) -> None:
        super().__init__(reason)
        self.unreached = unreached


class Transport:
    """Sends requests, as many at once as the fleet has places. Use and close it inside one event loop."""

    def __init__(self, options: OpenAIOptions, refusals: Refusals, fleet: Fleet) -> None:
        self.options, self.refusals, self.fleet = options, refusals, fleet
        self.usage = Usage()
        """What was answered so far; replaced as a whole, so that other threads may read it."""
        self._key = os.environ.get(options.api_key_env) or NO_KEY
        self._clients: list[openai.AsyncOpenAI] = []
        self._free: dict[str, list[openai.AsyncOpenAI]] = {server.address: [] for server in fleet.servers}
        """The clients of each address of which none is in a request; the one used last is taken first."""
        self._answered = math.inf
        """When the latest request that was answered was sent, on the monotonic clock; infinite before the first one."""
        self._gone_since: float | None = None
        """When the last server went away, on the monotonic clock."""

    @contextmanager
    def _lend_client(self, address: str) -> Iterator[openai.AsyncOpenAI]:
        """Lend a client with one connection: one with many looks at all of them, twice for every request."""
        free = self._free[address]
        if not free:
            free.append(self._make_client(address))
            self._clients.append(free[-1])
        client = free.pop()
        try:
            yield client
        finally:
            free.append(client)

    def _make_client(self, address: str) -> openai.AsyncOpenAI:
        limits = _http.Limits(max_connections=1, max_keepalive_connections=0)
        client = openai.DefaultAsyncHttpxClient(verify=_read_certificates(), limits=limits)
        options = self.options
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=address,
            max_retries=0,
            timeout=options.timeout_seconds,
            default_headers=ONE_ANSWER,
            http_client=client,
        )

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.close()

    async def chat(self, **body: Any) -> dict[str, Any]:
        """Post to /chat/completions and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(CHAT, body)

    async def images(self, **body: Any) -> dict[str, Any]:
        """Post to /images/generations and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(IMAGES, body)

    async def check(self) -> None:
        """Raise BackendError if no server answers, or one refuses the key or lists models without this one.

        A server that does not answer is left out while others do, as it would be later.
        """
        servers = list(self.fleet.servers)
        found = await asyncio.gather(*(self._check(server.address) for server in servers), return_exceptions=True)
        away = [each for each in found if isinstance(each, _AwayError)]
        if wrong := [each for each in found if isinstance(each, BaseException) and each not in away]:
            raise wrong[0]
        if len(away) == len(servers):
            where = ", ".join(server.address for server in servers)
            raise BackendError("no server answers", where=where, hint="start it, or change base_url") from away[0]
        for server, error in zip(servers, found, strict=True):
            if isinstance(error, _AwayError):
                self.fleet.note_failure(server, time.monotonic(), str(error), is_deaf=True)

    async def _check(self, address: str) -> None:
        with self._lend_client(address) as client:
            try:
                listed = await client.with_options(max_retries=0, timeout=20).models.list()
            except openai.APIStatusError as error:
                self._stop_if_refused(error, address)
                return  # some servers have no list of models and still answer
            except openai.APIConnectionError as error:
                raise _AwayError("no answer") from error
        names = [model.id for model in listed.data or []]
        if names and self.options.model not in names:
            hint = did_you_mean(self.options.model, names)
            raise BackendError(f"the server has no model {self.options.model!r}", where=address, hint=hint)

    async def _ask(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        async with Place(self.fleet) as place:
            return await self._insist(place, endpoint, body)

    async def _insist(self, place: Place, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask until there is an answer, or an error that stays."""
        refused, turn, spared, failed = self.refusals.known(endpoint), 0, 0, math.inf
        while True:
            sent, server = time.monotonic(), place.server
            window = server.window
            try:
                with self._lend_client(server.address) as client:
                    answer = await self._try(client, server, endpoint, _flatten(fit(body, refused)))
                self.usage += Usage.read(answer)
                window.grow(time.monotonic() - sent)
                self._note_answer(server, sent)
                self.refusals.remember(endpoint, refused, server.address)
                return answer
            except RequestError as error:
                raise RequestError(self._clean(str(error)), unreached=error.unreached) from None
            except _RefusedError as error:
                name = find_refused(fit(body, refused), error.body, refused, self.refusals.own)
                if not name:
                    raise RequestError(self._clean(str(error))) from None
                refused |= {name}  # ends, since a dropped parameter is not found again; costs no retry
            except _BrokenError as error:
                failed = min(failed, time.monotonic())
                if error.is_too_much:
                    window.shrink(sent)
                # A full server turns requests away, whatever they are, and so does one that went away while others
                # are there: these do not count.
                is_early = time.monotonic() - failed < self.options.max_wait_seconds
                asks_another = self._note_failure(server, sent, error)
                is_full = error.is_dropped and window.drop() and self.options.retries > 0
                spared += is_early and (asks_another or is_full)
                times = f", {turn + 1} times" if turn else ""
                is_over = turn - spared >= self.options.retries and not self._may_come_back(server, error, failed)
                if is_over or (error.is_last and not asks_another):
                    raise RequestError(self._clean(f"{error}{times}"), unreached=True) from None
                if not asks_another:
                    # The random part spreads requests that failed together, or they would all come back at once.
                    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(turn, 10), LONGEST_PAUSE_SECONDS)
                    pause *= random.uniform(0.75, 1)
                    window.dropped += error.is_dropped
                    try:
                        await server.rest(pause if error.wait_seconds is None else error.wait_seconds)
                    finally:
                        window.dropped -= error.is_dropped
                turn += 1
                await place.move()

    def _note_answer(self, server: Server, sent: float) -> None:
        self._answered = sent if math.isinf(self._answered) else max(self._answered, sent)
        self.fleet.note_answer(server)
        if self._gone_since is not None:
            self._gone_since = None
            tell_once(f"{server.address} answers again ({datetime.now():%H:%M})")

    def _note_failure(self, server: Server, sent: float, error: _BrokenError) -> bool:
        """Let the fleet know; return whether another server is asked at once."""
        window = server.window
        if error.is_limit or (error.is_dropped and window.held > 0):  # it may be full: it holds the rest
            return self.fleet.has_others(server)
        # Nobody listens, it says itself that it is no use, or it has dropped all that it held.
        is_deaf = (error.is_dropped and (error.is_gone or window.dropped > 0)) or error.is_last
        return self.fleet.note_failure(server, sent, self._clean(str(error)), is_deaf, error.wait_seconds)

    def _may_come_back(self, server: Server, error: _BrokenError, failed: float) -> bool:
        """Return whether all servers have gone away, for less than `max_wait_seconds` by now.

        They have if one answered before, but nothing that was sent after this request first `failed` (an answer to an
        earlier one may still have been on its way), or all of several are left out. Without retries nothing is waited
        for.
        """
        is_silent = self._answered <= failed or (self.fleet.is_gone and self._answered < math.inf)
        if not error.is_gone or not is_silent or not self.options.retries:
            return False
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            most = f"up to {self.options.max_wait_seconds:,g} s (max_wait_seconds)"
            many, why = len(self.fleet.servers), f"({datetime.now():%H:%M}, {self._clean(str(error))})"
            gone = f"{server.address} went away {why}" if many == 1 else f"all {many} servers went away {why}"
            tell_once(f"{gone}; waiting {most} for {'it' if many == 1 else 'one'}")
        return time.monotonic() - self._gone_since < self.options.max_wait_seconds

    async def _try(
        self, client: openai.AsyncOpenAI, server: Server, endpoint: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            # A raw response that is streamed comes back unread, whatever the class of the stream.
            kind, stream = _http.Response, openai.AsyncStream[Any]
            response: Any = await client.post(endpoint, cast_to=kind, body=body, stream=True, stream_cls=stream)
            try:
                # The client's own time-out restarts with every byte; this one bounds the whole body.
                async with asyncio.timeout(self.options.timeout_seconds):
                    return _parse(await self._read(response.aiter_bytes()))
            finally:
                await response.aclose()
        except TimeoutError:
            what = f"the answer did not end within {self.options.timeout_seconds:g} s"
            raise _BrokenError(what, is_too_much=True) from None
        except openai.APITimeoutError:
            raise _BrokenError(f"no answer within {self.options.timeout_seconds:g} s", is_too_much=True) from None
        except openai.APIConnectionError as error:
            is_gone = isinstance(error.__cause__, _http.ConnectError)
            what = f"the connection failed: {error.__cause__ or error}"
            raise _BrokenError(what, is_gone=is_gone, is_dropped=True) from None
        except openai.APIStatusError as error:
            raise self._explain_status(error, server.address) from None
        except _HttpError as error:
            raise _BrokenError(f"the answer broke off ({type(error).__name__})") from None

    def _explain_status(self, error: openai.APIStatusError, address: str) -> Exception:
        """Return the exception for an error status: refused request, retry now, or retry in a later run."""
        self._stop_if_refused(error, address)
        said = f"HTTP {error.status_code}: {_message_of(error)}"
        if error.status_code in ABOUT_THE_REQUEST:
            return _RefusedError(said, error.body)
        if error.status_code not in (408, 409, 429) and error.status_code < 500:
            # A missing model or path is the fault of this server: others may have it.
            return _BrokenError(said, is_last=True) if error.status_code == 404 else RequestError(said, unreached=True)
        wait, most = read_retry_after(error.response.headers, time.time()), self.options.max_wait_seconds
        if wait is not None and wait > most:
            asks = f"asks to wait {wait:,.0f} s, and datagen waits at most {most:,g} s (max_wait_seconds)"
            if len(self.fleet.servers) == 1:
                tell_once(f"{address} {asks}: the next run asks again")
            return _BrokenError(f"{said}; the server {asks}", wait_seconds=wait, is_last=True)
        too_much, gone = error.status_code in (429, 503), error.status_code in (502, 503, 504)
        is_limit = error.status_code == 429
        return _BrokenError(said, wait_seconds=wait, is_too_much=too_much, is_gone=gone, is_limit=is_limit)

    async def _read(self, pieces: AsyncIterator[bytes]) -> bytearray:
        read, most = bytearray(), self.options.max_answer_bytes
        async for piece in pieces:
            read += piece
            if len(read) > most:
                raise RequestError(f"the answer is longer than max_answer_bytes, {self.options.max_answer_bytes:,}")
        return read

    def _stop_if_refused(self, error: openai.APIStatusError, address: str) -> None:
        if error.status_code in (401, 403):
            name = self.options.api_key_env
            what = (
                f"the server refuses the key in ${name}"
                if self._key != NO_KEY
                else f"the server wants a key; ${name} is not set"
            )
            raise BackendError(what, where=address, hint=f"export {name}=…") from None

    def _clean(self, text: str) -> str:
        text = " ".join(text.split())
        return (text if self._key == NO_KEY else text.replace(self._key, "[key]"))[:300]


@cache
def _read_certificates() -> ssl.SSLContext:
    """Return the certificates that servers are checked by; reading them takes longer than a dozen requests."""
    context: ssl.SSLContext = _http.create_ssl_context()
    return context


def _flatten(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as it is sent: what is not standard stands beside the rest."""
    return {**{key: value for key, value in body.items() if key != "extra_body"}, **body.get("extra_body", {})}


class _AwayError(Exception):
    """No server answers at an address."""


class _BrokenError(Exception):
    """A missing or incomplete answer: worth a retry after a pause, unless `is_last`.

    `is_too_much` says that the server is asked more than it can do, `is_gone` that there is no server at the moment,
    whatever it is asked, `is_dropped` that the connection was refused or ended before an answer, `is_limit` that the
    server limits how often it is asked (429).
    """

    def __init__(
        self,
        reason: str,
        *,
        wait_seconds: float | None = None,
        is_last: bool = False,
        is_too_much: bool = False,
        is_gone: bool = False,
        is_dropped: bool = False,
        is_limit: bool = False,
    ) -> None:
        super().__init__(reason)
        self.wait_seconds, self.is_last, self.is_too_much = wait_seconds, is_last, is_too_much
        self.is_gone, self.is_dropped, self.is_limit = is_gone, is_dropped, is_limit


class _RefusedError(Exception):
    """The server rejects the request; `body` is the body of its error."""

    def __init__(self, reason: str, body: object) -> None:
        super().__init__(reason)
        self.body = body


def _parse(body: bytearray) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise _BrokenError(f"the answer is not JSON: {bytes(body[:60])!r}") from None
    if not isinstance(answer, dict):
        raise RequestError(f"the answer is not an object: {bytes(body[:60])!r}")
    if error := answer.get("error"):  # gateways report an error of the server behind them with HTTP 200
        code = str(error.get("code")) if isinstance(error, dict) else ""
        about = code in {str(status) for status in ABOUT_THE_REQUEST}
        raise RequestError(f"HTTP 200 with an error: {str(error)[:200]}", unreached=not about)
    return answer


def _message_of(error: openai.APIStatusError) -> str:
    body = error.body
    return str(body.get("message") or body) if isinstance(body, dict) else str(body or error.message)


_THINK_TAGS = re.compile(r"</?think>")
_FILTERED = {"content_filter", "content_filtered", "safety", "prohibited_content"}
"""Finish reasons of an answer that a filter stopped, in lower case."""


class AnswerError(Exception):
    """An answer that cannot be used; the message says what is wrong with it."""


def require_willing(answer: Mapping[str, Any]) -> None:
    """Raise AnswerError when the model refuses, or a filter of the server changed the answer.

    A filtered picture may be black or blurred, and a refusal must not be read as a text answer.
    """
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip():
        raise AnswerError(f"the model refuses: {' '.join(refusal.split())[:200]}")
    _require_unfiltered(choice.get("finish_reason"))


def _require_unfiltered(finish: object) -> None:
    if str(finish).lower() in _FILTERED:
        raise AnswerError(f"the server filtered the answer ({finish})")


def read_drawing(answer: Mapping[str, Any]) -> tuple[tuple[Segment, ...], str, bool]:
    """Return the segments of a chat answer, its finish reason, and whether text and picture came in one list.

    Text before a picture is its thought; blank text is dropped. Raises AnswerError when the picture is missing or
    cannot be decoded, the model refuses, or a filter stopped the answer.
    """
    require_willing(answer)
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    segments = list(_read_parts(message.get("content")))
    together = len({segment.kind for segment in segments}) == 2
    segments += [_draw(_url_of(image)) for image in message.get("images") or []]
    if not any(segment.kind == "image" for segment in segments):
        said = " ".join(segment.text for segment in segments)
        what = f"the answer has no picture, but {said[:80]!r}" if said else "the answer is empty"
        is_cut = choice.get("finish_reason") == "length"
        raise AnswerError(f"{what}; it was cut off before the picture: raise max_tokens" if is_cut else what)
    metrics = answer.get("metrics")
    beside = message.get("reasoning_content") or message.get("reasoning")
    thought = beside or (metrics.get("think_text") if isinstance(metrics, Mapping) else None)
    if isinstance(thought, str) and thought.strip():
        segments.insert(0, _say(thought))
    return tuple(segments), str(choice.get("finish_reason") or "stop"), together


def read_image(answer: Mapping[str, Any]) -> Segment:
    """Return the picture of an /images/generations answer. Raises AnswerError when there is none."""
    data = answer.get("data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], Mapping) else {}
    _require_unfiltered(first.get("finish_reason"))
    if isinstance(first.get("b64_json"), str):
        return _draw(first["b64_json"], is_url=False)
    if isinstance(first.get("url"), str):
        return _draw(first["url"])
    raise AnswerError("the answer has no picture")


def read_reply(answer: Mapping[str, Any]) -> Reply:
    """Return a text answer without its thought, with the log-probabilities of its tokens, if there are any."""
    choice = _first_choice(answer)
    message = choice.get("message") or {}
    try:
        text, thought = _read_words(message.get("content"))
    except AnswerError as error:
        return Reply("", error=str(error))
    beside = message.get("reasoning_content") or message.get("reasoning")
    thought = beside if isinstance(beside, str) and beside.strip() else thought
    logprobs = choice.get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = tuple(_read_token(entry) for entry in listed or [] if isinstance(entry, Mapping))
    first = (tokens[0].logprobs or None) if tokens else None
    finish = str(choice.get("finish_reason") or "stop")
    return set_thought_aside(Reply(text.strip(), finish, first, thought=thought, tokens=tokens))


def _read_words(content: Any) -> tuple[str, str]:
    """Return the text of an answer and the thought among its parts. Raises AnswerError for a part of another kind."""
    if isinstance(content, str) or not content:
        return content or "", ""
    text, thought = "", ""
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            text += str(part.get("text") or "")
        elif kind in ("thinking", "reasoning"):
            told = part.get(kind) or part.get("text") or ""
            thought += told if isinstance(told, str) else _read_words(told)[0]
        elif kind != "image_url":  # a picture beside the text was not asked for, and does no harm
            raise AnswerError(f"the answer has a part of an unknown type, {kind!r}")
    return text, thought


def _read_token(entry: Mapping[str, Any]) -> Token:
    """Return a generated token with the likeliest ones at its position, itself included."""
    # Reversed, the written token comes last and its own value wins over the same text listed twice.
    listed = [entry, *(each for each in entry.get("top_logprobs") or [] if isinstance(each, Mapping))]
    likely = {
        str(each.get("token")): float(each["logprob"])
        for each in reversed(listed)
        if isinstance(each.get("logprob"), (int, float))
    }
    ranked = dict(sorted(likely.items(), key=lambda item: -item[1]))
    return Token(str(entry.get("token") or "").translate(MARKERS), ranked)


def _first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise AnswerError(f"the answer has no choices, but {', '.join(map(str, answer)) or 'nothing'}")
    return choices[0]


def _read_parts(content: Any) -> Iterator[Segment]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            if str(part.get("text") or "").strip():
                yield _say(str(part["text"]))
        elif kind == "image_url":
            yield _draw(_url_of(part))
        else:
            raise AnswerError(f"the answer has a part of an unknown type, {kind!r}")


def _url_of(part: Any) -> str:
    address = part.get("image_url") if isinstance(part, Mapping) else None
    return str(address.get("url") if isinstance(address, Mapping) else address)


def _say(text: str) -> Segment:
    return Segment("text", "think", text=_THINK_TAGS.sub("", text).strip())


def _draw(text: str, is_url: bool = True) -> Segment:
    """Return a picture as it came, if it is of a kind that is stored; who stores it proves its pixels."""
    try:
        image = from_data_url(text) if is_url else from_base64(text)
        return Segment("image", "image", image=image if find_kind(image) else normalise(image))
    except (OSError, ValueError) as error:
        raise AnswerError(str(error)) from error
