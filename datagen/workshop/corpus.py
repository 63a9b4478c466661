"""The training corpus of the embedded model: prompts of the shipped taxonomies, true scenes, and their image tokens.

Everything is a pure function of (seed, batch number), so training can be resumed. One claim set in ten is held out by
its hash and never trained on; `datagen bench model` uses those alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import lay_out
from datagen.plugins import shipped_path
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim, hash_of
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.space import Skill
from datagen.workshop.faults import STYLES
from datagen.workshop.sequences import Draft, Writer, make_example, random_letters, write_reply

HELD_OUT_ONE_IN = 10
MIXES = {
    "draw": {"counting": 0.22, "spatial": 0.30, "attributes": 0.33, "text_rendering": 0.15},
    "read": {"counting": 0.20, "spatial": 0.30, "attributes": 0.20, "text_rendering": 0.30},
}
"""Share of each weakness in training, for the generator (`draw`) and the reader (`read`)."""

PickPrompt = Callable[[random.Random], tuple[str, tuple[Claim, ...]]]


class PromptSource:
    """Samples training prompts from the shipped taxonomies; half of the words are replaced by random letters."""

    def __init__(self, tasks: str = "draw") -> None:
        self._mix = MIXES[tasks]
        files = [shipped_path("taxonomies", f"{weakness}.yaml") for weakness in self._mix]
        self._skills: dict[str, list[Skill]] = {}
        for skill in load_taxonomy(files, "pictograms").skills:
            self._skills.setdefault(skill.weakness, []).append(skill)

    def __call__(self, rng: random.Random) -> tuple[str, tuple[Claim, ...]]:
        """Return the text and the claims of one prompt."""
        weakness = rng.choices(list(self._mix), list(self._mix.values()))[0]
        skills = self._skills[weakness]
        prompt = sample_prompt(rng.choices(skills, [skill.share for skill in skills])[0], rng.getrandbits(40), 0)
        if weakness != "text_rendering" or rng.random() < 0.5:
            return prompt.text, prompt.claims
        word = str(prompt.claims[0].value)
        letters = random_letters(rng, len(word))
        return prompt.text.replace(f'"{word}"', f'"{letters}"'), (Claim("text", value=letters),)


def tokenizer_corpus(examples: int = 20_000) -> Iterator[str]:
    """Yield prompts, rewrites and the words of plans for training the text tokenizer, without coordinates."""
    source, rng = PromptSource(), random.Random(0)
    for _ in range(examples):
        text, claims = source(rng)
        yield text
        yield write_reply(claims, rng.choice(STYLES), rng)
        yield re.sub(r"<[^>]*>|\([^)]*\),?", " ", describe_scene(lay_out(claims, rng)))


def held_out(claims: Sequence[Claim]) -> bool:
    """Tell whether a set of claims is reserved for evaluation: one in ten, by hash, whatever the wording."""
    return int(hash_of([str(claim) for claim in claims]), 16) % HELD_OUT_ONE_IN == 0


def make_batches(
    seed: int, chunk: int, pick_prompt: PickPrompt, writer: Writer, tasks: str, *, size: int, batches: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return chunk number `chunk`: `batches` pairs (ids, weights), each (size, length) int64 and float32.

    Sequences of similar length share a batch, padded on the right to a multiple of 8 with weight 0.
    """
    rng = random.Random(f"{seed}/{chunk}")
    rows, other = [], sample_unheld(rng, pick_prompt)
    for _ in range(size * batches):
        prompt = sample_unheld(rng, pick_prompt)
        rows.append(make_example(rng, *prompt, writer, tasks, other[1]))
        other = prompt
    rows.sort(key=lambda row: len(row.ids))
    groups = [rows[k * size : (k + 1) * size] for k in range(batches)]
    rng.shuffle(groups)  # or training would see short sequences first in every chunk
    return [_pad(group, writer.vocab.pad) for group in groups]


def sample_unheld(rng: random.Random, pick_prompt: PickPrompt) -> tuple[str, tuple[Claim, ...]]:
    """Sample prompts until one is not held out."""
    while True:
        text, claims = pick_prompt(rng)
        if not held_out(claims):
            return text, claims


def _pad(group: Sequence[Draft], pad: int) -> tuple[np.ndarray, np.ndarray]:
    length = -(-max(len(row.ids) for row in group) // 8) * 8
    ids = np.full((len(group), length), pad, dtype=np.int64)
    weights = np.zeros((len(group), length), dtype=np.float32)
    for k, row in enumerate(group):
        ids[k, : len(row.ids)] = row.ids
        weights[k, : len(row.ids)] = row.weights
    return ids, weights
