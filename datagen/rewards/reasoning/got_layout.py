"""Judges the boxes that a reasoning text plans: their number and their relative positions.

GoT-R1 (arXiv 2505.17022) rewards the layout of the reasoning separately from its meaning, by a judge that looks at the
boxes (here `judge: true`). The default answers the same question by rule, from the claims: each count claim by the
number of planned objects, each relation claim by GenEval's rule on all pairs. Value: the share of these claims that
hold.

Unlike `plan`, it ignores attributes and text, and allows extra objects and overlaps, so that it fits prose with boxes
in it (a vase on a tablecloth). An object whose box leaves the picture or has its corners out of order counts as
missing. A thought without any layout scores 0, as in `plan`.

With `judge: true` a judge is asked whether the planned layout fits the prompt, as in GoT-R1: the boxes and their
phrases are rendered on a white canvas, since models see boxes better than they read numbers. Value: P(yes) to the
question `LAYOUT` of `scoring/questions.py`. GoT-R1's judge gives a number, with an unpublished wording; P(yes) is used
here, as in `vqa`. Boxes that leave the picture or have their corners out of order are not rendered, and the evidence
lists them. A thought without a box scores 0 without a question. All ink is black, so that no judge takes the colour of
a line for that of an object.

Not covered: relations other than the four; a phrase for several objects; labels in letters that Pillow's own font lacks
(it has Latin ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datagen.pictures import encode_picture
from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.rewards.reasoning.plan import find_thought
from datagen.scoring.judging import NO_JUDGE, judge_layout
from datagen.scoring.layout import Planned, find_claim_fault, group_by_name, read_layout
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.vision.geometry import RELATIONS, SQUARE, Sides, shared_area, sides_of, to_pixels

TARGET: Modality = "text"
JUDGES = frozenset({"count", "relation"})


class Options(ScorerOptions):
    """The judge of the layout: a rule, or the recipe's judge."""

    judge: bool = False


PLAIN = Options()
"""The default options."""


def describe(options: Options) -> dict[str, Any]:
    """Return the attributes that change if the recipe's judge looks at the layout."""
    return _BY_JUDGE if options.judge else {}


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the layout in the `think` segment of a sample, by rule or by the judge."""
    return ask_judge(prompt, sample, tools) if options.judge else judge_by_rule(prompt, sample, tools)


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that boxes decide: numbers and the four relations."""
    return [c for c in claims if c.kind == "count" or (c.kind == "relation" and c.name in RELATIONS)]


def judge_by_rule(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the layout in the `think` segment of a sample against the count and relation claims of its prompt."""
    claims = own_claims(prompt.claims)
    if not claims:
        return Verdict(None, "no count claim, and no relation claim that boxes decide")
    thought = find_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    layout = read_layout(thought)
    if not layout.things:
        return Verdict(0.0, "the reasoning plans nothing: no object with a box in it", {"passed": False})
    named, sides = group_by_name(layout.placed, prompt.claims), sides_of(sample)
    faults = {str(claim): find_claim_fault(claim, prompt.claims, named, sides) for claim in claims}
    checks = {claim: not fault for claim, fault in faults.items()}
    said = [fault for fault in faults.values() if fault] or ["the boxes stand as claimed"]
    evidence = {"passed": all(checks.values()), "claims": checks, "malformed": list(layout.faults)}
    return Verdict(sum(checks.values()) / len(checks), "; ".join([*said, *layout.faults]), evidence)


def ask_judge(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the layout in the `think` segment of a sample against the prompt's text."""
    thought = find_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    if tools.ask is None:
        return Verdict(None, NO_JUDGE)
    layout = read_layout(thought)
    if not layout.placed:
        return Verdict(0.0, "the reasoning plans nothing: no object with a box in the picture", {"holds": False})
    verdict = judge_layout(prompt, sample, tools, render_layout(layout.placed, sides_of(sample)))
    faults = list(layout.faults)
    return Verdict(verdict.value, "; ".join([verdict.reason, *faults]), {**verdict.evidence, "malformed": faults})


CANVAS_PX = 512
"""Longer side of the canvas in pixels."""
_LEAST_PX = 64
_LINE_PX, _FONT_PX, _GAP_PX = 3, 18, 4
_Box = tuple[float, float, float, float]


def render_layout(things: Sequence[Planned], sides: Sides = SQUARE) -> bytes:
    """Return a PNG of the boxes with their phrases; equal objects give equal bytes.

    The canvas has the proportions of a picture with these `sides`, so that a judge sees the plan undistorted; its
    longer side is `CANVAS_PX`. Every box must be valid (`Layout.placed`). Each label starts at the upper left corner of
    its box and moves down until it covers no other label.
    """
    from PIL import Image, ImageDraw, ImageFont

    width_px, height_px = (max(_LEAST_PX, round(CANVAS_PX * side / max(sides))) for side in sides)
    image = Image.new("RGB", (width_px, height_px), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=_FONT_PX)
    corners = [to_pixels(thing.box, (width_px - 1, height_px - 1)) for thing in things]
    for box in corners:
        draw.rectangle(box, outline="black", width=_LINE_PX)
    taken: list[_Box] = []
    for thing, (left, top, *_) in zip(things, corners, strict=True):
        label = " ".join(thing.phrase.split())
        place = find_place(draw.textlength(label, font=font), left, top, taken, (width_px, height_px))
        draw.rectangle(place, fill="white")
        draw.text(place[:2], label, font=font, fill="black")
        taken.append(place)
    return encode_picture(image)


def find_place(
    width: float, left: float, top: float, taken: Sequence[_Box], canvas: tuple[int, int] = (CANVAS_PX, CANVAS_PX)
) -> _Box:
    """Return the box of a label of a width: in the corner of its object's box, or below it, clear of other labels."""
    height = _FONT_PX + _GAP_PX
    lowest = canvas[1] - height
    left = max(0.0, min(left + _LINE_PX + _GAP_PX, canvas[0] - width - _GAP_PX))
    top = min(top + _LINE_PX, lowest)
    while top < lowest and any(shared_area((left, top, left + width, top + height), other) for other in taken):
        top = min(top + height / 2, lowest)
    return left, top, left + width, top + height


_SHOWN = frozenset({"count", "attribute", "relation", "text"})
_BY_JUDGE: dict[str, Any] = {
    "NEEDS_JUDGE": True,
    "JUDGES": _SHOWN,
    "own_claims": lambda claims: [claim for claim in claims if claim.kind in _SHOWN],
}
"""A judge sees the whole prompt, so every claim of these kinds is its own."""
