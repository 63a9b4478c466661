"""A joint checkpoint through `generate`: the same tokens as the embedded engine, and no sample leans on another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pytest
import torch

from datagen.backends.transformers import build
from datagen.backends.transformers.backend import TransformersBackend
from datagen.backends.transformers.joint import JointFamily
from datagen.backends.transformers.rows import Row
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.records import Failure, Request, Sample
from tests.helpers.tiny_models import make_requests

TEXTS = ["a red star", "three blue fish", 'the word "OPEN"', "a key to the left of a bell", "two moons and one car"]


@lru_cache
def backend(**options: Any) -> TransformersBackend:
    return build({"model": str(SHIPPED), "device": "cpu", "batch_size": 4, "max_tokens": 80, **options})


@lru_cache
def embedded(temperature: float) -> EmbeddedBackend:
    return EmbeddedBackend(EmbeddedOptions(batch_size=5, threads=1, temperature=temperature, device="cpu"))


def write_here(family: JointFamily, requests: Sequence[Request]) -> list[list[int]]:
    prompts = [tuple(family.vocab.prompt_ids(r.prompt.text, r.mode)) for r in requests]
    rows = [Row(r, ids, r.seed) for r, ids in zip(requests, prompts, strict=True)]
    return list(family.runner.stream(iter(rows), family.write))  # type: ignore[arg-type]


def write_embedded(engine: EmbeddedBackend, requests: Sequence[Request]) -> list[list[int]]:
    return engine.write([engine.vocab.prompt_ids(r.prompt.text, r.mode) for r in requests], [r.seed for r in requests])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_it_writes_the_tokens_that_the_embedded_engine_writes(temperature: float) -> None:
    family = backend(temperature=temperature).family
    assert isinstance(family, JointFamily)
    for mode in ("think", "direct"):
        requests = make_requests(TEXTS, mode)
        expected = write_embedded(embedded(temperature), requests)
        assert write_here(family, requests) == expected


def test_a_sample_is_the_same_whatever_else_is_in_the_batch() -> None:
    requests = make_requests([*TEXTS, "a red star " * 8], "think")
    together = {sample.prompt_id: sample for sample in backend().generate(requests)}
    alone = {request.prompt.id: next(iter(backend().generate([request]))) for request in requests[-3:]}
    others = {sample.prompt_id: sample for sample in backend().generate(requests[::-1][:3])}
    assert together.items() >= alone.items()
    assert alone == others


def test_samples_tell_how_they_were_made() -> None:
    made = list(backend().generate(make_requests(TEXTS[:2], "think")))
    for sample in made:
        assert isinstance(sample, Sample)
        assert [segment.role for segment in sample.segments] == ["think", "image"]
        assert sample.image is not None
        assert sample.image.startswith(b"\x89PNG")
        assert (sample.engine, sample.switch, sample.finish) == ("transformers/1", "autonomous", "stop")
        assert sample.settings == {
            "family": "joint",
            "model": str(SHIPPED),
            "dtype": "float32",
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": 80,
        }
    assert (backend().name, backend().lexicon) == ("transformers", "pictograms")


def test_seeds_make_different_samples_and_temperature_zero_ignores_them() -> None:
    (first,), (second,) = (make_requests(["a red star"], "think", seed) for seed in (1, 2))
    assert len({sample.segments for sample in backend().generate([first, second])}) == 2
    assert len({sample.segments for sample in backend(temperature=0.0).generate([first, second])}) == 1


def test_the_global_generator_of_torch_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(backend().generate(make_requests(["a red star"], "direct")))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_thought_cut_by_the_limit_is_a_failure() -> None:
    cut = backend(max_tokens=1)
    family = cut.family
    assert isinstance(family, JointFamily)
    many = " and ".join(["nine red stars", "nine blue cars", "nine green keys"])
    (failure,) = cut.generate(make_requests([many], "think"))
    assert isinstance(failure, Failure)
    assert failure.error in {"the thought never ends", "the image is not six whole rows and an end"}


def test_a_prompt_that_is_too_long_is_a_failure_and_its_neighbours_are_made() -> None:
    bad, good = backend().generate(make_requests(["star " * 500, "a red star"], "direct"))
    assert isinstance(bad, Failure)
    assert "tokens long; this model reads" in bad.error
    assert isinstance(good, Sample)


def test_nothing_asked_nothing_made() -> None:
    assert list(backend().generate([])) == []


def test_memory_that_runs_out_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    own = build({"model": str(SHIPPED), "device": "cpu", "batch_size": 4, "max_tokens": 80})
    family, sizes = own.family, []
    assert isinstance(family, JointFamily)
    generate = family.model.generate

    def scarce(input_ids: torch.Tensor, **rest: Any) -> torch.Tensor:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return generate(input_ids=input_ids, **rest)

    monkeypatch.setattr(family.model, "generate", scarce)
    made = list(own.generate(make_requests(TEXTS[:3], "direct")))
    assert all(isinstance(sample, Sample) for sample in made)
    assert sizes == [4, 2, 2]
