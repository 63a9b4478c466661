"""Servers over HTTP: their addresses, when to ask them again, and one request in JSON that is asked again.

    post_json("http://gpu7:8080/score", {"requests": [...]}, patience)

An answer that does not come (no connection, a time-out, 429, 5xx, a body that is cut or not JSON) is asked for again
after a pause that grows, or as long as the server says (`Retry-After`). What still does not come is a ConnectionError:
it says nothing about what was asked. A request that the server refuses is a RefusedError at once.

Not covered: many requests in flight at once and several servers for one task, which the backend `openai` has.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 20.0
ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses that blame the request itself, so that sending it again is no use."""
_PIECE_BYTES = 1 << 16


class RefusedError(Exception):
    """The server refuses what it is asked; asked again, it would say the same."""


class _BrokenError(Exception):
    """An answer did not come; `is_last` if another attempt is no use now, `wait_seconds` as the server asks."""

    def __init__(self, reason: str, *, wait_seconds: float | None = None, is_last: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds, self.is_last = wait_seconds, is_last


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one request: of each attempt, of the attempts after the first, of a pause, and of an answer's size."""

    timeout_seconds: float
    retries: int
    max_wait_seconds: float
    max_answer_bytes: int


def read_address(value: Any) -> str:
    """Return the address of a server without a slash at its end. Raises ValueError if it is none, or holds a secret."""
    if not isinstance(value, str):
        raise ValueError("must be an address, or a list of addresses")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with http:// or https://")
    if parts.username or parts.password or parts.query:
        raise ValueError("an address must hold no user name, key or query: put the key into the environment")
    return value.rstrip("/")


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a server asks to wait, at least 0, given as a number or a date; None if it does not say.

    `now` is in seconds since 1970.
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


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send the key on, and ask by GET what was a POST."""

    def redirect_request(self, *given: Any) -> None:
        return None


_opener = urllib.request.build_opener(_Stay)


def post_json(url: str, body: Any, patience: Patience, key: str = "") -> Any:
    """Send a value as JSON, with a bearer's key if there is one, and return the answer's.

    Redirects are not followed. Raises RefusedError, or ConnectionError if no answer came.
    """
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    for turn in range(patience.retries + 1):
        try:
            return _try(request, patience)
        except _BrokenError as error:
            if error.is_last or turn == patience.retries:
                times = f", {turn + 1} times" if turn else ""
                raise ConnectionError(f"{error}{times}") from None
            # The random part spreads processes that failed together.
            pause = min(FIRST_PAUSE_SECONDS * 2 ** min(turn, 10), LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1)
            time.sleep(pause if error.wait_seconds is None else error.wait_seconds)
    raise AssertionError("the last attempt returns or raises")


def _try(request: urllib.request.Request, patience: Patience) -> Any:
    end = time.monotonic() + patience.timeout_seconds
    try:
        with _opener.open(request, timeout=patience.timeout_seconds) as response:
            return json.loads(_read(response, end, patience))
    except urllib.error.HTTPError as error:
        with error:
            raise _explain(error, patience) from None
    except TimeoutError:
        raise _BrokenError(f"no answer within {patience.timeout_seconds:g} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _BrokenError(f"no answer within {patience.timeout_seconds:g} s") from None
        raise _BrokenError(f"the connection failed: {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise _BrokenError(f"the answer broke off ({type(error).__name__})") from None
    except ValueError:
        raise _BrokenError("the answer is not JSON") from None


def _read(response: HTTPResponse, end: float, patience: Patience) -> bytes:
    """Return the body of an answer that ends in time and is not too long; a cut one raises HTTPException."""
    read = bytearray()
    while piece := response.read1(_PIECE_BYTES):
        read += piece
        if len(read) > patience.max_answer_bytes:
            raise RefusedError(f"the answer is longer than max_answer_bytes, {patience.max_answer_bytes:,}")
        if time.monotonic() > end:  # the time-out of the socket restarts with every byte
            raise TimeoutError
    if response.length:
        raise _BrokenError("the answer broke off")
    return bytes(read)


def _explain(error: urllib.error.HTTPError, patience: Patience) -> Exception:
    """Return the exception for an error status: refused for good, asked again now, or by a later run."""
    said = f"HTTP {error.code}: {_read_words(error)}"
    if error.code in ABOUT_THE_REQUEST:
        return RefusedError(said)
    if error.code not in (408, 409, 429) and error.code < 500:
        return _BrokenError(said, is_last=True)  # a wrong path or key says nothing about what is asked
    headers, most = {name.lower(): text for name, text in error.headers.items()}, patience.max_wait_seconds
    wait = read_retry_after(headers, time.time())
    if wait is not None and wait > most:
        return _BrokenError(f"{said}; it asks to wait {wait:,.0f} s, over max_wait_seconds, {most:g}", is_last=True)
    return _BrokenError(said, wait_seconds=wait)


def _read_words(error: urllib.error.HTTPError) -> str:
    try:
        return " ".join(error.read(2000).decode("utf-8", "replace").split())[:200] or str(error.reason)
    except (OSError, HTTPException):
        return str(error.reason)
