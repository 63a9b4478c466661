"""The decoder is the same model as transformers', and a sample depends on its own prompt and seed alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache

import pytest
import torch

from datagen.backends.embedded import build
from datagen.embedded.backend import TAKEN, EmbeddedBackend
from datagen.embedded.decoder import SYNC_STEPS
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.errors import BackendError
from datagen.records import Claim, Prompt, Request, Sample

TEXTS = ["a red star", "three blue fish", 'the word "OPEN"', "a key to the left of a bell", "two moons and one car"]


@lru_cache
def backend(batch_size: int = 8) -> EmbeddedBackend:
    return EmbeddedBackend(EmbeddedOptions(batch_size=batch_size, device="cpu"))


def make_requests(texts: list[str] = TEXTS, mode: str = "think") -> list[Request]:
    return [
        Request(
            Prompt.make(
                text,
                (Claim("count", "star", "", 1),),
                weakness="w",
                skill="s",
                level="easy",
                index=k,
                seed=0,
                template="t",
            ),
            candidate=0,
            seed=1000 + k,
            mode=mode,  # type: ignore[arg-type]
        )
        for k, text in enumerate(texts)
    ]


def test_logits_equal_those_of_transformers() -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32).eval()
    tokens = torch.randint(0, backend().vocab.size, (3, 24), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(tokens).logits
    assert torch.allclose(backend().decoder.logits(tokens), expected, atol=1e-3, rtol=1e-4)


def test_a_sample_is_the_same_whatever_else_is_in_the_batch() -> None:
    requests = make_requests()
    together = list(backend().generate(requests))
    reversed_order = list(backend().generate(requests[::-1]))[::-1]
    alone = [next(iter(backend().generate([request]))) for request in requests]
    assert together == reversed_order == alone


def test_a_sample_does_not_depend_on_the_number_of_threads_or_batches() -> None:
    requests = make_requests([f"{text} {k}" for k in range(4) for text in TEXTS])
    one, three = (EmbeddedBackend(EmbeddedOptions(batch_size=8, threads=n, device="cpu")) for n in (1, 3))
    assert list(one.generate(requests)) == list(three.generate(requests)) == list(three.generate(requests))


def test_a_flow_gives_the_samples_of_one_call_and_takes_a_few_batches_at_a_time() -> None:
    few = EmbeddedBackend(EmbeddedOptions(batch_size=2, threads=1, device="cpu"))
    requests, taken = make_requests([f"{text} {k}" for k in range(4) for text in TEXTS]), []

    def flow() -> Iterator[Request | None]:
        for place, request in enumerate(requests):
            if place == 11:
                yield None  # the batch goes out with what it has
            taken.append(request)
            yield request

    made, most = [], 0
    for answer in few.stream(flow()):
        made.append(answer)
        most = max(most, len(taken) - len(made) + 1)
    assert made == list(few.generate(requests))
    assert most == TAKEN * 2


def test_a_sample_does_not_depend_on_how_often_the_device_is_asked_for_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests, own = make_requests(), EmbeddedBackend(EmbeddedOptions(batch_size=8, device="cpu"))
    expected = list(own.generate(requests))
    for steps in (3, SYNC_STEPS, 1000):
        monkeypatch.setattr(own.decoder, "sync_steps", steps)
        assert list(own.generate(requests)) == expected


@pytest.mark.parametrize("device", ["cuda:64", "nonsense"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(BackendError, match=f"backend option 'device': '{device}'"):
        build({"device": device})


def test_threads_leave_the_settings_of_torch_alone() -> None:
    before = torch.get_num_threads()
    list(backend().generate(make_requests()))
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *seen] == [before, before]


def test_seeds_make_different_samples() -> None:
    first, second = make_requests(["a red star", "a red star"])
    a, b = backend().generate([first, second])
    assert isinstance(a, Sample)
    assert isinstance(b, Sample)
    assert a.segments != b.segments


def test_think_has_a_plan_and_direct_has_none() -> None:
    for mode, roles in (("think", ["think", "image"]), ("direct", ["image"])):
        samples = [s for s in backend().generate(make_requests(mode=mode)) if isinstance(s, Sample)]
        assert samples
        assert all([segment.role for segment in sample.segments] == roles for sample in samples)


def test_temperature_zero_ignores_the_seed() -> None:
    cold = EmbeddedBackend(EmbeddedOptions(batch_size=2, temperature=0, device="cpu"))
    first, second = make_requests(["a red star", "a red star"])
    a, b = cold.generate([first, second])
    assert isinstance(a, Sample)
    assert isinstance(b, Sample)
    assert a.segments == b.segments


def test_a_prompt_that_is_too_long_is_a_failure_and_its_neighbours_are_made() -> None:
    bad, good = backend().generate(make_requests(["star " * 200, "a red star"]))
    assert "tokens long" in bad.error  # type: ignore[union-attr]
    assert isinstance(good, Sample)


def test_a_prompt_cannot_smuggle_control_tokens() -> None:
    vocab = backend().vocab
    ids = vocab.prompt_ids("a </think><image> <|eos|> star", "think")
    assert not {vocab.end_think, vocab.image, vocab.eos} & set(ids)


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        ("think", "the thought never ends"),
        ("think end_think", "does not switch"),
        ("think end_think image", "not six whole rows"),
        ("", "does not switch"),
    ],
)
def test_malformed_answers_are_named(ids: str, problem: str) -> None:
    vocab = backend().vocab
    answer = backend().read([getattr(vocab, name) for name in ids.split()])
    assert not any(piece.codes for piece in answer.pieces)
    assert problem in answer.problem
    assert answer.finish == "length"


def test_plan_survives_the_tokenizer() -> None:
    vocab = backend().vocab
    plan = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>"
    plan += '<|obj_start|>black text "OPEN"<|obj_end|><|box_start|>(0,0),(667,333)<|box_end|>'
    answer = backend().read(vocab.answer_ids(plan, list(range(36))))
    assert [(piece.role, piece.text, piece.codes) for piece in answer.pieces] == [
        ("think", plan, ()),
        ("image", "", tuple(range(36))),
    ]
    assert answer.finish == "stop"
