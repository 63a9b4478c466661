"""A tiny Janus of the real classes: the toolkit asks for a thought, then for the image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DynamicCache, StaticCache

from datagen.backends.transformers import build
from datagen.backends.transformers.backend import TransformersBackend
from datagen.backends.transformers.janus import Guidance, JanusFamily, Thought, make_cache
from datagen.backends.transformers.rows import Row
from datagen.records import Failure, Sample
from tests.helpers.tiny_models import IMAGE_PX, make_requests

TEXTS = ["a red star", "three blue fish in the sea by night", "x", "a key"]


def load(folder: Path, **options: Any) -> TransformersBackend:
    given = {"device": "cpu", "batch_size": 4, "max_tokens": 24, "think_template": "Plan: {prompt}", **options}
    return build({"model": str(folder), **given})


@pytest.fixture(scope="module")
def janus(janus_folder: Path) -> TransformersBackend:
    return load(janus_folder)


def family_of(backend: TransformersBackend) -> JanusFamily:
    assert isinstance(backend.family, JanusFamily)
    return backend.family


def test_think_is_a_thought_and_an_image(janus: TransformersBackend) -> None:
    made = list(janus.generate(make_requests(TEXTS, "think")))
    samples = [sample for sample in made if isinstance(sample, Sample)]
    assert len(samples) >= 2
    assert {m.error for m in made if isinstance(m, Failure)} <= {"the model writes no thought"}
    for sample in samples:
        assert [(s.kind, s.role) for s in sample.segments] == [("text", "think"), ("image", "image")]
        assert (sample.engine, sample.switch) == ("transformers/1", "forced")
    assert {sample.finish for sample in samples} <= {"stop", "length"}


def test_direct_is_an_image_alone(janus: TransformersBackend) -> None:
    made = list(janus.generate(make_requests(TEXTS, "direct")))
    assert len({sample.segments for sample in made if isinstance(sample, Sample)}) == len(TEXTS)
    for sample in made:
        assert isinstance(sample, Sample)
        assert [(s.kind, s.role) for s in sample.segments] == [("image", "image")]
        with Image.open(io.BytesIO(sample.image or b"")) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (IMAGE_PX, IMAGE_PX))


def test_a_sample_is_the_same_whatever_else_is_in_the_batch(janus: TransformersBackend) -> None:
    for mode in ("direct", "think"):
        requests = make_requests(TEXTS, mode)
        together = {made.prompt_id: made for made in janus.generate(requests)}
        alone = [next(iter(janus.generate([request]))) for request in requests[1:3]]
        assert [together[made.prompt_id] for made in alone] == alone


def test_a_flow_gives_the_samples_of_one_call_in_any_order_and_mode(janus: TransformersBackend) -> None:
    requests = [request for mode in ("direct", "think") for request in make_requests(TEXTS, mode, len(mode))]
    expected = [answer for mode in (requests[: len(TEXTS)], requests[len(TEXTS) :]) for answer in janus.generate(mode)]
    mixed = [request for pair in zip(requests, reversed(requests), strict=True) for request in pair][: len(requests)]
    made = list(janus.stream(iter([None, *mixed[:3], None, None, *mixed[3:]])))
    assert made[0] is None
    answers = [answer for answer in made if answer is not None]
    assert len(answers) == len(requests)
    assert all(answer in expected for answer in answers)


def test_the_thought_stands_in_the_prompt_of_the_image(janus: TransformersBackend) -> None:
    family, (request,) = family_of(janus), make_requests(["a red star"], "think")
    thought = family._read_thought(request, [*family.tokenizer("one star")["input_ids"], family.eos])
    assert isinstance(thought, Thought)
    row = family._ask_image(thought)
    assert isinstance(row, Row)
    assert (row.thought, row.finish) == ("one star", "stop")
    asked = family.tokenizer.decode(list(row.ids))
    assert "a red star\n\none star" in asked
    assert asked.endswith("assistant:<begin_of_image>")
    cut = family._read_thought(request, family.tokenizer("one star")["input_ids"])
    assert isinstance(cut, Thought)
    assert cut.finish == "length"


def test_an_empty_thought_is_a_failure(janus: TransformersBackend) -> None:
    failure = family_of(janus)._read_thought(make_requests(["x"], "think")[0], [2])
    assert isinstance(failure, Failure)
    assert failure.error == "the model writes no thought"


def test_the_image_is_what_the_processor_makes_of_it(janus: TransformersBackend) -> None:
    family = family_of(janus)
    codes = torch.arange(16)[None] % 7
    with torch.inference_mode():
        drawn = family.model.decode_image_tokens(codes).permute(0, 3, 1, 2)  # without torchvision it wants them first
    (expected,) = family.processor.post_process_multimodal_output(drawn, generation_mode="image")
    with Image.open(io.BytesIO(family._decode(codes))) as picture:
        difference = np.asarray(picture).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1


def test_guidance_is_that_of_the_library(janus: TransformersBackend) -> None:
    family = family_of(janus)
    inputs = family.processor(text=["<bos>a red star"], generation_mode="image", return_tensors="pt")
    config = family.model.generation_config
    family.model.generation_config = type(config)(**{**config.to_dict(), "guidance_scale": 4.0})
    expected = family.model.generate(**inputs, generation_mode="image", past_key_values=DynamicCache())
    family.model.generation_config = config
    ours = family.model.generate(
        **inputs, generation_mode="image", past_key_values=DynamicCache(), logits_processor=[Guidance(4.0)]
    )
    assert torch.equal(ours, expected)


def test_a_cache_of_full_size_draws_what_a_growing_one_does(
    janus: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = make_requests(TEXTS, "direct")
    expected = list(janus.generate(requests))
    made: list[tuple[Any, int]] = []

    def make_static(config: Any, length: int, device: str) -> Any:
        made.append((make_cache(config, length, "cuda"), length))
        return made[-1][0]

    monkeypatch.setattr("datagen.backends.transformers.janus.make_cache", make_static)
    assert list(janus.generate(requests)) == expected
    assert {type(cache) for cache, _ in made} == {StaticCache}
    assert all(int(cache.get_seq_length()) == length - 1 for cache, length in made)  # the last code is not read


def test_settings_say_what_makes_the_sample_again(janus: TransformersBackend, janus_folder: Path) -> None:
    assert janus.lexicon == "everyday"
    assert janus.settings == {
        "family": "janus",
        "model": str(janus_folder),
        "dtype": "float32",
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 24,
        "guidance_scale": 5.0,
        "template": "{prompt}",
        "think_template": "Plan: {prompt}",
    }


def test_a_prompt_that_is_too_long_is_a_failure_and_its_neighbours_are_made(janus: TransformersBackend) -> None:
    for mode in ("direct", "think"):
        bad, good = janus.generate(make_requests(["star " * 200, "a red star"], mode))
        assert isinstance(bad, Failure)
        assert "tokens long; this model reads" in bad.error
        assert isinstance(good, Sample)


def test_memory_that_runs_out_is_a_failure(janus: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(**inputs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(family_of(janus).model, "generate", exhaust)
    made = list(janus.generate(make_requests(TEXTS[:2], "direct")))
    assert all(isinstance(failure, Failure) and "out of memory" in failure.error for failure in made)
