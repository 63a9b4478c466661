"""The file of canaries: images that a person marked, with each claim that holds or does not.

    {"image": "canaries/p-00.png", "prompt": "three stars", "claims": [{"kind": "count", …, "holds": true}]}

`datagen mark RUN ID` writes such lines. What the marks are for: `pipeline.canaries`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import ConfigError
from datagen.picture_files import PictureError
from datagen.pictures import normalise
from datagen.records import Claim, ClaimKind

MARKED = "canaries/marked.jsonl"
"""The file of canaries of a project, unless another one is named."""


class _MarkedClaim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClaimKind
    subject: str = ""
    name: str = ""
    value: str | int = ""
    holds: bool


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field(min_length=1)
    prompt: str
    claims: list[_MarkedClaim] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Canary:
    """One marked image: file and line, PNG bytes, the prompt's text, and for each claim whether it holds."""

    where: str
    image: bytes
    text: str
    marks: dict[Claim, bool]


def read_canaries(path: str | Path) -> list[Canary]:
    """Read a file of canaries; image paths are relative to it.

    Raises ConfigError naming the wrong line, or two lines that contradict each other.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(file), hint="`datagen mark` makes one") from error
    canaries = [_read_line(line, f"{file}:{k}", file.parent) for k, line in enumerate(lines, 1) if line.strip()]
    if not canaries:
        raise ConfigError("holds no canary", where=str(file), hint="mark some: datagen mark RUN ID --into FILE")
    _refuse_contradictions(canaries)
    return canaries


def _refuse_contradictions(canaries: Sequence[Canary]) -> None:
    """Raise ConfigError for two lines that contradict each other: no scorer could be right on both."""
    said: dict[tuple[bytes, Claim], tuple[bool, str]] = {}
    for canary in canaries:
        for claim, holds in canary.marks.items():
            before, where = said.setdefault((canary.image, claim), (holds, canary.where))
            if before != holds:
                line = canary.where.rpartition(":")[2]
                what = f"this line and line {line} say the opposite of {claim} on the same image"
                raise ConfigError(what, where=where, hint="delete the wrong one")


def _read_line(line: str, where: str, folder: Path) -> Canary:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {line[:60]!r}", where=where) from error
    marked = load_model(Document(where, data), _Line)
    try:
        image = normalise((folder / marked.image).read_bytes())
    except PictureError as error:
        raise ConfigError(f"{marked.image!r}: {error}", where=where, hint="any common format will do") from error
    except OSError as error:
        raise ConfigError(f"no image {marked.image!r}", where=where, hint="paths are relative to this file") from error
    marks = {Claim(each.kind, each.subject, each.name, each.value): each.holds for each in marked.claims}
    return Canary(where, image, marked.prompt, marks)
