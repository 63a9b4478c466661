"""Canaries: a few images marked by a person, which every scorer must judge right before its scores make weights.

`pipeline.marks` reads their file. A scorer judges each image with a claim of its kind, and is right if its verdict on
these claims together agrees with the person. Canaries that it does not judge do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from datagen import program
from datagen.errors import RunError
from datagen.pipeline.marks import Canary, read_canaries
from datagen.pipeline.run import Run
from datagen.pipeline.shards import score_once
from datagen.pipeline.watch import Watch
from datagen.records import Prompt, Sample, Segment
from datagen.scoring.unseen import own_claims
from datagen.scoring.verdicts import says_yes


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
