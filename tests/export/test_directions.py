"""Both directions of a pair, their balance, and what is hidden to be mended."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_cases import export
from PIL import Image

from datagen.errors import RunError
from datagen.export import ExportItem, ViewPlan, export_view
from datagen.export.examples import Row, read_rows
from datagen.export.views.directions import GREY, MASK, Options, hide_squares, hide_words, view


@pytest.fixture
def rows(items: list[ExportItem], tmp_path: Path) -> list[Row]:
    return list(read_rows(export(items, tmp_path / "dataset", validation_share=0.0).path, "train"))


def test_each_pair_goes_both_ways_where_no_claim_failed(rows: list[Row]) -> None:
    made = list(view(rows, Options(balance=0.25)))
    for row in rows:
        ours = {example.task: example for example in made if example.facts["pair"] == row["id"]}
        weight = row["image_weight"]
        assert set(ours) == (
            set() if not weight else {"text to image"} if row["passed"] is False else {"text to image", "image to text"}
        )
        if ours:
            prompt, image = ours["text to image"].parts
            assert (prompt.text, prompt.loss) == (row["prompt"], 0)
            assert (image.image, image.loss, image.sees) == (row["images"][-1], weight, "")
        if "image to text" in ours:
            seen, caption = ours["image to text"].parts
            assert (seen.image, seen.loss, seen.sees) == (row["images"][-1], 0, "vit")
            assert (caption.text, caption.loss) == (row["prompt"], 0.25 * weight)
    assert len({example.id for example in made}) == len(made)
    assert {example.task for example in made} == {"text to image", "image to text"}


def test_what_a_judge_denies_is_no_caption(rows: list[Row]) -> None:
    """A judge does not set `passed`; it says `denied`."""
    row = next(row for row in rows if row["passed"] and row["image_weight"])
    assert [e.task for e in view([{**row, "passed": None}], Options())] == ["text to image", "image to text"]
    denied = {**row, "passed": None, "causes": ["denied"]}
    assert [e.task for e in view([denied], Options(denoise=["text"]))] == ["text to image"]


def test_a_balance_of_nothing_leaves_generation_alone(rows: list[Row]) -> None:
    assert {example.task for example in view(rows, Options(balance=0.0))} == {"text to image"}


def test_a_question_stands_behind_the_image(rows: list[Row]) -> None:
    made = [e for e in view(rows, Options(question="Describe the image.")) if e.task == "image to text"]
    assert made
    assert {tuple(part.text for part in example.parts[:2]) for example in made} == {("", "Describe the image.")}


def test_either_side_is_mended_beside_the_whole_other_one(rows: list[Row]) -> None:
    options = Options(denoise=["text", "image"], hidden=0.5, balance=0.5)
    made = list(view(rows, options))
    pairs = {row["id"]: row for row in rows}
    for example in made:
        row = pairs[example.facts["pair"]]
        if example.task == "text denoising":
            seen, masked, target = example.parts
            assert seen.image == row["images"][-1]
            assert MASK in masked.text.split()
            assert (target.text, target.loss) == (row["prompt"], 0.5 * row["image_weight"])
        if example.task == "image denoising":
            torn, prompt, target = example.parts
            assert (prompt.text, torn.sees, torn.loss) == (row["prompt"], "vae+vit", 0)
            assert torn.image != row["images"][-1] == target.image
    assert {example.task for example in made} == {
        "text to image",
        "image to text",
        "text denoising",
        "image denoising",
    }
    assert list(view(rows, options)) == made
    assert list(view(reversed(rows), options)) == [
        e for row in reversed(rows) for e in made if e.facts["pair"] == row["id"]
    ]
    other = list(view(rows, Options(denoise=["text", "image"], hidden=0.5, balance=0.5, seed=1)))
    assert [e.parts for e in other] != [e.parts for e in made]


@pytest.mark.parametrize(("share", "hidden"), [(0.01, 1), (0.5, 4), (1.0, 8)])
def test_that_share_of_words_is_hidden_and_the_rest_stays(share: float, hidden: int) -> None:
    text = "a photo of three red stars above moon"
    masked = hide_words(text, random.Random(1), share).split()
    assert masked.count(MASK) == hidden
    assert all(word in (MASK, whole) for word, whole in zip(masked, text.split(), strict=True))
    assert hide_words("star", random.Random(1), 0.5) == MASK


@pytest.mark.parametrize(("share", "hidden"), [(0.01, 1), (0.25, 9), (1.0, 36)])
def test_that_share_of_squares_is_grey_and_the_rest_stays(share: float, hidden: int) -> None:
    pixels = np.random.default_rng(0).integers(128, 255, (25, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    torn = np.asarray(Image.open(io.BytesIO(hide_squares(buffer.getvalue(), random.Random(2), share, 6))))
    grey = (torn == GREY).all(-1)
    assert (torn[~grey] == pixels[~grey]).all()
    ys, xs = (np.round(np.arange(7) * side / 6).astype(int) for side in (25, 50))
    cells = [grey[ys[j] : ys[j + 1], xs[k] : xs[k + 1]] for j in range(6) for k in range(6)]
    assert sum(bool(cell.all()) for cell in cells) == hidden
    assert sum(bool(cell.any()) for cell in cells) == hidden


def test_a_run_without_a_weighed_image_is_one_line(items: list[ExportItem], tmp_path: Path) -> None:
    unscored: Any = [item for item in items if item.rewards.image is None]
    dataset = export(unscored, tmp_path / "dataset").path
    with pytest.raises(RunError, match="the view 'directions' finds no example") as caught:
        export_view(dataset, tmp_path / "exports" / "both", ViewPlan("both", "directions", "jsonl", {}, {}))
    assert "an image and a weight" in str(caught.value.hint)
