"""A gallery beside the embedded model: what is found, what is drawn, and how likely each is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from datagen.backends import gallery
from datagen.backends.gallery import GalleryBackend
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.chat import encode_image
from datagen.embedded.pictograms import render_scene
from datagen.embedded.world import lay_out
from datagen.errors import BackendError
from datagen.pictures import encode_png
from datagen.prompts.templated import plan_prompts
from datagen.records import Failure, Prompt, Request, Sample, Segment, seed_of
from datagen.rewards.likeness.likelihood import score
from datagen.scoring.tools import Tools
from datagen.taxonomy import load_taxonomy

PROMPTS = list(plan_prompts(load_taxonomy(["counting", "spatial", "attributes"], "pictograms"), 10, 3))


def paint(prompt: Prompt) -> bytes:
    """A true picture of what a prompt claims, drawn by the world and by no model."""
    return encode_png(render_scene(lay_out(prompt.claims, Random(seed_of(prompt.id)))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten true pictures with their prompts as captions."""
    home = tmp_path_factory.mktemp("gallery")
    lines = []
    for k, prompt in enumerate(PROMPTS):
        (home / f"{k}.png").write_bytes(paint(prompt))
        lines.append(json.dumps({"file_name": f"{k}.png", "text": prompt.text}))
    (home / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return home


@pytest.fixture(scope="module")
def backend(folder: Path) -> GalleryBackend:
    return gallery.build({"images": str(folder), "retrieved": 2, "model": {"name": "embedded", "threads": 1}})


@pytest.fixture(scope="module")
def model(backend: GalleryBackend) -> EmbeddedBackend:
    made = backend.model
    assert isinstance(made, EmbeddedBackend)
    return made


def ask(prompt: Prompt, candidate: int, mode: Any = "direct") -> Request:
    return Request(prompt, candidate, seed_of(1, prompt.id, candidate), mode)


def test_the_likelihood_is_the_product_over_image_tokens(model: EmbeddedBackend, folder: Path) -> None:
    """Token by token, with the softmax written out: no shared code but the vocabulary and the codec."""
    image = (folder / "0.png").read_bytes()
    (given, tokens), (again, _) = (model.likelihood(PROMPTS[0].text, [image])[0] for _ in range(2))
    codes = encode_image(model.codec, image, "cpu")
    ids = [*model.vocab.prompt_ids(PROMPTS[0].text, "direct"), *model.vocab.image_ids(codes)]
    total = 0.0
    for place, token in enumerate(ids):
        if token >= model.vocab.first_code:
            logits = model.decoder.logits(torch.tensor([ids[:place]]))[0, -1].double()
            total += float(logits[token] - logits.logsumexp(0))
    assert tokens == 36
    assert given == again == pytest.approx(total, abs=1e-2)


def test_the_best_of_the_gallery_come_first_and_the_rest_is_drawn(backend: GalleryBackend, folder: Path) -> None:
    requests = [ask(prompt, k, "think") for prompt in PROMPTS[:4] for k in (2, 0, 1)]
    made = list(backend.generate(requests))
    drawn = [each for each in made if isinstance(each, Sample) and each.candidate == 2]
    assert drawn
    assert {each.settings["source"] for each in drawn} == {"generated"}
    assert {each.settings["source"] for each in made if isinstance(each, Sample) and each.candidate < 2} == {"gallery"}
    pictures = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    for request, sample in zip(requests, made, strict=True):
        if isinstance(sample, Failure):
            assert request.candidate == 2  # the model may fail to draw, the gallery cannot
            continue
        assert (sample.id, sample.seed) == (request.sample_id, request.seed)
        gain = sample.settings["log_given"] - sample.settings["log_prior"]
        verdict = score(request.prompt, sample, Tools(lambda image: [], lambda image: []))
        assert verdict.value == pytest.approx(1 / (1 + math.exp(-gain / 36)))
        if request.candidate < 2:
            assert sample.image == pictures[sample.settings["picture"]]
            ranked = backend._rank(request.prompt.text)
            assert sample.settings["picture"] == ranked[request.candidate][0].name
    ranks = [[p.caption for p, _ in backend._rank(prompt.text)].index(prompt.text) for prompt in PROMPTS]
    assert ranks.count(0) >= 6  # its own picture among ten: by chance one in ten is first


def test_the_prior_is_the_mean_over_the_other_captions(
    backend: GalleryBackend, model: EmbeddedBackend, folder: Path
) -> None:
    image = (folder / "3.png").read_bytes()
    (held,) = backend._hold_against_captions([image])
    for asked in (PROMPTS[3], PROMPTS[7]):
        others = [prompt.text for prompt in PROMPTS if prompt != asked]
        mean = sum(math.exp(model.likelihood(text, [image])[0][0]) for text in others) / len(others)
        (facts,) = backend._weigh(f" {asked.text.upper()}", [image], [held])
        assert facts["log_prior"] == pytest.approx(math.log(mean), abs=1e-3)
    (own,) = backend._weigh(PROMPTS[3].text, [image], [held])
    assert own["log_given"] - own["log_prior"] > math.log(len(PROMPTS))  # no ceiling by its own caption


def test_a_sample_depends_on_its_request_alone(backend: GalleryBackend, folder: Path) -> None:
    requests = [ask(prompt, k) for prompt in PROMPTS[:3] for k in range(3)]
    together = {sample.id: sample for sample in backend.generate(requests) if isinstance(sample, Sample)}
    fresh = gallery.build({"images": str(folder), "model": {"name": "embedded", "threads": 1}})
    for request in (requests[8], requests[1], requests[5]):
        assert list(fresh.generate([request])) == [together[request.sample_id]]


def test_a_prompt_that_is_too_long_fails_alone(backend: GalleryBackend) -> None:
    long = Prompt.make("a very " + "very " * 200 + "red star", (), **_where(PROMPTS[0]))
    first, second, drawn, fine = backend.generate([ask(long, 0), ask(long, 1), ask(long, 2), ask(PROMPTS[0], 0)])
    assert isinstance(first, Failure)
    assert "tokens long" in first.error
    assert isinstance(second, Failure)
    assert isinstance(drawn, Failure)
    assert isinstance(fine, Sample)


def _where(prompt: Prompt) -> dict[str, Any]:
    return {name: getattr(prompt, name) for name in ("weakness", "skill", "level", "index", "seed", "template")}


def test_a_gallery_smaller_than_what_is_retrieved_says_so(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "metadata.jsonl").read_text().splitlines()[:2]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    for k in range(2):
        (tmp_path / f"{k}.png").write_bytes((folder / f"{k}.png").read_bytes())
    small = gallery.build({"images": str(tmp_path), "retrieved": 4, "model": {"name": "embedded", "threads": 1}})
    found = list(small.generate([ask(PROMPTS[5], k) for k in range(4)]))
    assert [type(each) for each in found] == [Sample, Sample, Failure, Failure]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "metadata.jsonl"),
        ('{"file_name": "0.png"}', "has no text, caption, prompt"),
        ('{"file_name": "0.png", "text": "x"}', "1 caption, and a prior needs several"),
        ('{"file_name": "gone.png", "text": "x"}', "No such file"),
        ('{"file_name": "bad.png", "text": "x"}', "not a picture"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_gallery_is_one_line(folder: Path, tmp_path: Path, metadata: str | None, message: str) -> None:
    (tmp_path / "0.png").write_bytes((folder / "0.png").read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    if metadata is not None:
        (tmp_path / "metadata.jsonl").write_text(metadata)
    with pytest.raises(BackendError, match=message):
        gallery.build({"images": str(tmp_path), "model": {"name": "embedded", "threads": 1}})
    with pytest.raises(BackendError, match="there is no gallery"):
        gallery.build({"images": str(tmp_path / "nowhere")})


def test_a_model_without_likelihoods_is_refused(folder: Path) -> None:
    with pytest.raises(BackendError, match="gives no likelihood of an image"):
        gallery.build({"images": str(folder), "model": "tests.helpers.instant"})


def test_a_sample_of_another_backend_has_no_value() -> None:
    request = ask(PROMPTS[0], 0)
    sample = Sample.make(request, (Segment("image", "image"),), engine="e", switch="none", finish="stop", settings={})
    verdict = score(PROMPTS[0], sample, Tools(lambda image: [], lambda image: []))
    assert verdict.value is None
    assert "notes no likelihood" in verdict.reason


def test_damaged_images_are_errors_of_their_own(model: EmbeddedBackend) -> None:
    with pytest.raises(OSError, match="not a picture"):
        model.likelihood("a red star", [b"no picture"])
    assert model.likelihood("a red star", []) == []
