"""The sum of loss of the pieces is that of the whole, counted token by token with losses of its own for each."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from export_cases import draw_png, export, make_items, make_prompt

from datagen.errors import ConfigError, RunError
from datagen.export import ViewPlan, check_view
from datagen.export.examples import Example, Part, parts_of, read_rows
from datagen.export.views.pieces import Options, view
from datagen.plugins import load_plugin
from datagen.records import Segment

IMAGE_TOKENS = 7
WORDS = ["gray", "background", "red", "star", "left", "of", "blue", "moon", "redraw", "more"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """One token a word, so that the reference below counts without it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({word: k for k, word in enumerate(["?", *WORDS])}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def make_row(rng: random.Random) -> dict[str, Any]:
    """A trajectory of random form: thought or none, one to three images, reflections of random length between."""
    roles = [("text", "think")] * rng.randint(0, 1) + [("image", "image")]
    for _ in range(rng.randint(0, 2)):
        roles += [("text", "look"), ("text", "reflect"), ("image", "refined image")]
    segments: list[dict[str, Any]] = []
    images: list[bytes] = []
    for kind, role in roles:
        if kind == "image":
            segments.append({"kind": kind, "role": role, "text": None, "image": len(images)})
            images.append(draw_png(rng.choice(["red", "green", "blue"]), 8))
        else:
            text = " ".join(rng.choices(WORDS, k=rng.randint(1, 9)))
            segments.append({"kind": kind, "role": role, "text": text, "image": None})
    row = dict.fromkeys(("skill", "level", "text_reward", "image_reward", "passed", "candidate", "seed", "engine"))
    weights = {"text_weight": rng.choice([0.0, rng.uniform(0.1, 5)]), "image_weight": rng.choice([0.0, 1.0, 2.5])}
    switch = rng.choice(["autonomous", "forced"])
    row |= {"id": "p-00", "prompt": "a red star", "group_id": "p", "weakness": "counting", "switch": switch, **weights}
    gain = rng.choice([None, 0.0, 0.5])
    return {**row, "kept": any(weights.values()), "segments": segments, "images": images, "gain": gain}


def token_losses(parts: Iterable[Part], nll: dict[Any, float]) -> list[tuple[str, float, float]]:
    """Every token of a sequence that is learned: its modality, its loss, its weight. Tokens are keyed by place."""
    found = []
    for place, part in enumerate(parts):
        many = IMAGE_TOKENS if part.kind == "image" else len(part.text.split())
        found += [(part.kind, nll[place, k], part.loss) for k in range(many)]
        found += [("text", nll[place, "switch"], part.switch)]
    return [token for token in found if token[2] > 0]


def sum_over_tokens(parts: Iterable[Part], nll: dict[Any, float]) -> float:
    return sum(loss * weight for _, loss, weight in token_losses(parts, nll))


def mean_over_example(parts: Iterable[Part], nll: dict[Any, float]) -> float:
    """The loss on the card: the mean over the tokens of each modality, times its weight."""
    tokens = token_losses(parts, nll)
    total = 0.0
    for kind in ("text", "image"):
        ours = [loss * weight for modality, loss, weight in tokens if modality == kind]
        total += sum(ours) / len(ours) if ours else 0.0
    return total


@pytest.mark.parametrize("average", ["token", "example"])
def test_the_sum_of_loss_is_that_of_the_whole(average: str, tokenizer: Path) -> None:
    rng = random.Random(3)
    options = Options(average=average, tokenizer=tokenizer)
    measure = sum_over_tokens if average == "token" else mean_over_example
    several = 0
    for _ in range(400):
        row = make_row(rng)
        nll: dict[Any, float] = defaultdict(lambda: rng.uniform(0.1, 9))  # a token's loss is where it stands
        pieces = list(view([row], options))
        whole = measure(parts_of(row), nll)
        assert sum(measure(piece.parts, nll) for piece in pieces) == pytest.approx(whole)
        assert bool(pieces) == (whole > 0)
        several += len(pieces) > 2
    assert several > 100


def test_without_division_a_mean_over_examples_is_another_sum(tokenizer: Path) -> None:
    rng = random.Random(4)
    rows = [make_row(rng) for _ in range(80)]
    off = 0
    for row in rows:
        nll: dict[Any, float] = defaultdict(lambda: rng.uniform(0.1, 9))
        pieces = sum(mean_over_example(piece.parts, nll) for piece in view([row], Options()))
        off += pieces != pytest.approx(mean_over_example(parts_of(row), nll))
    assert off > 20


def test_a_reflection_becomes_five_pieces(tmp_path: Path) -> None:
    item = make_items([make_prompt(0)])[2]
    extra = (
        Segment("text", "look", text="two stars"),
        Segment("text", "reflect", text="add one"),
        Segment("image", "refined image", image=draw_png("green")),
    )
    item = replace(item, sample=replace(item.sample, segments=(*item.sample.segments, *extra)), gain=0.0)
    (row,) = read_rows(export([item], tmp_path / "dataset", validation_share=0.0).path, "train")
    text, image = row["text_weight"], row["image_weight"]
    pieces = list(view([row], Options()))
    assert [piece.task for piece in pieces] == [
        "text to text",
        "text to image",
        "text and image to text",
        "text and image to text",
        "text and image to image",
    ]
    assert [flags(piece) for piece in pieces] == [
        [(0, 0, ""), (text, 0, "")],
        [(0, 0, ""), (0, text, ""), (image, 0, "")],
        [(0, 0, ""), (0, 0, ""), (0, 0, "vit"), (text, 0, "")],
        [(0, 0, ""), (0, 0, ""), (0, 0, "vit"), (0, 0, ""), (text, 0, "")],
        [(0, 0, ""), (0, 0, ""), (0, 0, "vae+vit"), (0, 0, ""), (0, text, ""), (image, 0, "")],
    ]
    assert [piece.facts["piece"] for piece in pieces] == [1, 2, 3, 4, 5]
    assert {(piece.group, piece.facts["trajectory"], piece.facts["pieces"]) for piece in pieces} == {
        (row["group_id"], row["id"], 5)
    }
    assert len({piece.id for piece in pieces}) == 5


@pytest.mark.parametrize(
    ("gain", "losses"),
    [(None, [0, 0, 2]), (0.5, [0, 0, 2]), (0.0, [2, 0, 2]), (-0.5, [2, 0, 2])],
)
def test_an_image_that_was_improved_on_is_only_read(gain: float | None, losses: list[float]) -> None:
    """The weight is that of the last image; only the first is known to be no worse, by the gain."""
    segments = [
        {"kind": "image", "role": "image", "text": None, "image": 0},
        {"kind": "text", "role": "reflect", "text": "more red", "image": None},
        {"kind": "image", "role": "refined image", "text": None, "image": 1},
        {"kind": "text", "role": "reflect", "text": "redraw", "image": None},
        {"kind": "image", "role": "refined image", "text": None, "image": 2},
    ]
    images = [draw_png(color, 8) for color in ("red", "green", "blue")]
    row = {**make_row(random.Random(1)), "text_weight": 1.0, "image_weight": 2.0, "segments": segments}
    row |= {"images": images, "gain": gain, "switch": "forced", "kept": True}
    assert [part.loss for part in parts_of(row) if part.kind == "image"] == losses
    assert [part.loss for part in parts_of(row, all_images=True) if part.kind == "image"] == [2, 2, 2]
    taught = [piece.parts[-1].image for piece in view([row], Options()) if piece.parts[-1].kind == "image"]
    assert taught == [image for image, loss in zip(images, losses, strict=True) if loss]


def test_the_turn_goes_on_after_a_thought_whose_image_is_refused() -> None:
    """The thought is the last piece then, but not the last of the sample: ms-swift must not teach to stop there."""
    roles = ({"kind": "text", "role": "think", "text": "red star", "image": None},)
    drawn = {"kind": "image", "role": "image", "text": None, "image": 0}
    row = {**make_row(random.Random(1)), "segments": [*roles, drawn], "images": [draw_png("red", 8)]}
    row |= {"text_weight": 1.0, "image_weight": 0.0, "switch": "forced", "kept": True, "gain": None}
    (thought,) = view([row], Options())
    assert (thought.facts["piece"], thought.facts["pieces"], thought.facts["ends"]) == (1, 1, False)
    (_, last) = view([{**row, "image_weight": 1.0}], Options())
    assert last.facts["ends"] is True


def flags(example: Example) -> list[tuple[float, float, str]]:
    return [(part.loss, part.switch, part.sees) for part in example.parts]


def test_a_mean_over_examples_needs_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs `tokenizer:`"):
        check_view(ViewPlan("p", "pieces", "jsonl", {"average": "example"}, {}))
    with pytest.raises(ConfigError, match="tokenizer: Path does not point to a file"):
        check_view(ViewPlan("p", "pieces", "jsonl", {"tokenizer": str(tmp_path / "nothing.json")}, {}))


def test_only_the_pieces_of_some_tasks() -> None:
    rng = random.Random(9)
    rows = [make_row(rng) for _ in range(60)]
    every = list(view(rows, Options()))
    for task in sorted({example.task for example in every}):
        wanted = [example for example in every if example.task == task]
        assert wanted
        assert list(view(rows, Options(tasks=[task]))) == wanted
    with pytest.raises(ConfigError, match="tasks"):
        check_view(ViewPlan("mine", "pieces", "jsonl", {"tasks": ["image to image"]}, {}))


@pytest.mark.parametrize(
    ("format_", "tasks"), [("bagel_t2i", ["text to image"]), ("bagel_edit", ["text and image to image"])]
)
def test_a_trainer_that_holds_one_task_gets_it(format_: str, tasks: list[str], tmp_path: Path) -> None:
    rng = random.Random(9)
    rows = [{**make_row(rng), "id": f"p-{k:02d}"} for k in range(20)]
    options = load_plugin("export.formats", format_, "write").Options()
    write = load_plugin("export.formats", format_, "write").write
    write(view(rows, Options.model_validate({"tasks": tasks})), tmp_path, "train", options)
    with pytest.raises(RunError, match=f"`pieces` with `tasks: .{tasks[0]}.`"):
        write(view(rows, Options()), tmp_path / "all", "train", options)
