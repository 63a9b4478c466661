"""How well a reader reads text of every size: a table of the picture's size by the height of its letters.

Each lettering is rendered twice, as it is claimed and with one letter changed. The scorer `text` judges both by the
claim, so a cell says which share of the true pictures passes, and which share of those with a wrong letter.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from datagen.audit.lettering import Lettering, misspell, render_lettering
from datagen.audit.trust import Row
from datagen.records import Claim, Prompt, Sample, Segment
from datagen.rewards.words import text
from datagen.scoring.tools import Tools


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a lettering.

    Whether the true picture passes, and whether the one with a wrong letter does; None where the scorer gave no value
    or the text has no letter to change. `read` are the lines of the true picture, `seconds` what both took together.
    """

    lettering: Lettering
    passes: bool | None
    passes_wrong: bool | None
    read: tuple[str, ...]
    seconds: float


def read_letterings(tools: Tools, letterings: Iterable[Lettering]) -> Iterator[Reading]:
    """Yield what the reader of `tools` makes of each lettering, rendered right and with one wrong letter."""
    for lettering in letterings:
        claim = Claim("text", value=lettering.text)
        right = render_lettering(lettering)
        wrong = spoil(lettering)
        begin = time.process_time()
        passes, read = _judge(tools, claim, right)
        seconds = time.process_time() - begin
        passes_wrong = None if wrong is None else _judge(tools, claim, render_lettering(wrong))[0]
        yield Reading(lettering, passes, passes_wrong, read, seconds)


def spoil(lettering: Lettering) -> Lettering | None:
    """Return a lettering with one letter changed; None if it has none of ASCII."""
    try:
        changed = misspell("\n".join(lettering.lines), random.Random(lettering.seed))
    except ValueError:
        return None
    return replace(lettering, lines=tuple(changed.split("\n")))


def _judge(tools: Tools, claim: Claim, image: bytes) -> tuple[bool | None, tuple[str, ...]]:
    prompt = Prompt.make(str(claim.value), (claim,), weakness="", skill="", level="", index=0, seed=0, template="")
    segments = (Segment("image", "image", image=image),)
    sample = Sample(f"{prompt.id}-00", prompt.id, 0, 0, "direct", "lettering", "none", "stop", segments)
    verdict = text.score(prompt, sample, tools)
    passed = None if verdict.value is None else bool(verdict.evidence["passed"])
    return passed, tuple(verdict.evidence.get("read", ()))


def tabulate(readings: Sequence[Reading]) -> list[Row]:
    """Return a row for each size of picture, and one for all: the share of true pictures that pass, by letter height.

    `all` is that share over all heights, `wrong letter` the share that passes of pictures with one, `unjudged` the
    number of true pictures without a value, which count in no share; `ms` is the mean processor time of a true one.
    """
    shares = sorted({reading.lettering.letter_share for reading in readings})
    sides = sorted({reading.lettering.side_px for reading in readings})
    rows: list[Row] = []
    for side in (*sides, None):
        mine = [reading for reading in readings if side in (None, reading.lettering.side_px)]
        row: Row = {"side px": "all" if side is None else str(side)}
        for share in shares:
            row[f"{share:.1%}".replace(".0%", "%")] = _share_true(
                [reading.passes for reading in mine if reading.lettering.letter_share == share]
            )
        row["all"] = _share_true([reading.passes for reading in mine])
        row["wrong letter"] = _share_true([reading.passes_wrong for reading in mine])
        row["unjudged"] = sum(reading.passes is None for reading in mine)
        row["ms"] = 1000 * sum(reading.seconds for reading in mine) / len(mine)
        rows.append(row)
    return rows


def _share_true(marks: Sequence[bool | None]) -> float | None:
    known = [mark for mark in marks if mark is not None]
    return sum(known) / len(known) if known else None
