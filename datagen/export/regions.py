"""Which parts of an image are right: each detected object with its box and a score of its own, from the claims.

    {"object": "cup", "color": "red", "box": [167, 0, 500, 333], "score": 0.5}

The box is (x1, y1, x2, y2) in thousandths of the last image, y downwards. The score is the share of the claims about
this object that it fulfils, None for an object about which the prompt claims nothing:

* a number: yes for as many as are claimed, the most confident first; no for each one too many. A missing object leaves
  no box, and those that are there are right.
* a colour: the object's own, one of those claimed for its kind.
* all else (relations, other attributes, …): the verdict of the first image scorer that judged the claim, for
  both of its objects.

Not covered: what no scorer detected, and the words of an image, which have no box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from datagen.records import Claim, Score
from datagen.scoring.layout import as_box

Region: TypeAlias = dict[str, Any]


def list_regions(claims: Sequence[Claim], scores: Sequence[Score], holds: Sequence[float | None]) -> list[Region]:
    """Return the regions of a sample's last image, in the detector's order.

    `scores` are those of scorers that select: what a judge says that only evaluates must not be learned. `holds` has
    for each of the `claims` how surely it holds (`scoring.verdicts.find_holds`).
    """
    found = _list_objects(scores)
    verdicts = {str(claim): value for claim, value in zip(claims, holds, strict=True) if value is not None}
    counted = _count_places(claims, found)
    return [
        {
            "object": thing["label"],
            "color": thing["color"],
            "box": thing["box"],
            "score": _score(thing, claims, verdicts, counted[k]),
        }
        for k, thing in enumerate(found)
    ]


def _list_objects(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return what the first scorer with detections found, malformed ones left out."""
    given: Any = next((score.evidence["detections"] for score in scores if "detections" in score.evidence), [])
    return [
        {
            "label": str(each.get("label") or ""),
            "color": str(each.get("color") or ""),
            "box": list(box),
            "confidence": each.get("confidence", 0.0),
        }
        for each in (given if isinstance(given, list) else ())
        if isinstance(each, Mapping) and (box := as_box(each.get("box"))) is not None
    ]


def _score(
    thing: Mapping[str, Any], claims: Sequence[Claim], verdicts: Mapping[str, float], votes: Sequence[float]
) -> float | None:
    votes = list(votes)
    colors = {str(c.value): str(c) for c in claims if _is_color(c) and c.subject == thing["label"]}
    if colors and thing["color"]:
        # A detector may have another name for the colour; then every object of the kind has it, or the claim fails.
        others = all(verdicts.get(claim) == 1 for claim in colors.values())
        votes.append(float(thing["color"] in colors or others))
    for claim in claims:
        if not claim.is_counted and not _is_color(claim) and thing["label"] in claim.things:
            votes += [verdicts[str(claim)]] if str(claim) in verdicts else []
    return sum(votes) / len(votes) if votes else None


def _count_places(claims: Sequence[Claim], found: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return for each object whether it is one of as many as are claimed, once for each claim of a number."""
    votes: list[list[float]] = [[] for _ in found]
    order = sorted(range(len(found)), key=lambda k: -found[k]["confidence"])
    for claim in claims:
        if not claim.is_counted:
            continue
        seen: Counter[str] = Counter()
        for k in order:
            mine = found[k]["label"] == claim.subject and (claim.kind == "count" or found[k]["color"] == claim.name)
            if mine:
                votes[k].append(float(seen["mine"] < int(claim.value)))
                seen["mine"] += 1
    return votes


def _is_color(claim: Claim) -> bool:
    return claim.kind == "attribute" and claim.name == "color"
