"""Pictures as they come from servers, made into what datagen stores: checked RGB PNG bytes."""

from __future__ import annotations

import base64
import binascii
import io

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
