"""Rows of a dataset by hand, for the tests of views."""

from __future__ import annotations

from typing import Any

from export_cases import draw_png

from datagen.records import Claim

PLAN = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(0,167),(333,500)<|box_end|>"
ROLES = {
    "direct": ("image",),
    "think": ("think", "image"),
    "reflect": ("think", "image", "look", "reflect", "refined image"),
}
REFLECTION = "Required improvements: draw 2 stars\nFinal prompt: two stars\nStep-by-step guidance: gray background"
TEXTS = {"think": PLAN, "look": "a star", "reflect": REFLECTION}
STARS = (Claim("count", "star", value=2), Claim("attribute", "star", "color", "red"))


def make_row(mode: str = "think", claims: tuple[Claim, ...] = STARS, **changes: Any) -> dict[str, Any]:
    """A kept sample of weights 0.5 (text) and 2.0 (image), with two rewards that are exact in binary."""
    images = [draw_png(color) for _, color in zip(filter(_is_drawn, ROLES[mode]), ("red", "blue"), strict=False)]
    segments: list[dict[str, Any]] = []
    for role in ROLES[mode]:
        drawn = _is_drawn(role)
        number = sum(segment["kind"] == "image" for segment in segments)
        text = None if drawn else TEXTS[role]
        image = number if drawn else None
        segments.append({"kind": "image" if drawn else "text", "role": role, "text": text, "image": image})
    row = {
        "id": "p1-00",
        "prompt": "two red stars",
        "prompt_id": "p1",
        "group_id": "p1",
        "source": "template",
        "claims": [{**claim.to_dict(), "value": str(claim.value)} for claim in claims],
        "segments": segments,
        "images": images,
        "caption": None,
        "regions": [],
        "weakness": "counting",
        "skill": "one_kind",
        "level": "easy",
        "text_reward": 0.5,
        "image_reward": 0.75,
        "gain": 0.25 if mode == "reflect" else None,
        "text_weight": 0.5,
        "image_weight": 2.0,
        "kept": True,
        "left_out": None,
        "passed": True,
        "causes": [],
        "faults": [],
        "claims_hold": [1.0] * len(claims),
        "gap": None,
        "candidate": 0,
        "seed": 3,
        "mode": mode,
        "switch": "forced" if mode == "reflect" else "autonomous",
        "engine": "embedded/2",
    }
    assert not changes.keys() - row.keys() - {"reward_reconstruction", "settings"}
    return {**row, **changes}


def _is_drawn(role: str) -> bool:
    return role in ("image", "refined image")
