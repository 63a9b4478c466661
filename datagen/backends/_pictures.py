"""Pictures as they come from servers, made into what datagen stores: checked RGB PNG bytes."""

from __future__ import annotations

import base64
import io
from urllib.parse import unquote

MOST_PIXELS = 64_000_000
"""A larger picture is refused before it is decoded: 64 megapixels are 192 MB in memory."""


def to_png(data: bytes) -> bytes:
    """Return a picture of any common format as PNG bytes; a PNG stays as it is, byte for byte.

    Raises ValueError for what is not a picture, is cut off, or has more than MOST_PIXELS.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"the picture is {picture.width} x {picture.height}, larger than datagen keeps")
            picture.load()
            if picture.format == "PNG" and picture.mode == "RGB":
                return data
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, format="PNG")
            return buffer.getvalue()
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture: it begins with {data[:12]!r}") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"a damaged picture: {error}") from error


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
