"""Pictures as they travel to and from servers: base64, bare or in a data URL. What they show: `datagen.pictures`."""

from __future__ import annotations

import base64
from urllib.parse import unquote


def from_data_url(url: str) -> bytes:
    """Return the bytes inside `data:image/…;base64,…`; raises ValueError for anything else, such as a web address."""
    head, comma, body = url.strip().partition(",")
    kind = head.lower().replace(" ", "")
    if not comma or not kind.startswith("data:") or not kind.endswith(";base64"):
        raise ValueError(f"not a picture but an address: {url[:60]!r}")
    return _decode(unquote(body))


def from_base64(text: str) -> bytes:
    """Return decoded bytes; raises ValueError for text that is not base64.

    The text may be wrapped in lines, and may stand in a data URL, as some servers send it.
    """
    return from_data_url(text) if text.lstrip()[:5].lower() == "data:" else _decode(text)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ValueError(f"not base64: {error}") from error


def to_data_url(png: bytes) -> str:
    """Return PNG bytes as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
