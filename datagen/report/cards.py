"""One sample as the page template needs it: plain values and ready drawings, nothing that still has to be decided.

The samples about which scorers contradict each other: how many by who says what, and the widest to look at.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from datagen.markup import Box
from datagen.records import Prompt, Score, Segment
from datagen.report.charts import Step, as_box, read_plan, render_boxes
from datagen.report.figures import ReportItem
from datagen.scoring.verdicts import Dispute, find_dispute

PIXELATED_UP_TO_PX = 256
"""Images up to this width are enlarged without smoothing, so that every pixel shows."""

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image ready to embed; `uri` is empty if its bytes are no image that a browser shows."""

    uri: str
    width_px: int
    height_px: int
    alt: str
    pixelated: bool
    detected: Markup
    planned: Markup
    detected_count: int
    planned_count: int
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text segment: its role and its steps."""

    role: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Card:
    """One candidate as shown."""

    item: ReportItem
    pictures: list[Picture]
    passages: list[Passage]
    judged: list[Score]
    unjudged: list[Score]
    values: str


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt and its candidates."""

    prompt: Prompt
    cards: list[Card]
    winner: str


def make_group(items: list[ReportItem]) -> Group:
    """Return the candidates of one prompt; the winner is the one with the largest image weight, if one stands out."""
    weights = [item.image_weight if item.image_weight is not None else -1.0 for item in items]
    best = max(weights)
    alone = weights.count(best) == 1 and len(items) > 1
    winner = items[weights.index(best)].sample.id if alone else ""
    return Group(items[0].prompt, [make_card(item) for item in items], winner)


def make_card(item: ReportItem) -> Card:
    """Return one candidate as shown."""
    passages = [Passage(s.role, read_plan(s.text)) for s in item.sample.segments if s.kind == "text" and s.text.strip()]
    pictures = _make_pictures(item)
    values: dict[str, float | None] = {
        "image_weight": item.image_weight,
        "text_weight": item.text_weight,
        "image_reward": item.image_reward,
        "text_reward": item.text_reward,
        **{f"score:{score.name}": score.value for score in item.scores},
    }
    known = {name: round(value, 6) for name, value in values.items() if value is not None}
    return Card(
        item,
        pictures,
        passages,
        [score for score in item.scores if score.value is not None],
        [score for score in item.scores if score.value is None],
        json.dumps(known),
    )


def _make_pictures(item: ReportItem) -> list[Picture]:
    """Return the images in order, each with the boxes that the words before it plan; the last with what was found."""
    pictures: list[Picture] = []
    planned: list[tuple[Box, str]] = []
    count = sum(segment.kind == "image" for segment in item.sample.segments)
    for segment in item.sample.segments:
        if segment.kind == "text":
            steps = [(step.box, step.text) for step in read_plan(segment.text) if step.box]
            planned = planned if segment.role == "look" else steps
            continue
        last = len(pictures) + 1 == count
        detected = list(read_detections(item.scores)) if last else []
        caption = _caption(item, len(pictures)) if count > 1 else ""
        pictures.append(_picture(segment, item, detected, planned, caption))
    return pictures


def _caption(item: ReportItem, number: int) -> str:
    name = f"redrawn {number}" if number else "first"
    if number >= len(item.rounds):
        return name
    verdict = {True: "✓", False: "✗", None: ""}[item.round_verdicts[number]]
    reward = item.rounds[number]
    return f"{name} {verdict} {'–' if reward is None else f'{reward:.2f}'}"


def read_detections(scores: tuple[Score, ...]) -> Iterator[tuple[Box, str]]:
    """Yield box and label of what the first scorer with `evidence["detections"]` found, malformed ones left out."""
    found: object = next((score.evidence["detections"] for score in scores if score.evidence.get("detections")), [])
    for entry in found if isinstance(found, (list, tuple)) else []:
        if isinstance(entry, dict) and (box := as_box(entry.get("box"))):
            yield box, _label(entry)


def _label(entry: dict[str, Any]) -> str:
    return " ".join(str(entry[key]) for key in ("color", "label") if entry.get(key)) or "?"


def _picture(
    segment: Segment,
    item: ReportItem,
    detected: list[tuple[Box, str]],
    planned: list[tuple[Box, str]],
    caption: str,
) -> Picture:
    kind = next((mime for magic, mime in _MAGIC.items() if segment.image.startswith(magic)), "")
    width, height = _size_px(segment.image)
    found = ", ".join(label for _, label in detected) or "no boxes"
    return Picture(
        uri=f"data:{kind};base64,{base64.b64encode(segment.image).decode()}" if kind else "",
        width_px=width,
        height_px=height,
        alt=f"Image by candidate {item.sample.candidate} for “{item.prompt.text}”. Detected: {found}.",
        pixelated=0 < width <= PIXELATED_UP_TO_PX,
        detected=render_boxes(detected, "detected"),
        planned=render_boxes(planned, "planned"),
        detected_count=len(detected),
        planned_count=len(planned),
        caption=caption,
    )


def _size_px(image: bytes) -> tuple[int, int]:
    """Read width and height from a PNG header; zeros for another format."""
    if not image.startswith(b"\x89PNG\r\n\x1a\n") or len(image) < 24:
        return 0, 0
    width, height = struct.unpack(">II", image[16:24])
    return width, height


def format_box(box: Box | None) -> str:
    """Return a box as people read it: `167,333 – 500,667`."""
    return "" if box is None else f"{box[0]},{box[1]} – {box[2]},{box[3]}"


SHOWN = 12
"""Disputes that the page shows; all are counted."""


@dataclass(slots=True)
class Disputes:
    """Counts the disputes of a stream of samples and keeps the widest; `judges` as `find_dispute` takes them."""

    judges: Mapping[str, Collection[str]]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    widest: list[tuple[Dispute, ReportItem]] = field(default_factory=list)

    def add(self, item: ReportItem) -> None:
        """Take one sample in."""
        dispute = find_dispute(item.prompt, item.scores, self.judges)
        if dispute is None:
            return
        self.counts[dispute.no.name, ", ".join(score.name for score in dispute.yes)] += 1
        self.widest.append((dispute, item))
        self.widest.sort(key=lambda each: (-each[0].gap, each[1].sample.id))
        del self.widest[SHOWN:]

    def cards(self) -> Iterator[tuple[Dispute, ReportItem, Picture | None]]:
        """Yield the widest disputes, each with its sample and the last image of that."""
        for dispute, item in self.widest:
            yield dispute, item, next(reversed(make_card(item).pictures), None)
