"""IRG's interleaved data for BAGEL: parquet with one column `conversation`, a flag for each piece of it.

    [{"role": "user", "content": "…", "need_loss": false},
     {"role": "assistant", "content": [{"type": "text", "content": "…", "need_loss": true},
      {"type": "image", "content": "<base64>", "need_loss": true, "need_vae": true, "need_vit": true}]}]

as JSON text. The groups are those of IRG's registry: `initial_full_learning` and five more, all read by the same code.
A `task` of another view goes to the one that shows and teaches the same kinds. An image that is learned and read later
has both flags: BAGEL puts it into the sequence noised, to learn, and clean, to see. An image that is only read names
its encoders (`sees`), or uses both. IRG reads only text from the user, so images before the answer are in a turn of the
assistant, without loss; and it skips empty pieces, which are omitted here.

`export.bagel` describes the files. Source: `MultiThinkInterleaveT2IDataset` in SFT/data/interleave_datasets of
github.com/Osilly/Interleaving-Reasoning-Generation at 3eee315 (arXiv 2509.06945).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from datagen.export.bagel import BagelOptions, BagelWriter
from datagen.export.columns import pack_json
from datagen.export.examples import Example, Part
from datagen.export.files import refuse_preference, weight_of

Options = BagelOptions
VIT_ARGS = {"image_stride": 14, "max_image_size": 980, "min_image_size": 378}
"""Sizes of IRG's data/configs/train_toy_dataset_stage1.yaml for the encoder of understanding (ViT)."""
GROUPS = (
    "initial_thinking_understanding_learning",
    "initial_thinking_generation_learning",
    "initial_full_learning",
    "improving_thinking_understanding_learning",
    "improving_thinking_generation_learning",
    "improving_full_learning",
)
"""Keys of `DATASET_REGISTRY` in IRG's data/dataset_info.py."""
WEIGHTS = "copies"
LOSES = (
    "the loss on the switch, and weights apart for text and image: their mean is rounded to a number of copies, right "
    "on average"
)


def write(examples: Iterable[Example], folder: Path, split: str, options: BagelOptions) -> int:
    """Write the examples of one split and return the number that is read at least once."""
    from datasets import Features, Value

    text = Value("string")
    features = Features({"conversation": text, "id": text, "weight": Value("float64")})
    with BagelWriter(folder, split, features, options, VIT_ARGS) as writer:
        for example in examples:
            refuse_preference(example, "bagel_conversation")
            packed = pack_json(make_conversation(example.parts))
            weight = weight_of(example.parts)
            row = {"conversation": packed, "id": example.id, "weight": weight}
            writer.add(name_group(example), weight, row, len(packed))
    return writer.rows


def name_group(example: Example) -> str:
    """Return the key of an example in IRG's registry: its task, or by what it shows and teaches."""
    if (name := f"{example.task}_learning") in GROUPS:
        return name
    kinds = [part.kind for part in example.parts]
    learned = [k for k, part in enumerate(example.parts) if part.learned]
    shown = "image" in kinds[: learned[-1]] if learned else False
    if any(kinds[k] == "image" for k in learned):
        return f"{'improving' if shown else 'initial'}_full_learning"
    return f"initial_thinking_{'understanding' if shown else 'generation'}_learning"


def make_conversation(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return the turns of an example: prompts are the user's, all else is the assistant's."""
    # An image is read on if a text or a learned image follows it.
    last = max((k for k, part in enumerate(parts) if part.kind == "text" or part.learned), default=-1)
    packed = [(part, _pack(part, read_on=k < last)) for k, part in enumerate(parts)]
    turns: list[dict[str, Any]] = []
    for asked, stretch in groupby(packed, key=lambda each: each[0].kind == "text" and each[0].role == "prompt"):
        if asked:
            turns += [{"role": "user", "content": part.text, "need_loss": False} for part, _ in stretch]
        elif content := [piece for _, piece in stretch if piece]:
            turns.append({"role": "assistant", "content": content})
    return turns


def _pack(part: Part, read_on: bool) -> dict[str, Any]:
    """Return a piece, empty for one that IRG would skip: empty text, or an unlearned image with nothing after it."""
    if part.kind == "text":
        return {"type": "text", "content": part.text, "need_loss": part.learned} if part.text else {}
    both = not part.sees
    flags = {
        "need_loss": part.learned,
        "need_vae": read_on and (both or "vae" in part.sees),
        "need_vit": read_on and (both or "vit" in part.sees),
    }
    if not any(flags.values()):
        return {}
    return {"type": "image", "content": base64.b64encode(part.image).decode("ascii"), **flags}
