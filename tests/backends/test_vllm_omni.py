"""The backend against a stand-in of vLLM-Omni 0.30.0: what it asks, what it reads, and what happens when one fails."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from datagen.backends.vllm_omni import build
from datagen.errors import BackendError, MissingExtraError
from datagen.records import Failure, Mode, Prompt, Request, Sample
from tests.helpers import omni_stand_in as stand_in
from tests.helpers.omni_stand_in import OmniRequestOutput, World

BAGEL = {"model": "ByteDance-Seed/BAGEL-7B-MoT", "height": 32, "width": 48}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return stand_in.install(monkeypatch)


def ask(*words: str, mode: Mode = "think", seed: int = 1000) -> list[Request]:
    """Requests of one candidate each, with seeds that follow each other."""
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    return [Request(Prompt.make(text, (), **where), 0, seed + k, mode) for k, text in enumerate(words)]


def fail_at(word: str, error: Exception) -> Callable[[str, int], None]:
    def fails(text: str, asked: int) -> None:
        if word in text:
            raise error

    return fails


def words_asked(world: World) -> list[str]:
    return [prompt["prompt"].split("<|im_start|>")[-1].removesuffix("<|im_end|>") for prompt, _ in world.asked]


def open_picture(sample: Any) -> Image.Image:
    assert sample.image.startswith(b"\x89PNG")
    return Image.open(io.BytesIO(sample.image))


def test_a_thought_and_a_picture_become_a_sample(world: World) -> None:
    backend = build({**BAGEL, "num_inference_steps": 20, "extra_args": {"cfg_text_scale": 5.0}})
    (request,) = ask("three red apples")
    (sample,) = backend.generate([request])
    assert isinstance(sample, Sample)
    assert [(s.kind, s.role) for s in sample.segments] == [("text", "think"), ("image", "image")]
    asked = "<|im_start|>Plan first.<|im_end|><|im_start|>three red apples<|im_end|>"
    assert sample.segments[0].text == f"I was asked {asked} at 0.3, seed 1000."
    assert (open_picture(sample).size, open_picture(sample).mode) == ((48, 32), "RGB")
    assert (sample.id, sample.seed, sample.mode) == (request.sample_id, 1000, "think")
    assert (sample.engine, sample.switch, sample.finish) == ("vllm_omni/1", "forced", "stop")
    ((prompt, (thinker, drawer)),) = world.asked
    assert prompt == {"prompt": asked, "modalities": ["image"]}
    assert (thinker.max_tokens, thinker.top_k, thinker.top_p) == (1000, 0, 0.9)
    assert (drawer.num_inference_steps, drawer.extra_args) == (20, {"cfg_text_scale": 5.0})


def test_settings_hold_what_makes_the_sample_again_and_can_be_stored(world: World) -> None:
    backend = build({**BAGEL, "engine": {"quantization": "fp8"}, "restarts": 2})
    (sample,) = backend.generate(ask("a cat"))
    assert isinstance(sample, Sample)
    settings = json.loads(json.dumps(sample.settings))
    assert settings["model"] == BAGEL["model"]
    assert settings["think_template"] == "<|im_start|>Plan first.<|im_end|><|im_start|>{prompt}<|im_end|>"
    assert settings["engine"] == {"quantization": "fp8"}
    assert not {"restarts", "init_timeout_seconds"} & set(settings)
    assert (backend.name, backend.lexicon) == ("vllm_omni", "everyday")
    (started,) = world.started
    assert started["quantization"] == "fp8"
    assert (started["deploy_config"], started["init_timeout"], started["stage_init_timeout"]) == (
        "bagel_think.yaml",
        600,
        600,
    )


def test_direct_draws_without_a_thought(world: World) -> None:
    (sample,) = build(BAGEL).generate(ask("a cat", mode="direct"))
    assert isinstance(sample, Sample)
    assert [s.kind for s in sample.segments] == ["image"]
    assert (sample.finish, sample.text) == ("stop", "")
    ((prompt, (thinker, _)),) = world.asked
    assert prompt["prompt"] == "<|im_start|>a cat<|im_end|>"
    assert thinker.max_tokens == 1


def test_one_stage_that_thinks_and_draws_is_told_so_in_its_arguments(world: World) -> None:
    options = {**BAGEL, "deploy_config": "bagel_single_stage.yaml", "max_tokens": 300, "extra_args": {"think": False}}
    backend = build(options)
    thought, drawn = backend.generate([*ask("a cat"), *ask("a dog", mode="direct")])
    assert isinstance(thought, Sample)
    assert isinstance(drawn, Sample)
    assert thought.segments[0].text.endswith("<|im_start|>a cat<|im_end|>.")
    assert [s.kind for s in drawn.segments] == ["image"]
    told = [params[0].extra_args for _, params in world.asked]
    assert told == [{"max_think_tokens": 300, "think": True}, {"max_think_tokens": 300, "think": False}]


def test_each_request_keeps_its_own_seed_in_every_stage(world: World) -> None:
    big = 2**63 - 1 - 7
    backend = build(BAGEL)
    samples = [s for s in backend.generate(ask(*("a cat",) * 8, seed=big)) if isinstance(s, Sample)]
    assert [[stage.seed for stage in params] for _, params in world.asked] == [[big + k] * 2 for k in range(8)]
    assert [open_picture(s).getpixel((0, 0))[0] for s in samples] == [(big + k) % 251 for k in range(8)]  # type: ignore[index]
    defaults = stand_in.Omni.alive[0].default_sampling_params_list
    assert [stage.seed for stage in defaults] == [52, 52]


def test_a_sample_is_the_same_whatever_else_is_asked_for(world: World) -> None:
    requests = ask(*(f"cat {k}" for k in range(6)))
    backend = build(BAGEL)
    together = list(backend.generate(requests))
    assert list(backend.generate(requests[3:4])) == together[3:4]
    world.fails = fail_at("cat 2", RuntimeError("boom"))
    among_failures = list(backend.generate(requests))
    assert [a for k, a in enumerate(among_failures) if k != 2] == [a for k, a in enumerate(together) if k != 2]


def test_the_negative_prompt_reaches_the_thinker(world: World) -> None:
    list(build({**BAGEL, "extra_args": {"negative_prompt": "blur"}}).generate(ask("a cat")))
    assert world.asked[0][0]["negative_prompt"] == "blur"


@pytest.mark.parametrize(
    "error",
    [
        stand_in.EngineGenerateError("CUDA out of memory\nmore"),
        stand_in.OmniClientError("CUDA out of memory"),
        RuntimeError("CUDA out of memory"),
    ],
)
def test_one_bad_request_among_eight_is_one_failure_and_costs_one_restart(world: World, error: Exception) -> None:
    requests = ask(*(f"cat {k}" for k in range(8)))
    world.fails = fail_at("cat 3", error)
    backend = build(BAGEL)
    answers = list(backend.generate(requests))
    assert [type(a) for a in answers] == [Failure if k == 3 else Sample for k in range(8)]
    assert [a.prompt_id for a in answers] == [r.prompt.id for r in requests]
    assert isinstance(answers[3], Failure)
    assert answers[3].error == "CUDA out of memory"
    assert words_asked(world) == [f"cat {k}" for k in range(8)]
    assert (backend.engine.restarts, len(world.started), world.closed) == (1, 2, 1)


def test_a_failure_at_the_end_starts_no_engine_that_nobody_needs(world: World) -> None:
    world.fails = fail_at("cat", RuntimeError("boom"))
    backend = build({**BAGEL, "restarts": 0})
    (failure,) = backend.generate(ask("cat"))
    assert isinstance(failure, Failure)
    assert list(backend.generate([])) == []
    assert len(world.started) == 1


def test_an_engine_that_died_once_is_asked_again_and_nothing_is_lost(world: World) -> None:
    def die_once(text: str, asked: int) -> None:
        if asked == 2:
            raise stand_in.EngineDeadError("killed")

    world.fails = die_once
    backend = build(BAGEL)
    answers = list(backend.generate(ask("a", "b", "c")))
    assert all(isinstance(a, Sample) for a in answers)
    assert words_asked(world) == ["a", "b", "b", "c"]
    assert backend.engine.restarts == 1


def test_a_request_that_kills_the_engine_twice_fails_alone(world: World) -> None:
    world.fails = fail_at("b", stand_in.EngineDeadError("killed"))
    backend = build(BAGEL)
    first, second, third = backend.generate(ask("a", "b", "c"))
    assert isinstance(second, Failure)
    assert second.error == "the engine died of it twice: killed"
    assert isinstance(first, Sample)
    assert isinstance(third, Sample)
    assert backend.engine.restarts == 2


def test_an_engine_that_dies_again_and_again_stops_the_run_with_a_hint(world: World) -> None:
    world.fails = fail_at("", stand_in.EngineDeadError("no space left"))
    backend = build({**BAGEL, "restarts": 3})
    answers: list[Any] = []
    made = backend.generate(ask(*"abcdefgh"))
    with pytest.raises(BackendError, match="more than `restarts` \\(3\\) times in a row") as raised:
        collect(made, answers)
    assert "no space left" in raised.value.hint
    assert "what was answered is kept" in raised.value.hint
    assert [type(a) for a in answers] == [Failure, Failure]  # two calls each; the third request had one
    assert (len(world.started), backend.engine.restarts, world.closed) == (4, 3, 4)


def collect(made: Iterator[Any], answers: list[Any]) -> None:
    """Put what is made into `answers`, one by one, so that what comes before an error is kept."""
    for answer in made:
        answers.append(answer)


def test_restarts_are_counted_anew_after_each_answer(world: World) -> None:
    world.fails = fail_at("bad", RuntimeError("boom"))
    backend = build({**BAGEL, "restarts": 1})
    answers = list(backend.generate(ask(*["bad", "good"] * 3)))
    assert [type(a) for a in answers] == [Failure, Sample] * 3
    assert backend.engine.restarts == 3
    with pytest.raises(BackendError):
        list(backend.generate(ask("bad", "bad", "good")))


def test_a_flow_takes_one_request_at_a_time_and_hands_none_on(world: World) -> None:
    first, second = ask("a", "b")
    taken: list[str] = []

    def flow() -> Iterator[Request | None]:
        for request in (None, first, None, second):
            taken.append(request.prompt.text if request else "")
            yield request

    seen = [(answer and answer.prompt_id, len(taken)) for answer in build(BAGEL).stream(flow())]
    assert seen == [(None, 1), (first.prompt.id, 2), (None, 3), (second.prompt.id, 4)]
    assert words_asked(world) == ["a", "b"]


def test_an_engine_that_found_the_call_wrong_before_it_began_is_closed_too(world: World) -> None:
    backend = build(BAGEL)
    stand_in.Omni.alive[0].default_sampling_params_list.insert(0, stand_in.SamplingParams())
    real = stand_in.Omni.alive[0].generate
    stand_in.Omni.alive[0].generate = lambda prompts, params, **how: real(prompts, params[1:], **how)  # type: ignore[method-assign]
    failure, sample = backend.generate(ask("a", "b"))
    assert isinstance(failure, Failure)
    assert failure.error == "Expected 3 sampling params, got 2"
    assert isinstance(sample, Sample)
    assert world.closed == 1


def without_pictures(outputs: list[OmniRequestOutput]) -> list[OmniRequestOutput]:
    for output in outputs:
        output.images = []
    return outputs


def with_an_error(outputs: list[OmniRequestOutput]) -> list[OmniRequestOutput]:
    outputs[-1].error = "guardrail says no\nat length"
    return outputs


def with_an_array(outputs: list[OmniRequestOutput]) -> list[OmniRequestOutput]:
    outputs[-1].images = [b"\x00" * 12]
    return outputs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_pictures, "the engine returned no picture, but wrote 'I was asked"),
        (lambda outputs: [], "the engine returned no picture"),
        (with_an_error, "guardrail says no"),
        (with_an_array, "the engine returned a bytes, not a picture"),
        (lambda outputs: outputs[-1:], "the engine was asked to think and answered without a thought"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure_and_the_engine_goes_on(
    world: World, change: Callable[[list[OmniRequestOutput]], list[OmniRequestOutput]], reason: str
) -> None:
    world.change = change
    backend = build(BAGEL)
    (failure,) = backend.generate(ask("a cat"))
    assert isinstance(failure, Failure)
    assert failure.error.startswith(reason)
    assert "\n" not in failure.error
    assert (world.closed, backend.engine.restarts) == (0, 0)


def test_a_thought_that_was_cut_is_kept_and_says_so(world: World) -> None:
    (sample,) = build({**BAGEL, "max_tokens": 30}).generate(ask("a cat"))
    assert isinstance(sample, Sample)
    assert (sample.finish, sample.text) == ("length", "I was asked <|im_start")


@pytest.mark.parametrize("deploy_config", ["bagel.yaml", None])
def test_a_layout_that_draws_without_the_thought_is_refused_for_think(world: World, deploy_config: str | None) -> None:
    backend = build({**BAGEL, "deploy_config": deploy_config})
    with pytest.raises(BackendError, match="without the thought"):
        list(backend.generate(ask("a cat")))
    assert not world.asked
    (sample,) = backend.generate(ask("a cat", mode="direct"))
    assert isinstance(sample, Sample)
    assert world.asked[0][1][0].max_tokens == 2048  # the scheduler stops it once the cache is handed on


def test_reflection_is_refused(world: World) -> None:
    with pytest.raises(BackendError, match="cannot reflect"):
        list(build(BAGEL).generate(ask("a cat", mode="reflect")))


def test_templates_of_other_models(world: World) -> None:
    backend = build({**BAGEL, "template": "{prompt}", "think_template": "Think: {prompt}"})
    list(backend.generate([*ask("a cat"), *ask("a {prompt} dog", mode="direct")]))
    assert [prompt["prompt"] for prompt, _ in world.asked] == ["Think: a cat", "a {prompt} dog"]


def test_a_model_that_cannot_start_is_one_error(world: World) -> None:
    world.start_fails = "Repository not found\nmore"
    with pytest.raises(BackendError, match="vLLM-Omni cannot start the model: Repository not found") as raised:
        build(BAGEL)
    assert raised.value.where == BAGEL["model"]
    assert "more" not in raised.value.what


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"batch_size": 4}, "batch_size"),
        ({"model": ""}, "model"),
        ({"template": "a cat"}, "template"),
        ({"restarts": -1}, "restarts"),
    ],
)
def test_wrong_options_are_named_before_an_engine_starts(world: World, options: dict[str, Any], key: str) -> None:
    with pytest.raises(BackendError, match=f"backend option '{key}'"):
        build({**BAGEL, **options})
    assert not world.started


def test_a_missing_package_says_that_it_needs_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm_omni", None)
    with pytest.raises(MissingExtraError, match="environment of its own") as raised:
        build(BAGEL)
    assert "\n" not in raised.value.what
    assert "pip install vllm-omni==0.30.0 'vllm==0.30.*'" in raised.value.hint


def test_the_package_without_vllm_is_missing_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_late(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named 'vllm' (for {name})")

    monkeypatch.delattr(sys.modules["vllm_omni"], "Omni")
    monkeypatch.setattr(sys.modules["vllm_omni"], "__getattr__", load_late, raising=False)
    with pytest.raises(MissingExtraError, match="No module named 'vllm'"):
        build(BAGEL)


def test_importing_the_backend_imports_no_engine() -> None:
    code = "import sys, datagen.backends.vllm_omni.engine"
    code += "; print([m for m in ('vllm', 'vllm_omni', 'torch', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
