"""What a person says of a run's samples: accepted, rejected, a comment. Kept in `review.jsonl` in the run folder.

    {"id": "…-02", "mark": "rejected", "comment": "six fingers", "at": "2026-05-01T10:00:00+00:00", "made_by": "…"}

Lines are only added, and the last one about a sample counts; one without a mark and a comment takes back what was said.
`made_by` names the recipe that made the samples: after another one, the same id is another picture, and the line does
not count. A run that grows says again of its samples what was said (`growing`). A rejected sample is left out: it
weighs nothing, its reward is in no mean or rank of its group (`weighting.weigh`), and its row of the dataset says so
(`left_out`), so that no view, no control and no baseline takes it. An accepted one weighs what its scores say.

Not covered: a shard that was deleted and generated again by a model that does not keep seeds; two people at a time on
an object store, where the file is read and put again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from datagen.errors import ConfigError, RunError
from datagen.pipeline.run import Run
from datagen.records import hash_of
from datagen.store import MADE_BY, Marks, RunFolder

FILE = "review.jsonl"
ACCEPTED, REJECTED = "accepted", "rejected"
MARKS = ("", ACCEPTED, REJECTED)
MOST_LETTERS = 4_000
"""Longest comment."""


@dataclass(frozen=True, slots=True)
class Review:
    """What was said last of a sample: `mark` is one of MARKS."""

    mark: str = ""
    comment: str = ""

    @property
    def version(self) -> str:
        """A hash of what is said; `""` if that is nothing."""
        return hash_of(self.mark, self.comment) if self.mark or self.comment else ""


class ReviewedError(Exception):
    """Something else was said of the sample in the meantime: `now`."""

    def __init__(self, now: Review) -> None:
        super().__init__("something else was said of this sample in the meantime")
        self.now = now


def read_reviews(run: Run) -> dict[str, Review]:
    """Return what counts by the id of the sample. Raises RunError naming a line that is damaged."""
    return _parse(run.folder, run.folder.marks, run.folder.read_head(FILE, -1))


def rejected_of(reviews: Mapping[str, Review]) -> frozenset[str]:
    """Return the ids of the rejected samples."""
    return frozenset(sample_id for sample_id, review in reviews.items() if review.mark == REJECTED)


def count_reviews(reviews: Iterable[Review]) -> dict[str, int]:
    """Return how many samples are accepted, rejected, and have a comment."""
    said = list(reviews)
    marks = {mark: sum(each.mark == mark for each in said) for mark in (ACCEPTED, REJECTED)}
    return {**marks, "commented": sum(bool(each.comment) for each in said)}


def describe_reviews(counts: Mapping[str, int]) -> str:
    """Return counts in words, without those that are 0: `12 accepted, 3 rejected`; `""` if nothing was said."""
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)


def write_review(run: Run, sample_id: str, review: Review, base: str) -> None:
    """Note what is said of a sample, if what was said before still has the version `base`.

    The caller knows that the sample is there. Raises ReviewedError if it has another version, ConfigError for a mark
    that is none or a comment that is too long, RunError if the file is damaged or cannot be written.
    """
    is_text = not re.search("[\ud800-\udfff]", review.comment)
    if review.mark not in MARKS or len(review.comment) > MOST_LETTERS or not is_text:
        hint = f"a mark is one of {', '.join(MARKS[1:])}; a comment is text of at most {MOST_LETTERS:,} letters"
        raise ConfigError("cannot be noted", where=sample_id, hint=hint)

    def add(content: bytes) -> bytes:
        now = _parse(run.folder, run.folder.marks, content).get(sample_id, Review())
        if now.version != base:
            raise ReviewedError(now)
        return _pack(sample_id, review, run.folder.marks) if review != now else b""

    run.folder.amend(FILE, add)


def carry_reviews(folder: RunFolder, old: Marks, new: Marks) -> None:
    """Let what was said of the samples of a run count after its marks changed, where these are the same samples.

    Raises RunError naming a line that is damaged.
    """

    def add(content: bytes) -> bytes:
        then, now = _parse(folder, old, content), _parse(folder, new, content)
        return b"".join(_pack(sample_id, then[sample_id], new) for sample_id in then if sample_id not in now)

    if folder.has(FILE):
        folder.amend(FILE, add)


def _pack(sample_id: str, review: Review, marks: Marks | None) -> bytes:
    at = datetime.now().astimezone().isoformat(timespec="seconds")
    made_by = marks["samples"][-1] if marks else ""
    line: dict[str, Any] = {"id": sample_id, **asdict(review), "at": at, MADE_BY: made_by}
    return f"{json.dumps(line, ensure_ascii=False)}\n".encode()


def _parse(folder: RunFolder, marks: Marks | None, content: bytes) -> dict[str, Review]:
    own = marks["samples"] if marks else [""]
    found: dict[str, Review] = {}
    number = 0
    try:
        for text in content.decode().split("\n"):
            number += 1
            if not text and number == content.count(b"\n") + 1:
                break
            line = json.loads(text)
            review = Review(line["mark"], line["comment"])
            if review.mark not in MARKS or not isinstance(review.comment, str) or not isinstance(line["id"], str):
                raise ValueError("the line is no review")
            if line[MADE_BY] in own:
                found[line["id"]] = review
    except (ValueError, KeyError, TypeError) as error:
        where = f"{folder}/{FILE}:{number}"
        raise RunError(f"damaged: {error}", where=where, hint="mend or delete that line, and no other") from error
    return {sample_id: review for sample_id, review in found.items() if review.version}
