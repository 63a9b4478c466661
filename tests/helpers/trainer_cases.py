"""Small weighted datasets of true scenes, rows of random tokens, and a small checkpoint of the shipped vocabulary."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer

from datagen.embedded.answers import render_codes
from datagen.embedded.codec import ImageCodec, fingerprint
from datagen.embedded.loading import load_codec, save_codec, save_lm
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import Scene
from datagen.embedded.vocab import Vocabulary, describe_scene
from datagen.embedded.world import lay_out
from datagen.export import CardNotes, ExportItem, export_dataset
from datagen.records import Prompt, Sample, Segment
from datagen.training.weighted import CONTEXT, IMAGE, SWITCH, TEXT, Tokens
from datagen.weighting import Policy, RewardRow, weigh
from datagen.workshop.corpus import PromptSource
from datagen.workshop.lm import LMShape, new_model
from datagen.workshop.sequences import CodeTable
from tests.helpers.small_model import WORDS

POLICY = Policy(policy="rwr", beta=0.5)


@cache
def shipped_vocab() -> Vocabulary:
    return Vocabulary(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))


@cache
def shipped_codec() -> ImageCodec:
    return load_codec(SHIPPED)


def make_parts(count: int, mode: Any = "think", seed: int = 0) -> list[tuple[Prompt, Sample, Scene]]:
    """Samples as the embedded model would write them if it made no mistake."""
    codec = shipped_codec()
    source, rng, table, tokenizer = PromptSource(), random.Random(seed), CodeTable(codec), fingerprint(codec)
    made = []
    for index in range(count):
        text, claims = source(rng)
        scene = lay_out(claims, rng)
        where = {"weakness": "w", "skill": "s", "level": "easy", "index": index, "seed": seed, "template": "t"}
        prompt = Prompt.make(text, claims, **where)
        image = render_codes(codec, tokenizer, {0: tuple(table.codes(scene))}, 1, "cpu")[0]
        segments = [Segment("text", "think", text=describe_scene(scene)), Segment("image", "image", image=image)]
        if mode == "direct":
            segments = segments[1:]
        name = f"{prompt.id}-00"
        made.append(
            (prompt, Sample(name, prompt.id, 0, 1, mode, "embedded/2", "autonomous", "stop", tuple(segments)), scene)
        )
    return made


def make_items(parts: Sequence[tuple[Prompt, Sample, Scene]], policy: Policy = POLICY) -> list[ExportItem]:
    """The samples with rewards from 0 to 1; every fifth image and every seventh text could not be scored."""
    rows = [
        RewardRow(s.id, p.id, "w", "s", None if k % 7 == 6 else k % 4 / 3, None if k % 5 == 4 else k % 3 / 2)
        for k, (p, s, _) in enumerate(parts)
    ]
    weights = weigh(rows, policy)
    return [ExportItem(p, s, (), weight, row) for (p, s, _), row, weight in zip(parts, rows, weights, strict=True)]


def make_dataset(folder: Path, count: int = 12, *, mode: Any = "think", validation_share: float = 0.0) -> Path:
    """An exported dataset that the embedded model can learn from."""
    items = make_items(make_parts(count, mode))
    notes = CardNotes("small")
    export_dataset(items, folder, scorers=[], policy=POLICY, notes=notes, validation_share=validation_share)
    return folder


def join_groups(folder: Path) -> None:
    """Make all rows of an exported dataset candidates of one prompt."""
    for path in (folder / "data").glob("*.parquet"):
        table = pq.read_table(path)
        one = pa.array(["one"] * len(table), table.schema.field("group_id").type)
        pq.write_table(table.set_column(table.column_names.index("group_id"), "group_id", one), path)


def make_checkpoint(folder: Path) -> Path:
    """A whole checkpoint with the shipped vocabulary and image tokenizer, and a model of one narrow layer."""
    torch.manual_seed(0)
    save_codec(shipped_codec(), folder)
    shape = LMShape(width=16, layers=1, inner=16, heads=1, kv_heads=1)
    save_lm(new_model(shipped_vocab(), shape), shipped_vocab().tokenizer, folder)
    return folder


def spell(row: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """A tokenizer of nobody: letters as ids, an image as two ids by its colour."""
    ids = [1 + ord(letter) % 9 for letter in row["prompt"][:5]]
    kinds = [CONTEXT] * len(ids)
    for segment in row["segments"]:
        if segment["kind"] == "text":
            words = [1 + ord(letter) % 9 for letter in segment["text"][-4:]]
            ids, kinds = ids + words, kinds + [TEXT] * len(words)
        else:
            red, green, _ = row["images"][segment["image"]].convert("RGB").getpixel((0, 0))
            kind = SWITCH if TEXT in kinds else IMAGE
            ids, kinds = [*ids, 10, 11 + red % 7, 11 + green % 7], [*kinds, kind, IMAGE, IMAGE]
    return ids, kinds


def random_row(rng: random.Random, text_weight: float, image_weight: float, *, with_text: bool = True) -> Tokens:
    """A row of random length: a prompt, perhaps a text and its switch, an image."""
    kinds = [CONTEXT] * rng.randint(1, 4)
    kinds += [TEXT] * rng.randint(1, 6) + [SWITCH] if with_text else []
    kinds += [IMAGE] * rng.randint(1, 6)
    table = {CONTEXT: 0.0, TEXT: text_weight, SWITCH: text_weight, IMAGE: image_weight}
    ids = [rng.randrange(1, WORDS) for _ in kinds]
    return Tokens(torch.tensor(ids), torch.tensor(kinds), torch.tensor([table[kind] for kind in kinds]))
