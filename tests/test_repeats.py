"""Samples that repeat one of another prompt are counted, and the best of them stays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.config import Deduplicate
from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.pipeline import Silent, read_weights, reweigh_run
from datagen.pipeline.repeats import find_repeats, sketch_samples
from datagen.pipeline.review import Review, write_review
from datagen.records import Prompt, Request, Sample, Segment
from datagen.vision.perceptual import hash_image, measure_difference, measure_differences, pack_hash
from tests.helpers.runs import build_here, small_recipe

IMAGES, TEXTS = Deduplicate(texts=None), Deduplicate(images=None)


def draw(color: str = "red", x: int = 1, kind: str = "PNG") -> bytes:
    scene = Scene("gray", (Item("star", color, x, 1, x + 3, 4),))
    file = io.BytesIO()
    Image.fromarray(render_scene(scene)).save(file, kind)
    return file.getvalue()


def sketch(*made: tuple[bytes, str]) -> np.ndarray:
    """Sketches of samples, each with a picture and a text, all of one prompt with the text "a star"."""
    prompt = Prompt.make("a star", (), weakness="w", skill="s", level="l", index=0, seed=0, template="t")
    samples = (
        Sample.make(
            Request(prompt, k, k, "think"),
            (Segment("text", "think", text=text), *([Segment("image", "image", image=image)] if image else [])),
            engine="e", switch="none", finish="stop", settings={},
        )
        for k, (image, text) in enumerate(made)
    )  # fmt: skip
    return sketch_samples({prompt.id: prompt}, samples)


def find(sketches: np.ndarray, options: Deduplicate, rewards: list[float] | None = None, groups: Any = None) -> Any:
    count = len(sketches)
    return find_repeats(sketches, np.array(groups or range(count)), np.array(rewards or [0.5] * count), options)


def test_of_pictures_that_are_nearly_the_same_the_best_stays() -> None:
    sketches = sketch((draw(), ""), (draw("blue"), ""), (draw(kind="JPEG"), ""), (draw(), ""))
    for rewards, found in (
        ([0.5, 0.5, 0.5, 0.5], [False, False, True, True]),
        ([0.5, 0.1, 0.9, 0.5], [True, False, False, True]),
        ([float("nan"), 0.1, 0.2, 0.0], [True, False, False, True]),
    ):
        repeats = find(sketches, IMAGES, rewards)
        assert repeats.found.tolist() == found
        assert (repeats.images, repeats.texts) == (2, 0)
    assert find(sketches, IMAGES).equal_images == 1


def test_candidates_of_one_prompt_do_not_repeat_each_other() -> None:
    sketches = sketch((draw(), ""), (draw(), ""), (draw(), ""))
    assert find(sketches, IMAGES, groups=[7, 7, 9]).found.tolist() == [False, False, True]


def test_texts_are_compared_with_their_prompts_and_samples_without_picture_by_text_alone() -> None:
    words = "three red stars stand in a row on the left side of the picture above a blue box and below a green ball"
    sketches = sketch((b"", words), (b"", words.upper()), (b"", f"{words} today"), (b"", "a quiet evening by the lake"))
    repeats = find(sketches, TEXTS)
    assert repeats.found.tolist() == [False, True, True, False]
    assert (repeats.texts, repeats.equal_texts) == (2, 1)
    assert not find(sketches, IMAGES).found.any()


def test_a_picture_that_cannot_be_read_repeats_nothing() -> None:
    assert not find(sketch((b"no picture", ""), (b"no picture", "")), IMAGES).found.any()


def test_packed_hashes_differ_as_the_hashes_do() -> None:
    pictures = [draw(), draw("blue"), draw(x=3), draw(kind="JPEG"), draw("yellow", 2)]
    hashes = [hash_image(picture) for picture in pictures]
    packed = np.stack([pack_hash(each) for each in hashes])
    for one, mine in zip(hashes, packed, strict=True):
        truth = [measure_difference(one, other) for other in hashes]
        assert measure_differences(mine, packed) == pytest.approx(truth, abs=1 / 255 + 1e-9)


def test_a_run_drops_repeats_and_says_so_in_report_and_card(tmp_path: Path) -> None:
    values: dict[str, Any] = {"backend": {"same": True, "wrong": 0.0}, "rewards": ["counting"]}
    plain, _ = build_here(small_recipe(**values), tmp_path / "plain")
    run, result = build_here(small_recipe(**values, deduplicate={"texts": None}), tmp_path / "run")
    dropped = [weight for weight in result.weighed.weights if "repeats a sample of another prompt" in weight.reason]
    assert dropped
    assert all(not weight.kept for weight in dropped)
    told = result.weighed.repeats
    assert told.startswith(f"{len(dropped)} pictures ({len(dropped)} equal)")
    assert told in (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert told in (tmp_path / "run" / "report.html").read_text()
    assert run.folder.marks == plain.folder.marks
    assert "repeat one of another" not in (tmp_path / "plain" / "dataset" / "README.md").read_text()


def test_a_repeat_takes_the_place_of_samples_that_a_person_rejected(tmp_path: Path) -> None:
    values: dict[str, Any] = {"backend": {"same": True}, "rewards": ["counting"], "weights": {"policy": "uniform"}}
    run, result = build_here(small_recipe(**values, deduplicate={"texts": None}), tmp_path)
    first, second, repeat = (weight.sample_id for weight in list(result.weighed.weights)[:3])
    for sample_id in (first, second):  # the candidates of a prompt, whose picture the next prompt has too
        write_review(run, sample_id, Review("rejected"), "")
    kept = {weight.sample_id: weight.kept for weight in read_weights(run).weights}
    assert [kept[each] for each in (first, second, repeat)] == [False, False, True]


def test_counting_alone_changes_no_weight_and_sketches_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {"backend": {"same": True}, "rewards": ["counting"], "weights": {"policy": "uniform"}}
    _, before = build_here(small_recipe(**values), tmp_path)
    _, counted = reweigh_run(str(tmp_path), ["deduplicate.drop=false"], Silent())
    assert "repeat one of another prompt" in counted.repeats
    assert list(counted.weights) == list(before.weighed.weights)
    monkeypatch.setattr("datagen.pipeline.repeats.sketch_samples", lambda *_: pytest.fail("a picture was read again"))
    _, dropped = reweigh_run(str(tmp_path), ["deduplicate.drop=true"], Silent())
    assert sum(weight.kept for weight in dropped.weights) < sum(weight.kept for weight in before.weighed.weights)
