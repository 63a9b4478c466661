"""The training corpus of the embedded model: prompts of the shipped taxonomies, true scenes, and their image tokens.

Everything is a pure function of (seed, batch number), so training can stop and go on. One claim set in ten is held
out by its hash and never trained on; `datagen bench model` asks for those alone.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from datagen.backends.embedded.codec import ImageCodec
from datagen.backends.embedded.vocab import Vocabulary, describe_scene
from datagen.backends.embedded.world import lay_out
from datagen.pictograms import GRID, Item, Scene, draw_scene
from datagen.prompts.templated import draw
from datagen.records import Claim, hash_of
from datagen.shipped import shipped_path
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.space import Skill

HELD_OUT_ONE_IN = 10
MIX = {"counting": 0.22, "spatial": 0.30, "attributes": 0.33, "text_rendering": 0.15}
"""Share of each weakness in training."""
DIRECT_SHARE = 0.12
"""Share of the examples that draw without a thought."""
FIRST_CELL_WEIGHT = 6.0
"""Weight in the loss of the image token where a planned thing begins; every other token weighs 1."""

DrawPrompt = Callable[[random.Random], tuple[str, tuple[Claim, ...]]]


class PromptSource:
    """Draws training prompts from the shipped taxonomies; half of the words are random letters instead."""

    def __init__(self) -> None:
        files = [shipped_path("taxonomies", f"{weakness}.yaml") for weakness in MIX]
        self._skills: dict[str, list[Skill]] = {}
        for skill in load_taxonomy(files, "pictograms").skills:
            self._skills.setdefault(skill.weakness, []).append(skill)

    def __call__(self, rng: random.Random) -> tuple[str, tuple[Claim, ...]]:
        """Return the text and the claims of one prompt."""
        weakness = rng.choices(list(MIX), list(MIX.values()))[0]
        skills = self._skills[weakness]
        prompt = draw(rng.choices(skills, [skill.share for skill in skills])[0], rng.getrandbits(40), 0)
        if weakness != "text_rendering" or rng.random() < 0.5:
            return prompt.text, prompt.claims
        word = str(prompt.claims[0].value)
        letters = "".join(rng.choices(string.ascii_uppercase, k=len(word)))
        return prompt.text.replace(f'"{word}"', f'"{letters}"'), (Claim("text", value=letters),)


def tokenizer_corpus(examples: int = 20_000) -> Iterator[str]:
    """Yield prompts and the words of plans, for training the text tokenizer; coordinates are left out."""
    source, rng = PromptSource(), random.Random(0)
    for _ in range(examples):
        text, claims = source(rng)
        yield text
        yield re.sub(r"<[^>]*>|\([^)]*\),?", " ", describe_scene(lay_out(claims, rng)))


def held_out(claims: Sequence[Claim]) -> bool:
    """Say whether a set of claims is kept for evaluation: one in ten, by hash, whatever the wording."""
    return int(hash_of([str(claim) for claim in claims]), 16) % HELD_OUT_ONE_IN == 0


class CodeTable:
    """Image tokens of true scenes, remembered by what a cell holds: the encoder looks at one cell at a time."""

    def __init__(self, codec: ImageCodec) -> None:
        self._codec = codec.eval()
        self._known: dict[tuple[object, ...], int] = {}

    def codes(self, scene: Scene) -> list[int]:
        """Return the 36 codes of a scene's true picture."""
        keys: list[tuple[object, ...]] = [(scene.background,)] * (GRID * GRID)
        for item in scene.items:
            for y in range(item.y1, item.y2):
                for x in range(item.x1, item.x2):
                    keys[y * GRID + x] = (scene.background, *_part(item, x - item.x1, y - item.y1))
        if any(key not in self._known for key in keys):
            picture = torch.from_numpy(draw_scene(scene)).float()[None] / 127.5 - 1
            with torch.no_grad():
                self._known.update(zip(keys, self._codec.encode(picture)[0].tolist(), strict=True))
        return [self._known[key] for key in keys]


def _part(item: Item, x: int, y: int) -> tuple[object, ...]:
    if item.kind == "text":
        return item.color, "text", item.word[x], y
    return item.color, item.kind, item.x2 - item.x1, x, y


def make_example(
    rng: random.Random, draw_prompt: DrawPrompt, table: CodeTable, vocab: Vocabulary
) -> tuple[list[int], list[float]]:
    """Return one training sequence and the weight of every id in the loss: 0 for the prompt.

    With a plan, the first cell of each thing weighs FIRST_CELL_WEIGHT: it settles what stands there, in which colour.
    """
    while True:
        text, claims = draw_prompt(rng)
        if not held_out(claims):
            break
    mode = "direct" if rng.random() < DIRECT_SHARE else "think"
    scene = lay_out(claims, rng)
    prompt = vocab.prompt_ids(text, mode)
    plan = describe_scene(scene) if mode == "think" else None
    answer = vocab.answer_ids(plan, table.codes(scene))
    weights = [0.0] * len(prompt) + [1.0] * len(answer)
    for item in scene.items if plan else ():
        weights[vocab.cell_position(item.x1, item.y1)] = FIRST_CELL_WEIGHT
    return prompt + answer, weights


def make_batches(
    seed: int, chunk: int, draw_prompt: DrawPrompt, table: CodeTable, vocab: Vocabulary, *, size: int, batches: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return chunk number `chunk`: `batches` pairs (ids, weights), each (size, length) int64 and float32.

    Sequences of like length share a batch, padded on the right to a multiple of 8 with weight 0.
    """
    rng = random.Random(f"{seed}/{chunk}")
    rows = [make_example(rng, draw_prompt, table, vocab) for _ in range(size * batches)]
    rows.sort(key=lambda row: len(row[0]))
    groups = [rows[k * size : (k + 1) * size] for k in range(batches)]
    rng.shuffle(groups)
    return [_pad(group, vocab.pad) for group in groups]


def _pad(group: Sequence[tuple[list[int], list[float]]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    length = -(-max(len(ids) for ids, _ in group) // 8) * 8
    ids = np.full((len(group), length), pad, dtype=np.int64)
    weights = np.zeros((len(group), length), dtype=np.float32)
    for row, (sequence, each) in enumerate(group):
        ids[row, : len(sequence)] = sequence
        weights[row, : len(sequence)] = each
    return ids, weights
