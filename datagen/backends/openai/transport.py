"""One request to a server, and what comes back: JSON, or an error in one line.

What may pass is asked again, `retries` times: 429, 5xx, time-outs, connections that break, bodies that break off or are
no JSON. The pauses grow, or are those of `Retry-After` up to `max_wait_seconds`. Retries and bodies are done here, not
by the official client, which obeys `Retry-After` up to a limit of its own that changes with its version, would take
300 MB into memory, and would wait for a dripping server for ever. What stays so is an error of the asking: it says
`unreached`, and is no answer. A parameter that the server refuses is left out, see `refusals`.
"""

from __future__ import annotations

import asyncio
import email.utils
import importlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

import openai

from datagen.backends.openai.options import OpenAIOptions
from datagen.backends.openai.refusals import Refusals, find_refused, fit
from datagen.errors import BackendError, did_you_mean
from datagen.notices import tell_once

NO_KEY = "no-key"
"""What is sent where the environment holds no key: servers of one's own rarely ask for one."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 20.0
ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""What a server says of the request and would say again; every other error is one of the asking."""
CHAT, IMAGES = "/chat/completions", "/images/generations"
# The client stands on httpx or, from its version 3 on, httpx2; what a breaking body raises belongs to that library.
_HttpError: type[Exception] = importlib.import_module(openai.Timeout.__init__.__module__.split(".")[0]).HTTPError


class RequestError(Exception):
    """One request failed for good; the message is the reason, without secrets.

    `unreached` says that the server did not answer it at all: worth asking again in another hour.
    """

    def __init__(self, reason: str, *, unreached: bool = False) -> None:
        super().__init__(reason)
        self.unreached = unreached


class Transport:
    """Sends requests, at most `concurrency` at once. Use inside one event loop; close it there."""

    def __init__(self, options: OpenAIOptions, refusals: Refusals) -> None:
        self.options, self.refusals = options, refusals
        self._key = os.environ.get(options.api_key_env) or NO_KEY
        self._places = asyncio.Semaphore(options.concurrency)
        self.client = openai.AsyncOpenAI(
            api_key=self._key, base_url=options.base_url, max_retries=0, timeout=options.timeout_seconds
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def chat(self, **body: Any) -> dict[str, Any]:
        """Post to /chat/completions and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(CHAT, self.client.chat.completions.with_streaming_response.create, body)

    async def images(self, **body: Any) -> dict[str, Any]:
        """Post to /images/generations and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(IMAGES, self.client.images.with_streaming_response.generate, body)

    async def check(self) -> None:
        """Raise BackendError if nobody answers, the key is refused, or the server lists models without this one."""
        options = self.options
        try:
            listed = await self.client.with_options(max_retries=0, timeout=20).models.list()
        except openai.APIStatusError as error:
            self._stop_if_refused(error)
            return  # a server without this list can still be right
        except openai.APIConnectionError as error:
            hint = "start it, or change base_url"
            raise BackendError("no server answers", where=options.base_url, hint=hint) from error
        names = [model.id for model in listed.data or []]
        if names and options.model not in names:
            hint = did_you_mean(options.model, names)
            raise BackendError(f"the server has no model {options.model!r}", where=options.base_url, hint=hint)

    async def _ask(self, endpoint: str, call: Callable[..., Any], body: dict[str, Any]) -> dict[str, Any]:
        async with self._places:
            refused, turn = self.refusals.known(endpoint), 0
            while True:
                try:
                    answer = await self._try(call, fit(body, refused))
                    self.refusals.remember(endpoint, refused)
                    return answer
                except RequestError as error:
                    raise RequestError(self._clean(str(error)), unreached=error.unreached) from None
                except _RefusedError as error:
                    name = find_refused(fit(body, refused), error.body, refused, self.refusals.own)
                    if not name:
                        raise RequestError(self._clean(str(error))) from None
                    refused |= {name}  # a name that is left out is not found again, so this ends
                except _BrokenError as error:
                    times = f", {turn + 1} times" if turn else ""
                    if turn == self.options.retries or error.is_last:
                        raise RequestError(self._clean(f"{error}{times}"), unreached=True) from None
                    pause = min(FIRST_PAUSE_SECONDS * 2**turn, LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1)
                    await asyncio.sleep(pause if error.wait_seconds is None else error.wait_seconds)
                    turn += 1

    async def _try(self, call: Callable[..., Any], body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with call(**body) as response, asyncio.timeout(self.options.timeout_seconds):
                return _parse(await self._read(response.iter_bytes))
        except TimeoutError:
            raise _BrokenError(f"the answer did not end within {self.options.timeout_seconds:g} s") from None
        except openai.APITimeoutError:
            raise _BrokenError(f"no answer within {self.options.timeout_seconds:g} s") from None
        except openai.APIConnectionError as error:
            raise _BrokenError(f"the connection failed: {error.__cause__ or error}") from None
        except openai.APIStatusError as error:
            raise self._explain_status(error) from None
        except _HttpError as error:
            raise _BrokenError(f"the answer broke off ({type(error).__name__})") from None

    def _explain_status(self, error: openai.APIStatusError) -> Exception:
        """Return what an error status means: a refusal, something worth asking again now, or at another time."""
        self._stop_if_refused(error)
        said = f"HTTP {error.status_code}: {_message_of(error)}"
        if error.status_code in ABOUT_THE_REQUEST:
            return _RefusedError(said, error.body)
        if error.status_code not in (408, 409, 429) and error.status_code < 500:
            return RequestError(said, unreached=True)
        wait, most = read_retry_after(error.response.headers, time.time()), self.options.max_wait_seconds
        if wait is not None and wait > most:
            asks = f"asks to wait {wait:,.0f} s, and datagen waits at most {most:,g} s (max_wait_seconds)"
            tell_once(f"{self.options.base_url} {asks}: what is not answered now is asked again by the next run")
            return _BrokenError(f"{said}; the server {asks}", is_last=True)
        return _BrokenError(said, wait_seconds=wait)

    async def _read(self, pieces: Callable[[], Any]) -> bytes:
        read = bytearray()
        async for piece in pieces():
            read += piece
            if len(read) > self.options.max_answer_bytes:
                raise RequestError(f"the answer is longer than max_answer_bytes, {self.options.max_answer_bytes:,}")
        return bytes(read)

    def _stop_if_refused(self, error: openai.APIStatusError) -> None:
        if error.status_code in (401, 403):
            name = self.options.api_key_env
            what = (
                f"the server refuses the key in ${name}"
                if self._key != NO_KEY
                else f"the server wants a key; ${name} is not set"
            )
            raise BackendError(what, where=self.options.base_url, hint=f"export {name}=…") from None

    def _clean(self, text: str) -> str:
        text = " ".join(text.split())
        return (text if self._key == NO_KEY else text.replace(self._key, "[key]"))[:300]


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds a server asks to wait, at least 0, by number or by date; None if it does not say.

    `now` is in seconds since 1970, as the date is read.
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


class _BrokenError(Exception):
    """An answer that did not come, or not whole: worth asking again after a pause, unless `is_last`."""

    def __init__(self, reason: str, *, wait_seconds: float | None = None, is_last: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.is_last = wait_seconds, is_last


class _RefusedError(Exception):
    """The server does not take the request; `body` is what it says of it."""

    def __init__(self, reason: str, body: object) -> None:
        super().__init__(reason)
        self.body = body


def _parse(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise _BrokenError(f"the answer is not JSON: {body[:60]!r}") from None
    if not isinstance(answer, dict):
        raise RequestError(f"the answer is not an object: {body[:60]!r}")
    if error := answer.get("error"):
        code = str(error.get("code")) if isinstance(error, dict) else ""
        about = code in {str(status) for status in ABOUT_THE_REQUEST}
        raise RequestError(f"HTTP 200 with an error: {str(error)[:200]}", unreached=not about)
    return answer


def _message_of(error: openai.APIStatusError) -> str:
    body = error.body
    return str(body.get("message") or body) if isinstance(body, dict) else str(body or error.message)
