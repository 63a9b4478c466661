"""One request to a server, and what comes back: JSON, or an error in one line.

The official client retries what it sees (429, 5xx, time-outs, refused connections; `Retry-After` obeyed up to its own
limit of minutes). An answer is read here, piece by piece, because the client would take 300 MB into memory and wait
for a dripping server for ever; a body that breaks off, or is not JSON, is asked for again.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Callable
from typing import Any

import openai

from datagen.backends.openai.options import OpenAIOptions
from datagen.errors import BackendError, did_you_mean

NO_KEY = "no-key"
"""What is sent where the environment holds no key: servers of one's own rarely ask for one."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 20.0
# The client stands on httpx or, from its version 3 on, httpx2; what a breaking body raises belongs to that library.
_HttpError: type[Exception] = importlib.import_module(openai.Timeout.__init__.__module__.split(".")[0]).HTTPError


class RequestError(Exception):
    """One request failed for good; the message is the reason, without secrets."""


class Transport:
    """Sends requests, at most `concurrency` at once. Use inside one event loop; close it there."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.options = options
        self._key = os.environ.get(options.api_key_env) or NO_KEY
        self._places = asyncio.Semaphore(options.concurrency)
        self.client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=options.base_url,
            max_retries=options.retries,
            timeout=options.timeout_seconds,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def chat(self, **body: Any) -> dict[str, Any]:
        """Post to /chat/completions and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(self.client.chat.completions.with_streaming_response.create, body)

    async def images(self, **body: Any) -> dict[str, Any]:
        """Post to /images/generations and return the parsed answer. Raises RequestError or BackendError."""
        return await self._ask(self.client.images.with_streaming_response.generate, body)

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

    async def _ask(self, call: Callable[..., Any], body: dict[str, Any]) -> dict[str, Any]:
        async with self._places:
            for turn in range(self.options.retries + 1):
                try:
                    return await self._try(call, body)
                except RequestError as error:
                    raise RequestError(self._clean(str(error))) from None
                except _Broken as error:
                    if turn == self.options.retries:
                        raise RequestError(self._clean(f"{error}, {turn + 1} times")) from None
                    await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2**turn, LONGEST_PAUSE_SECONDS))
        raise AssertionError("the last turn returns or raises")

    async def _try(self, call: Callable[..., Any], body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with call(**body) as response, asyncio.timeout(self.options.timeout_seconds):
                return _parse(await self._read(response.iter_bytes))
        except TimeoutError:
            raise _Broken(f"the answer did not end within {self.options.timeout_seconds:g} s") from None
        except openai.APITimeoutError:
            raise RequestError(f"no answer within {self.options.timeout_seconds:g} s") from None
        except openai.APIConnectionError as error:
            raise RequestError(f"the connection failed: {error.__cause__ or error}") from None
        except openai.APIStatusError as error:
            self._stop_if_refused(error)
            raise RequestError(f"HTTP {error.status_code}: {_message_of(error)}") from None
        except _HttpError as error:
            raise _Broken(f"the answer broke off ({type(error).__name__})") from None

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


class _Broken(Exception):
    """An answer that did not come whole: worth asking again."""


def _parse(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise _Broken(f"the answer is not JSON: {body[:60]!r}") from None
    if not isinstance(answer, dict):
        raise RequestError(f"the answer is not an object: {body[:60]!r}")
    if answer.get("error"):
        raise RequestError(f"HTTP 200 with an error: {str(answer['error'])[:200]}")
    return answer


def _message_of(error: openai.APIStatusError) -> str:
    body = error.body
    return str(body.get("message") or body) if isinstance(body, dict) else str(body or error.message)
