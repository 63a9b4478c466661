"""Cards of a page as plain values from which its script builds them: a prompt, its candidates, their pictures.

Prompts are packed in chunks that the page unpacks when they come into view. Where a chunk exceeds its bytes, its
longest texts are cut and marked.

Disputes: samples about which scorers contradict each other, counted by scorers, with the widest to look at.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datagen.markup import Box, Marked, read_markup
from datagen.records import Score, visible
from datagen.report.figures import ReportItem
from datagen.report.thumbs import Thumb
from datagen.scoring.layout import as_box
from datagen.scoring.verdicts import Dispute, find_dispute

PIXELATED_UP_TO_PX = 256
"""Unchanged pictures up to this width are enlarged without smoothing, so that every pixel shows."""
TEXT_LIMITS = (None, 4_000, 2_000, 1_000, 500, 250, 120, 60)
"""Characters to which texts are cut, tried in this order until a chunk fits; names of files have 37."""
CUT = " …"


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a sample: its thumbnail, and its name in the folder beside the page, or an empty one."""

    thumb: Thumb
    file: str = ""


def make_group(items: list[ReportItem], shots: list[list[Shot]]) -> dict[str, Any]:
    """Return a prompt with its candidates; the winner alone has the largest image weight, or is none."""
    weights = [item.image_weight if item.image_weight is not None else -1.0 for item in items]
    best = max(weights)
    alone = weights.count(best) == 1 and len(items) > 1
    prompt = items[0].prompt
    return {
        "id": prompt.id,
        "text": prompt.text,
        "path": prompt.path,
        "level": prompt.level,
        "claims": [str(claim) for claim in prompt.claims],
        "winner": items[weights.index(best)].sample.id if alone else "",
        "cards": [make_card(item, mine) for item, mine in zip(items, shots, strict=True)],
    }


def make_card(item: ReportItem, shots: list[Shot]) -> dict[str, Any]:
    """Return one candidate; thumbnails are stored apart, in the order of the pictures."""
    sample = item.sample
    plans = _read_plans(item)
    return {
        "id": sample.id,
        "candidate": sample.candidate,
        "seed": str(sample.seed),  # 63 bits, more than JavaScript's numbers hold
        "finish": sample.finish,
        "switch": sample.switch,
        "verdict": item.verdict,
        "kept": item.kept,
        "why": item.weight_reason,
        "image_reward": item.image_reward,
        "text_reward": item.text_reward,
        "image_weight": item.image_weight,
        "text_weight": item.text_weight,
        "scores": [[score.name, score.value, score.reason] for score in item.scores],
        "passages": [[part.role, plan] for part, plan in zip(sample.segments, plans, strict=True) if plan],
        "pictures": list(_list_pictures(item, plans, shots)),
    }


Plan = list[str | tuple[str, Box | None]]
"""Words, and planned objects with their boxes in thousandths of the picture: None where it has none that is valid."""


def _read_plans(item: ReportItem) -> list[Plan]:
    """Return the plan in each segment of a sample, empty for a picture."""
    return [read_plan(segment.text) if segment.kind == "text" else [] for segment in item.sample.segments]


def _list_pictures(item: ReportItem, plans: list[Plan], shots: list[Shot]) -> Iterator[dict[str, Any]]:
    """Yield the pictures in order, each with the boxes planned before it, the last also with the detected ones."""
    planned: list[list[Any]] = []
    number = 0
    for segment, plan in zip(item.sample.segments, plans, strict=True):
        if segment.kind == "text":
            boxes = [[*step[1], step[0]] for step in plan if not isinstance(step, str) and step[1]]
            planned = planned if segment.role == "look" else boxes
            continue
        shot = shots[number]
        number += 1
        is_last = number == len(shots)
        detected = [[*box, label] for box, label in read_detections(item.scores)] if is_last else []
        yield {
            "width": shot.thumb.width_px,
            "height": shot.thumb.height_px,
            "whole": shot.thumb.is_whole,
            "pixelated": shot.thumb.is_whole and shot.thumb.width_px <= PIXELATED_UP_TO_PX,
            "file": shot.file,
            "detected": detected,
            "planned": planned,
            "caption": _caption(item, number - 1) if len(shots) > 1 else "",
        }


def _caption(item: ReportItem, number: int) -> str:
    name = f"revised {number}" if number else "first"
    if number >= len(item.rounds):
        return name
    verdict = {True: "✓", False: "✗", None: ""}[item.round_verdicts[number]]
    reward = item.rounds[number]
    return f"{name} {verdict} {'–' if reward is None else f'{reward:.2f}'}"


def read_plan(text: str) -> Plan:
    """Split reasoning into words and planned objects, in order; whatever does not parse stays as words."""
    return [
        (piece.phrase, as_box(piece.box)) if isinstance(piece, Marked) else piece.strip()
        for piece in read_markup(text)
        if isinstance(piece, Marked) or piece.strip()
    ]


def read_detections(scores: tuple[Score, ...]) -> Iterator[tuple[Box, str]]:
    """Yield box and label of what the first scorer with `evidence["detections"]` found, malformed ones left out."""
    found: object = next((score.evidence["detections"] for score in scores if score.evidence.get("detections")), [])
    for entry in found if isinstance(found, (list, tuple)) else []:
        if isinstance(entry, dict) and (box := as_box(entry.get("box"))):
            yield box, _label(entry)


def _label(entry: dict[str, Any]) -> str:
    return " ".join(str(entry[key]) for key in ("color", "label") if entry.get(key)) or "?"


def pack(values: object, most_bytes: int) -> tuple[str, bool]:
    """Return plain values as base64 of deflated JSON, and whether texts were cut to keep it within `most_bytes`.

    It exceeds them only where texts of 60 characters are still too long.
    """
    text, limit = "", None
    for limit in TEXT_LIMITS:
        content = json.dumps(_cut(values, limit), ensure_ascii=False, separators=(",", ":"))
        text = base64.b64encode(zlib.compress(content.encode())).decode()
        if len(text) <= most_bytes:
            break
    return text, limit is not None


def _cut(value: Any, limit: int | None) -> Any:
    """Return plain values with their texts as they are shown, cut at so many characters."""
    if isinstance(value, str):
        text = visible(value)
        return text if limit is None or len(text) <= limit else text[:limit] + CUT
    if isinstance(value, dict):
        return {key: _cut(each, limit) for key, each in value.items()}
    return [_cut(each, limit) for each in value] if isinstance(value, (list, tuple)) else value


SHOWN = 12
"""Disputes that the page shows; all are counted."""


@dataclass(slots=True)
class Disputes:
    """Counts the disputes of a stream of samples and keeps the widest; `judges` as `find_dispute` takes them."""

    judges: Mapping[str, Collection[str]]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    widest: list[tuple[Dispute, ReportItem]] = field(default_factory=list)

    def add(self, item: ReportItem) -> None:
        """Add one sample."""
        dispute = find_dispute(item.prompt, item.scores, self.judges) if self.judges else None
        if dispute is None:
            return
        self.counts[dispute.no.name, ", ".join(score.name for score in dispute.yes)] += 1
        self.widest.append((dispute, item))
        self.widest.sort(key=lambda each: (-each[0].gap, each[1].sample.id))
        del self.widest[SHOWN:]


def make_dispute(dispute: Dispute, item: ReportItem, shots: list[Shot]) -> dict[str, Any]:
    """Return a dispute as the page shows it, with the last picture of its sample, if there is one."""
    return {
        "id": item.sample.id,
        "text": item.prompt.text,
        "voices": [[s.name, s.value, s.reason, s is not dispute.no] for s in (dispute.no, *dispute.yes)],
        "pictures": list(_list_pictures(item, _read_plans(item), shots))[-1:],
    }
