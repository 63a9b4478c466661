"""Pictures as they travel to and from servers: base64, bare or in a data URL. What they show: `datagen.pictures`."""

from __future__ import annotations

import base64
import binascii


def from_data_url(url: str) -> bytes:
    """Return the bytes inside `data:image/…;base64,…`; raises ValueError for anything else."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise ValueError(f"not a picture but an address: {url[:60]!r}")
    return from_base64(body)


def from_base64(text: str) -> bytes:
    """Return decoded bytes; raises ValueError for text that is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error


def to_data_url(png: bytes) -> str:
    """Return PNG bytes as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
