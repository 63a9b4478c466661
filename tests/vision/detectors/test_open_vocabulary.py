"""Zero-shot detectors, tiny ones from a config, against the plain calls of their library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from datagen.errors import BackendError, ConfigError
from datagen.pictures import read_image
from datagen.records import Detection
from datagen.rewards.objects import counting
from datagen.scoring.tools import make_tools
from datagen.vision.detectors import open_vocabulary
from datagen.vision.finding import Found, clip_box, keep_best, to_detections
from tests.helpers.reward_cases import count, make_prompt, make_sample
from tests.helpers.seeing_cases import DAMAGED, flat, noise, png
from tests.helpers.tiny_vision import TEXT_PLACES, save_clip, save_grounding_dino, save_owl

NAMES = frozenset({"star", "car", "cup"})
IMAGES = [noise(1, 40, 60), noise(2, 60, 40), noise(3, 32, 32)]


@pytest.fixture(scope="module", params=["owlv2", "owlvit"])
def owl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_owl(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_grounding_dino(tmp_path_factory.mktemp("dino"))


def plain_owl(folder: Path, image: bytes, names: list[str]) -> list[Found]:
    """Call model and image processor as their documentation does, and let the library scale the boxes."""
    model: Any = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = tokenizer(
        [f"a photo of a {name}" for name in names],
        padding="max_length",
        truncation=True,
        max_length=TEXT_PLACES,
        return_tensors="pt",
    )
    picture = read_image(image)
    with torch.no_grad():
        output = model(
            input_ids=texts["input_ids"],
            attention_mask=texts["attention_mask"],
            **processor(images=picture, return_tensors="pt"),
        )
    sizes = torch.tensor([[picture.height, picture.width]])
    (found,) = processor.post_process_object_detection(output, threshold=0.0, target_sizes=sizes)
    return [
        Found(names[int(label)], float(score), clip_box(tuple(box.tolist()), picture.width, picture.height))
        for label, score, box in zip(found["labels"], found["scores"], found["boxes"], strict=True)
    ]


def as_detections(found: list[Found], image: bytes, threshold: float, overlap: float) -> list[Detection]:
    picture = read_image(image)
    kept = keep_best([each for each in found if each.confidence > threshold], overlap, 16)
    return to_detections(kept, [""] * len(kept), picture.width, picture.height)


def test_owl_agrees_with_the_plain_call(owl: Path) -> None:
    detect = open_vocabulary.build({"model": str(owl), "threshold": 0.35, "most_overlap": 0.4, "colors": "none"})
    sizes = set()
    for image in IMAGES:
        found = detect(image, NAMES)
        expected = as_detections(plain_owl(owl, image, sorted(NAMES)), image, 0.35, 0.4)
        assert [(a.label, a.color) for a in found] == [(b.label, b.color) for b in expected]
        for a, b in zip(found, expected, strict=True):
            assert a.box == pytest.approx(b.box, abs=1)
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
        sizes.add(len(found))
    assert max(sizes) > 1


def test_grounding_dino_scores_a_name_by_its_best_token(dino: Path) -> None:
    """The tokens of `car. cup. star.` are letters, so that the columns of each name can be counted by hand."""
    model: Any = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(dino).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(dino, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(dino)
    tokens = tokenizer("car. cup. star.", return_tensors="pt")
    assert tokens["input_ids"].shape[1] == 1 + 3 + 1 + 3 + 1 + 4 + 1 + 1
    columns = {"car": [1, 2, 3], "cup": [5, 6, 7], "star": [9, 10, 11, 12]}
    detect = open_vocabulary.build({"model": str(dino), "threshold": 0.05, "most_overlap": 1, "colors": "none"})
    for image in IMAGES:
        with torch.no_grad():
            output = model(**processor(images=read_image(image), return_tensors="pt"), **tokens)
        probabilities = output.logits[0].sigmoid()
        expected = []
        for row in probabilities:
            best = {name: max(float(row[k]) for k in places) for name, places in columns.items()}
            label = max(best, key=lambda name: best[name])
            expected.append((label, pytest.approx(best[label], abs=1e-3)))
        found = detect(image, NAMES)
        assert sorted((each.label, each.confidence) for each in found) == sorted(
            ((label, value) for label, value in expected if value.expected > 0.05), key=lambda e: (e[0], e[1].expected)
        )
        assert found


def test_only_what_is_asked_for_is_named(owl: Path, dino: Path) -> None:
    for folder in (owl, dino):
        detect = open_vocabulary.build({"model": str(folder), "threshold": 0.0})
        assert {each.label for each in detect(IMAGES[0], frozenset({"cup"}))} == {"cup"}
        assert detect(IMAGES[0], frozenset()) == []


def test_the_order_of_names_does_not_matter(owl: Path) -> None:
    detect = open_vocabulary.build({"model": str(owl), "threshold": 0.3})
    assert detect(IMAGES[0], frozenset(["star", "car"])) == detect(IMAGES[0], frozenset(["car", "star"]))


def test_pictures_of_every_kind(owl: Path, dino: Path) -> None:
    grey = png(np.random.default_rng(1).integers(0, 256, (20, 20), dtype=np.uint8))
    clear = png(np.random.default_rng(1).integers(0, 256, (20, 20, 4), dtype=np.uint8))
    for folder in (owl, dino):
        detect = open_vocabulary.build({"model": str(folder), "threshold": 0.0})
        for image in (grey, clear, flat((1, 2, 3), 1, 1), flat((1, 2, 3), 3, 50), noise(1, 3, 3)):
            for found in detect(image, NAMES):
                assert 0 <= min(found.box) <= max(found.box) <= 1000
        with pytest.raises(OSError):
            detect(DAMAGED, NAMES)


def test_scorers_see_through_it_once_they_are_told_the_names(owl: Path) -> None:
    tools = make_tools(open_vocabulary.build({"model": str(owl), "threshold": 0.3}), lambda image: [])
    prompt, sample = make_prompt(count("star", 1)), make_sample(image=IMAGES[0])
    assert counting.score(prompt, sample, tools).value is None
    seen = counting.score(prompt, sample, tools.look_for({"star"}))
    assert seen.value in (0.0, 1.0)
    assert seen.evidence["found"]["star"] == len(seen.evidence["detections"])


def test_nan_is_no_empty_picture(tmp_path: Path) -> None:
    save_owl(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["class_head.dense0.weight"].fill_(float("nan"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not numbers"):
        open_vocabulary.build({"model": str(tmp_path)})(IMAGES[0], NAMES)


def test_more_names_than_it_reads_are_an_error(dino: Path) -> None:
    names = frozenset(f"thing{letter}" for letter in "abcdefgh")
    with pytest.raises(ValueError, match="8 names are more than the detector reads at once"):
        open_vocabulary.build({"model": str(dino)})(IMAGES[0], names)


def test_colours_by_clip(owl: Path, tmp_path: Path) -> None:
    options = {"model": str(owl), "threshold": 0.3, "colors": "clip", "color_model": str(save_clip(tmp_path))}
    found = open_vocabulary.build(options)(IMAGES[0], NAMES)
    assert found
    assert all(each.color for each in found)


def test_what_cannot_be_used_says_why(owl: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be loaded"):
        open_vocabulary.build({"model": str(owl), "device": "cuda:64"})
    with pytest.raises(BackendError, match="cannot be loaded"):
        open_vocabulary.build({"model": str(save_clip(tmp_path))})
    with pytest.raises(ConfigError):
        open_vocabulary.build({"model": str(owl), "colors": "clip"})
    with pytest.raises(ConfigError):
        open_vocabulary.build({"model": str(owl), "threshold": 2})
