"""Captions of several styles for one target (ReasonGen-R1): the reasoning and the image of a sample.

The columns are those of its trainer (arXiv 2505.24875, github.com/Franklin-Zhang0/ReasonGen-R1 at cda3c80):
`brief_caption` is the prompt, or if that is a longer rewrite, the shortest text with the same claims;
`detailed_caption` is the reasoning before the image, and `augmented_prompts` has `short_caption`, `paraphrases` and
`varied_captions` (other texts of the same claims, if the recipe expands its prompts), `tags` and `object_prompts` (made
from the claims). The trainer samples one of them each time. For other trainers, `each` makes an example of every
caption and divides the loss by their number, so that the sum is the same.

`loss_scale` multiplies the weights: text 2, image 1 and 0 for the token that opens the image, as published. The weight
policy drops groups of equal rewards: `weights: {drop_equal: true}`.

Not covered: captions of other pictures; the target is the model's image for one of the captions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Part, Row, facts_of, name_attributed, parts_of, read_claims
from datagen.export.view import need_mode
from datagen.scoring.questions import name_phrases

NEEDS_MODE = "think"
_REWRITE = "rewrite: "


class LossScale(BaseModel):
    """Factors of the loss of each kind of token, on top of the sample's weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: float = Field(2.0, ge=0, le=100)
    image: float = Field(1.0, ge=0, le=100)
    switch: float = Field(0.0, ge=0, le=100)


class Options(BaseModel):
    """Scale of losses, and whether each caption is an example of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss_scale: LossScale = LossScale()
    each: bool = Field(False, description="an example for each caption; false: for each sample, captions as columns")


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the examples of each kept sample. Raises RunError for a run without reasoning."""
    for _, group in groupby(rows, key=_name_target):
        together = list(group)
        texts = {row["prompt"]: row["source"] for row in together}
        for row in together:
            need_mode(row, "reasongen_r1", NEEDS_MODE)
            if not row["kept"]:
                continue
            columns = write_columns(row, texts)
            captions = list_captions(columns)
            if not options.each:
                captions = {"brief_caption": captions["brief_caption"]}
            for k, (style, caption) in enumerate(captions.items()):
                parts = _scale(parts_of(row), caption, options.loss_scale, len(captions))
                facts = {**facts_of(row), "caption_style": style, **columns}
                name = f"{row['id']}-{k}" if options.each else row["id"]
                yield Example(name, "reasongen", row["group_id"], parts, facts=facts)


def write_columns(row: Row, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the caption columns of a sample; `texts` are the prompts with its claims, each with its source."""
    brief = _find_brief(row["prompt"], texts)
    others = {text: source.removeprefix(_REWRITE) for text, source in texts.items() if text != brief}
    claims = read_claims(row)
    written = [f'the text "{claim.value}"' for claim in claims if claim.kind == "text"]
    augmented: dict[str, Any] = {
        "short_caption": next((text for text, source in others.items() if source == "short caption"), ""),
        "paraphrases": [text for text, source in others.items() if source == "paraphrase"],
        "varied_captions": [t for t, source in others.items() if source not in ("short caption", "paraphrase")],
        "tags": [*name_attributed(claims), *written],
        "object_prompts": [*name_phrases(claims), *written],
    }
    return {
        "brief_caption": brief,
        "detailed_caption": "\n".join(s["text"] for s in row["segments"] if s["role"] == "think"),
        "augmented_prompts": {name: value for name, value in augmented.items() if value},
    }


def _find_brief(prompt: str, texts: Mapping[str, str]) -> str:
    """Return the prompt unless it is a longer rewrite, else the shortest text that is none, or a short caption."""
    short = f"{_REWRITE}short caption"
    brief = [text for text, source in texts.items() if not source.startswith(_REWRITE) or source == short]
    known = brief or list(texts)
    return prompt if prompt in brief else min(known, key=lambda text: (len(text.split()), text))


def list_captions(columns: Mapping[str, Any]) -> dict[str, str]:
    """Return every caption that can replace the prompt, by its style; lists of objects are joined as in the trainer."""
    augmented = columns["augmented_prompts"]
    captions = {"brief_caption": columns["brief_caption"]}
    if "short_caption" in augmented:
        captions["short_caption"] = augmented["short_caption"]
    for name in ("paraphrases", "varied_captions"):
        captions |= {f"{name}_{k}": text for k, text in enumerate(augmented.get(name, ()))}
    if "tags" in augmented:
        captions["tags"] = ",".join(augmented["tags"])
    if "object_prompts" in augmented:
        captions["object_prompts"] = _join(augmented["object_prompts"])
    return captions


def _join(phrases: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))


def _scale(parts: Sequence[Part], caption: str, scale: LossScale, share: int) -> tuple[Part, ...]:
    """Return the parts with a caption as prompt, with losses scaled and divided by `share`."""
    scaled = []
    for part in parts:
        # All captions of a sample together have the weight of the sample, however many there are.
        factor = scale.image if part.kind == "image" else scale.text
        words = caption if part.role == "prompt" else part.text
        scaled.append(
            replace(part, text=words, loss=part.loss * factor / share, switch=part.switch * scale.switch / share)
        )
    return tuple(scaled)


def _name_target(row: Row) -> tuple[str, str, str]:
    """Return the key that rewrites of one prompt share; they are consecutive in a run.

    Of prompts that claim nothing it is not known which ask for the same, so each has its own.
    """
    same = json.dumps(row["claims"], sort_keys=True) if row["claims"] else str(row["prompt_id"])
    return row["weakness"], row["skill"], same
