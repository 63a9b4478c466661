"""Canaries: a few images marked by a person, which every scorer must judge right before its scores make weights.

A line of the file names an image, the prompt, and for each claim whether it holds:

    {"image": "canaries/p-00.png", "prompt": "three stars", "claims": [{"kind": "count", …, "holds": true}]}

`datagen mark RUN ID` writes such lines. A scorer judges each image with a claim of its kind, and is right if its
verdict on these claims together agrees with the person. Canaries that it does not judge do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen import program
from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import ConfigError, RunError
from datagen.picture_files import PictureError
from datagen.pictures import normalise
from datagen.pipeline.run import Run
from datagen.pipeline.shards import score_once
from datagen.pipeline.watch import Watch
from datagen.records import Claim, ClaimKind, Prompt, Sample, Segment
from datagen.scoring.unseen import own_claims
from datagen.scoring.verdicts import says_yes


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


def check_canaries(run: Run, watch: Watch, *, again: bool) -> None:
    """Let every scorer of the image reward judge the recipe's canaries, and note the answers in run.yaml.

    Noted answers stay valid unless `again`. Raises RunError naming each scorer that is right on a smaller share than
    the recipe's `limits` or `canary_limit`.
    """
    if run.recipe.canaries is None:
        return
    if not again and (run.folder.read_notes().get("canaries") or {}).get("key") == _key_of(run):
        require_canaries(run)
        return
    found: dict[str, dict[str, Any]] = {}
    run.tools.forget_lost()
    for canary in read_canaries(run.recipe.canaries):
        for name, right in _judge(run, canary):
            row = found.setdefault(name, {"judged": 0, "right": 0, "wrong": []})
            row["judged"] += 1
            row["right"] += right
            row["wrong"] += [] if right else [canary.where]
    notes = run.folder.read_notes()
    run.folder.write_notes({**notes, "canaries": {"key": _key_of(run), "scorers": found}})
    for name in run.recipe.selecting:
        if name not in found and run.scorers[name].TARGET == "image":
            watch.say(f"no canary is judged by {name}")
    require_canaries(run)


def require_canaries(run: Run) -> None:
    """Raise RunError unless the recipe's scorers have judged its canaries and enough of them right."""
    if run.recipe.canaries is None:
        return
    noted = run.folder.read_notes().get("canaries") or {}
    if noted.get("key") != _key_of(run):
        hint = f"run: {program.command('score', run.folder)}"
        raise RunError("the scorers have not judged these canaries yet", where=str(run.folder), hint=hint)
    bad = []
    for name in run.recipe.selecting:
        own = run.recipe.limits[name].accuracy if name in run.recipe.limits else None
        least = run.recipe.canary_limit if own is None else own
        row = noted["scorers"].get(name)
        if row is None and own is not None:
            bad.append(f"{name} judges none of them, but must reach an accuracy of {own:g}")
        elif row is not None and row["right"] < least * row["judged"]:
            wrong = ", ".join(row["wrong"][:3])
            bad.append(
                f"{name} is right on {row['right']} of {row['judged']} (wrong: {wrong}), but must be on {least:.0%}"
            )
    if bad:
        raise RunError(
            f"a scorer fails its canaries: {'; '.join(bad)}",
            where=run.recipe.canaries,
            hint="remove or fix the scorer, or lower canary_limit or limits; no weights are made",
        )


def _judge(run: Run, canary: Canary) -> Iterator[tuple[str, bool]]:
    """Yield each scorer that judges the canary, with whether it agrees with the person."""
    where = {"weakness": "canary", "skill": "canary", "level": "", "index": 0, "seed": 0, "template": ""}
    prompt = Prompt.make(canary.text, tuple(canary.marks), **where)
    segments = (Segment("image", "image", image=canary.image),)
    sample = Sample(f"{prompt.id}-00", prompt.id, 0, 0, "direct", "canary", "none", "stop", segments)
    scores, failures = score_once(run, prompt, sample)
    if failures:
        raise RunError(failures[0].error, where=canary.where, hint="a scorer must be able to judge its canaries")
    for score in scores:
        own = own_claims(run.scorers[score.name], prompt.claims)
        mine = [canary.marks[claim] for claim in own]
        if score.target == "image" and score.value is not None and mine and score.name in run.recipe.selecting:
            yield score.name, says_yes(score) == all(mine)


def _key_of(run: Run) -> str:
    """Return a hash of the canaries and of everything that determines the scorers' answers."""
    recipe = run.recipe.to_dict()
    parts = hashlib.sha256(json.dumps([recipe[key] for key in ("rewards", "detector", "judge")]).encode())
    more = [recipe[key] for key in ("encoders", "matchers", "drawer")]
    own = (run.folder.read_notes().get("makers") or {}).get("scores")
    # Added only where present, so that answers noted by earlier versions keep their key.
    if own or any(more):
        parts.update(json.dumps([more, own], sort_keys=True).encode())
    for canary in read_canaries(run.recipe.canaries or ""):
        parts.update(repr((canary.text, sorted(map(str, canary.marks.items())))).encode() + canary.image)
    return parts.hexdigest()[:16]
