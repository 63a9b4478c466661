"""The image tokens that a picture was drawn from, kept inside its PNG file as text.

To learn from a picture is to learn the tokens that the model wrote. The image tokenizer does not find them again: of
1,332 cells that the shipped model drew, it gave 8 % another code, nearly the same to the eye, and the model's loss on
such images is 1.0 nats a token where it is 0.05 on its own. So the codes travel with the picture: through parquet,
folders and tars that keep its bytes. They name the image tokenizer, as the codes of another one mean nothing.

Not covered: pictures that were encoded again after they were drawn; their codes are lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datagen.errors import RunError
from datagen.pictures import NOTE

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

    from datagen.backends.embedded.codec import ImageCodec

KEY = NOTE
"""Keyword of the text chunk: the fingerprint of the image tokenizer, then the codes in reading order. No other text is
left in a picture."""


def fingerprint(codec: ImageCodec) -> str:
    """Return 16 hex digits that name an image tokenizer: a hash of its weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(codec.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def note_codes(tokenizer: str, codes: Sequence[int]) -> PngInfo:
    """Return what PIL is to write into a PNG file: the codes, and the fingerprint of their image tokenizer."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(KEY, " ".join([tokenizer, *map(str, codes)]))
    return info


def read_codes(picture: Any, tokenizer: str) -> list[int]:
    """Return the codes that a PIL image was drawn from.

    Raises RunError where it has none, or those of another image tokenizer than the one of this fingerprint.
    """
    made_by, *codes = str(picture.info.get(KEY, "")).split() or [""]
    if not codes:
        hint = "only pictures of the embedded model have them; those of an older datagen: build the run again"
        raise RunError("its picture does not say which image tokens it was drawn from", hint=hint)
    if made_by != tokenizer:
        hint = "train from the checkpoint that made the samples, or from one with the same codec/"
        raise RunError(f"its picture is of the image tokenizer {made_by}, the checkpoint has {tokenizer}", hint=hint)
    return [int(code) for code in codes]
