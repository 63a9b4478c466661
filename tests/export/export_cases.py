"""Real samples with real PNG files, for the export tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from datagen.export import CardNotes, ExportItem, ExportResult, export_dataset
from datagen.records import Claim, Prompt, Sample, Score, Segment, seed_of
from datagen.weighting import Policy, RewardRow, weigh

SCORERS = ["counting", "plan", "my_pkg.sharpness"]
POLICY = Policy(policy="rwr", beta=0.3)
NOTES = CardNotes("first light", recipe="name: first light\nprompts: 12\n")
COLORS = ["red", "green", "blue", "yellow"]


def draw(color: str, form: str = "PNG", size_px: int = 16, **options: Any) -> bytes:
    """A real picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (size_px, size_px), color).save(buffer, form, **options)
    return buffer.getvalue()


def draw_png(color: str, size_px: int = 16) -> bytes:
    """A real PNG of one colour."""
    return draw(color, size_px=size_px)


def draw_noise(size_px: int, seed: int = 0) -> bytes:
    """A real PNG of random pixels, which nothing compresses: 3 x size_px x size_px bytes and a little more."""
    buffer = io.BytesIO()
    noise = Random(seed).randbytes(3 * size_px * size_px)
    Image.frombytes("RGB", (size_px, size_px), noise).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def make_prompt(index: int, text: str | None = None, weakness: str = "counting") -> Prompt:
    """Prompt number `index` with one counting claim."""
    claims = (Claim("count", "star", value=index % 6 + 1),)
    text = f"{index} stars" if text is None else text
    where = {"weakness": weakness, "skill": "one_kind", "level": "easy", "index": index, "seed": 7, "template": "t"}
    return Prompt.make(text, claims, **where)


def make_sample(prompt: Prompt, candidate: int, mode: Any = "think") -> Sample:
    """A sample with a thought and a picture, or with a picture alone."""
    thought = Segment("text", "think", text=f"gray background, candidate {candidate} ✨")
    image = Segment("image", "image", image=draw_png(COLORS[candidate % 4]))
    return Sample(
        id=f"{prompt.id}-{candidate:02d}",
        prompt_id=prompt.id,
        candidate=candidate,
        seed=seed_of(7, prompt.id, candidate),
        mode=mode,
        engine="embedded 0.1",
        switch="autonomous",
        finish="stop",
        segments=(thought, image) if mode == "think" else (image,),
        settings={"temperature": 1.0, "mode": mode},
    )


def make_items(prompts: Sequence[Prompt], candidates: int = 4, mode: Any = "think") -> list[ExportItem]:
    """Every candidate of every prompt, scored and weighed; the last candidate could not be judged by `counting`."""
    parts = []
    for prompt in prompts:
        for candidate in range(candidates):
            sample = make_sample(prompt, candidate, mode)
            value = None if candidate == 3 else candidate / 2
            scores = (
                Score(sample.id, "counting", "image", value, f"expected 3 | found {candidate} <b>"),
                Score(sample.id, "plan", "text", 0.25 * candidate, "plan: «fine»"),
            )
            parts.append(
                (
                    prompt,
                    sample,
                    scores,
                    RewardRow(sample.id, prompt.id, prompt.weakness, prompt.skill, 0.25 * candidate, value),
                )
            )
    weights = weigh([row for *_, row in parts], POLICY)
    return [
        ExportItem(prompt, sample, scores, weight, row, None if row.image is None else row.image == 1)
        for (prompt, sample, scores, row), weight in zip(parts, weights, strict=True)
    ]


def export(items: Any, out: Path, **changes: Any) -> ExportResult:
    """Export with the test's scorers, policy and notes."""
    options: dict[str, Any] = {"scorers": SCORERS, "policy": POLICY, "notes": NOTES, "validation_share": 0.3, **changes}
    return export_dataset(items, out, **options)


def change(item: ExportItem, **fields: Any) -> ExportItem:
    """The item with some fields replaced."""
    return replace(item, **fields)
