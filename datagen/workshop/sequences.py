"""Training sequences of the embedded model: generate an image, reflect, caption, answer, rewrite.

Each is a `Draft`: token ids with their weights in the loss, 0 for input. Tokens that decide an answer (the first cell
of an object, a yes, a fault) weigh more than those that follow from them. Image tokens of true scenes are cached by the
content of a cell.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from datagen.embedded.chat import DESCRIBE
from datagen.embedded.codec import ImageCodec
from datagen.embedded.pictograms import COLORS, GRID, SHAPES, Item, Scene, render_scene
from datagen.embedded.vocab import Vocabulary, describe_scene
from datagen.embedded.world import lay_out
from datagen.prompts.expanded import instruct
from datagen.records import Claim
from datagen.scoring.questions import ONE_WORD, WHOLE, Question, ask_claims
from datagen.taxonomy.english import holds_order, name_many, number_word, plural_of
from datagen.vision.geometry import find_relations
from datagen.workshop.faults import (
    STYLES,
    box_of,
    find_items,
    list_faults,
    reword,
    spoil,
    sum_up,
    weigh,
    weigh_up,
    write_brief,
)

DECISIVE = 6.0
"""Weight in the loss of a token that decides an answer; other tokens weigh 1."""
SETTLING = 40.0
"""Weight of the one token that is the answer, a yes or the first word of a fault: as much as the whole look."""
DIRECT_SHARE = 0.12
"""Share of images without a thought."""
REWORDED_SHARE = 0.4
"""Share of prompts in other words than a template's, as in prompt expansion."""
_SIDES = frozenset({"left", "right", "above", "below"})
"""The word of a rewrite that relates two objects. It changes when they are swapped, and is learned last."""


@dataclass(slots=True)
class Draft:
    """A sequence under construction: ids, and the weight of each in the loss."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, ids: Sequence[int], weight: float = 1.0) -> None:
        """Append ids of one weight."""
        self.ids += ids
        self.weights += [weight] * len(ids)


@dataclass(frozen=True, slots=True)
class Example:
    """Content of a sequence: a prompt, its claims, a scene that satisfies them, and a scene of another prompt."""

    text: str
    claims: tuple[Claim, ...]
    scene: Scene
    other: Scene | None = None


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes sequences in one vocabulary; `table` has the image tokens of scenes."""

    vocab: Vocabulary
    table: CodeTable

    def draw(self, example: Example, rng: random.Random) -> Draft:
        """Return prompt, plan and image, or prompt and image alone."""
        draft, mode = Draft(), "direct" if rng.random() < DIRECT_SHARE else "think"
        draft.add(self.vocab.prompt_ids(example.text, mode), 0)
        if mode == "think":
            plan = self.vocab.plan_ids(describe_scene(example.scene))
            draft.add([self.vocab.think, *plan, self.vocab.end_think])
        self._add_image(draft, example.scene, DECISIVE if mode == "think" else 1.0)
        draft.add([self.vocab.eos])
        return draft

    def reflect(self, example: Example, rng: random.Random) -> Draft:
        """Return a prompt, a plan and an image (wrong in half of the cases), then the look and the changes."""
        vocab, right, seen, planned = self.vocab, example.scene, example.scene, example.scene
        if rng.random() < 0.5:
            seen = spoil(example.claims, right, rng)
            planned = seen if rng.random() < 0.25 else right
        draft = Draft()
        plan = [vocab.think, *vocab.plan_ids(describe_scene(planned)), vocab.end_think]
        seen = in_reading_order(seen)
        draft.add(vocab.reflection_ids(example.text, plan, self.table.codes(seen)), 0)
        self._add_seen(draft, seen, weigh_up(example.claims, seen))
        faults = "; ".join(list_faults(example.claims, seen)) or "none"
        draft.add([vocab.reflect, *vocab.text_ids("Required improvements: ")])
        first, *rest = vocab.text_ids(faults)
        draft.add([first], SETTLING)
        draft.add(rest, DECISIVE)
        draft.add(vocab.text_ids(f"\nFinal prompt: {example.text}\nStep-by-step guidance: "))
        draft.add([*vocab.plan_ids(describe_scene(right)), vocab.end_reflect, vocab.eos])
        return draft

    def caption(self, example: Example, rng: random.Random) -> Draft:
        """Return an image, right or spoiled, and its description."""
        seen = in_reading_order(spoil(example.claims, example.scene, rng) if rng.random() < 0.5 else example.scene)
        draft = Draft()
        draft.add(self.vocab.chat_ids(DESCRIBE, [self.table.codes(seen)]), 0)
        self._add_plan(draft, seen)
        draft.add([self.vocab.eos])
        return draft

    def answer(self, example: Example, rng: random.Random) -> Draft:
        """Return an image, a question about all or one of its claims, the look and the answer; about half are yes.

        The look, with its meaning for each claim, comes first, so that the answer follows from written text.
        """
        seen = example.scene
        if rng.random() < 0.6:
            seen = example.other if example.other and rng.random() < 0.4 else spoil(example.claims, seen, rng)
        seen = in_reading_order(seen)
        if rng.random() < 0.6:
            asked = rng.choice(list(WHOLE.values())).format(example.text)
            reply = "No" if list_faults(example.claims, seen) else "Yes"
            weighed = weigh_up(example.claims, seen)
        else:
            question = rng.choice(ask_claims(example.claims))
            asked, reply = question.text + ONE_WORD, answer_truly(question, seen)
            # The summary already has the number, and the question claims none.
            weighed = [] if question.claim.is_counted else [weigh(question.claim, seen)]
        draft = Draft()
        draft.add(self.vocab.chat_ids(asked, [self.table.codes(seen)]), 0)
        self._add_seen(draft, seen, weighed)
        draft.add(self.vocab.text_ids(reply), SETTLING)
        draft.add([self.vocab.eos])
        return draft

    def rewrite(self, example: Example, rng: random.Random) -> Draft:
        """Return a prompt, an instruction, and the prompt in another style: the JSON of prompt expansion."""
        style = rng.choice(STYLES)
        draft = Draft()
        draft.add(self.vocab.chat_ids(instruct(style, example.text, form="pictograms"), []), 0)
        reply = write_reply(example.claims, style, rng)
        claimed, encoded = find_claimed(reply, example.claims), self.vocab.tokenizer.encode(reply)
        for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            says = [reply[a:b] for a, b in claimed if start < b and a < end]
            draft.add([token], SETTLING / 2 if says and says[0] in _SIDES else DECISIVE if says else 1.0)
        draft.add([self.vocab.eos])
        return draft

    def recite(self, example: Example, rng: random.Random) -> Draft:
        """Return many objects and words in random order, twice: an exercise in copying, which every rewrite needs."""
        pieces = [_random_piece(rng) for _ in range(rng.randint(3, 7))]
        text = rng.choice((", ", " and ", " ")).join(pieces)
        draft = Draft()
        draft.add(self.vocab.chat_ids(instruct("paraphrase", text, form="pictograms"), []), 0)
        draft.add(self.vocab.text_ids(json.dumps({"prompt": text})), 3.0)
        draft.add([self.vocab.eos])
        return draft

    def _add_seen(self, draft: Draft, scene: Scene, weighed: Sequence[str]) -> None:
        """Add a look: the plan of the scene, a summary that counts its objects, and the result for each claim.

        Each step depends on the previous one alone, and the first two not on the question.
        """
        draft.add([self.vocab.look])
        self._add_plan(draft, scene)
        draft.add(self.vocab.text_ids(f"; {sum_up(scene)}"), DECISIVE)
        if weighed:
            draft.add(self.vocab.text_ids(f"; {', '.join(weighed)}"), SETTLING / 2)
        draft.add([self.vocab.end_look], DECISIVE)

    def _add_plan(self, draft: Draft, scene: Scene) -> None:
        """Add the plan of a scene; its words and the corners where objects begin are decisive."""
        for token in self.vocab.plan_ids(describe_scene(scene)):
            draft.add([token], DECISIVE if token in self.vocab.words_and_corners else 1.0)

    def _add_image(self, draft: Draft, scene: Scene, first_cell: float) -> None:
        """Add a scene's image; `first_cell` is the weight of the token where each object begins."""
        start = len(draft.ids)
        draft.add(self.vocab.image_ids(self.table.codes(scene)))
        for item in scene.items:
            draft.weights[start + self.vocab.cell_position(item.x1, item.y1)] = first_cell


Write = Callable[[Writer, Example, random.Random], Draft]
TASKS: dict[str, dict[Write, float]] = {
    "draw": {Writer.draw: 1.0},
    "read": {
        Writer.caption: 0.09,
        Writer.answer: 0.34,
        Writer.reflect: 0.16,
        Writer.rewrite: 0.37,
        Writer.recite: 0.04,
    },
}
"""Kinds of sequence of the generator (`draw`) and the reader (`read`), with their shares.

Rewrites have the largest share of the reader's, since copying claims, above all letters, is learned last."""


def make_example(
    rng: random.Random,
    text: str,
    claims: tuple[Claim, ...],
    writer: Writer,
    tasks: str,
    other: tuple[Claim, ...] | None = None,
) -> Draft:
    """Return a training sequence for a prompt, of a kind sampled by share; `other` are claims of another prompt."""
    kinds = TASKS[tasks]
    write = rng.choices(list(kinds), list(kinds.values()))[0]
    if write != Writer.rewrite and rng.random() < REWORDED_SHARE:
        text = reword(claims, rng.choice(STYLES), rng)
    return write(writer, Example(text, claims, lay_out(claims, rng), lay_out(other, rng) if other else None), rng)


def write_reply(claims: Sequence[Claim], style: str, rng: random.Random) -> str:
    """Return the reply of a rewriter: `{"prompt": …}`, or the brief itself."""
    return json.dumps(write_brief(claims) if style == "JSON brief" else {"prompt": reword(claims, style, rng)})


def find_claimed(text: str, claims: Sequence[Claim]) -> list[tuple[int, int]]:
    """Return begin and end of each claimed object, number, colour, side and quoted word in a text."""
    words: set[str] = set()
    for claim in claims:
        words |= {claim.subject, plural_of(claim.subject)} if claim.subject else set()
        words |= {number_word(claim.value), str(claim.value)} if isinstance(claim.value, int) else {claim.value}
    words |= _SIDES if any(claim.kind == "relation" for claim in claims) else set()
    pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return [match.span() for match in re.finditer(rf"\b(?:{pattern})\b", text)]


def in_reading_order(scene: Scene) -> Scene:
    """Return the scene with its items row by row from the top left, the order of descriptions."""
    return Scene(scene.background, tuple(sorted(scene.items, key=lambda item: (item.y1, item.x1))))


def answer_truly(question: Question, scene: Scene) -> str:
    """Answer a question about a scene: Yes, No or a number in words."""
    claim = question.claim
    if claim.kind == "text":
        return _say(any(item.word == claim.value for item in scene.items))
    ours = find_items(scene, claim.subject)
    if claim.kind == "count":
        return _say(bool(ours)) if question.text.startswith("Is") else number_word(len(ours))
    if claim.kind == "part":
        found = sum(item.color == claim.name for item in ours)
        return _say(found > 0) if question.text.startswith("Is") else number_word(found)
    if claim.kind == "attribute":
        return _say(bool(ours) and all(item.color == claim.value for item in ours))
    others = find_items(scene, str(claim.value))
    if claim.kind == "comparison":
        return _say(holds_order(claim.name, len(ours), len(others)))
    held = [claim.name in find_relations(box_of(a), box_of(b)) for a in ours for b in others]
    return _say(bool(held) and all(held))


def random_letters(rng: random.Random, n: int) -> str:
    """Return `n` capital letters out of five; repeated letters are the last that the model learns to copy."""
    return "".join(rng.choices(rng.sample(string.ascii_uppercase, 5), k=n))


def _random_piece(rng: random.Random) -> str:
    """Return a quoted run of letters, or an object with its number and colour."""
    if rng.random() < 0.5:
        return f'"{random_letters(rng, rng.randint(3, 6))}"'
    kind, color, n = rng.choice(list(SHAPES)), rng.choice(list(COLORS)), rng.randint(1, 6)
    return name_many(n, kind, color, in_words=True)


def _say(yes: bool) -> str:
    return "Yes" if yes else "No"


class CodeTable:
    """Image tokens of true scenes, cached by the content of a cell, since the encoder sees one cell at a time."""

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
            picture = torch.from_numpy(render_scene(scene)).float()[None] / 127.5 - 1
            with torch.no_grad():
                self._known.update(zip(keys, self._codec.encode(picture)[0].tolist(), strict=True))
        return [self._known[key] for key in keys]


def _part(item: Item, x: int, y: int) -> tuple[object, ...]:
    if item.kind == "text":
        return item.color, "text", item.word[x], y
    return item.color, item.kind, item.x2 - item.x1, x, y
