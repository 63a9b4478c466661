"""Real vLLM: `make test-vllm` sets up an environment with it; elsewhere these tests are skipped."""

from __future__ import annotations

import io
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm.sampling_params", reason="needs vLLM: make test-vllm")

from datagen.backends.vllm import build
from datagen.backends.vllm.engine import READ_TOGETHER, Asked
from datagen.chat import ChatRequest, Message, Part, Sampling
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.errors import BackendError
from datagen.records import Request, Sample
from datagen.workshop.bench import judge_model, open_tools, sample_held_out
from tests.helpers.tiny_llava import save_tiny_llava

SMALL = {"enforce_eager": True, "max_num_seqs": 16}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def judge(llava: Path) -> Any:
    engine = {**SMALL, "load_format": "dummy", "max_num_seqs": 4}
    return build({"model": str(llava), "dtype": "bfloat16", "max_model_len": 2048, "engine": engine})


@pytest.fixture(scope="module")
def painter() -> Any:
    return build({"dtype": "float32", "max_model_len": 160, "engine": SMALL})


def red_png() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(backend: Any, *samplings: Sampling) -> list[Any]:
    message = Message("user", (Part(image=red_png()), Part(text="is it red?")))
    return list(backend.chat([ChatRequest((message,), sampling) for sampling in samplings]))


def test_greedy_tokens_are_those_of_transformers(painter: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from vllm import SamplingParams

    vocab = painter._reader.vocab
    model = AutoModelForCausalLM.from_pretrained(SHIPPED, dtype=torch.float32).eval()
    prompts = [vocab.prompt_ids(text, "think") for text in ("three red stars", 'the word "OPEN"', "a blue key")]
    greedy = SamplingParams(temperature=0, max_tokens=100, stop_token_ids=[vocab.eos], detokenize=False)
    asked = [Asked(Request(sample_held_out(1, seed=0)[0], 0, 1, "think"), prompt, greedy) for prompt in prompts]
    for said, ids in filter(None, painter.engine.stream_tokens(iter(asked))):
        prompt = said.prompt
        whole = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=100, eos_token_id=vocab.eos)
        assert ids == whole[0, len(prompt) :].tolist()


def test_sampled_pictures_pass_the_same_judges_at_the_same_rate(painter: Any) -> None:
    prompts, tools, candidates = sample_held_out(3, seed=2), open_tools(), 8
    embedded = EmbeddedBackend(EmbeddedOptions.parse({"device": "cpu"}))
    rates = []
    for backend in (painter, embedded):
        judged = list(judge_model(backend, prompts, candidates, 4, "think", tools))
        rates.append(sum(j.passes for j in judged) / (len(judged) * candidates))
    total = len(prompts) * candidates
    mean = sum(rates) / 2
    assert abs(rates[0] - rates[1]) < 4 * math.sqrt(2 * mean * (1 - mean) / total)
    assert mean > 0.3


def test_a_model_without_an_image_tokenizer_cannot_draw(judge: Any) -> None:
    prompt = sample_held_out(1, seed=0)[0]
    with pytest.raises(BackendError, match="no image tokenizer"):
        list(judge.generate([Request(prompt, 0, 1, "think")]))


def test_samples_carry_what_made_them(painter: Any) -> None:
    prompt = sample_held_out(1, seed=0)[0]
    made = [s for s in painter.generate([Request(prompt, k, k, "think") for k in range(4)]) if isinstance(s, Sample)]
    assert made
    assert all(s.engine == "vllm/1" and s.switch == "autonomous" for s in made)


def test_a_flow_gives_the_samples_of_one_call_and_takes_what_the_window_holds(painter: Any) -> None:
    requests = [Request(prompt, k, 40 + k, "think") for prompt in sample_held_out(3, seed=1) for k in range(8)]
    assert len(requests) > painter.engine.window
    taken: list[Request] = []
    answered: list[str] = []
    held: list[int] = []

    def flow() -> Iterator[Request | None]:
        for request in reversed(requests):
            taken.append(request)
            held.append(len(taken) - len(answered))
            yield request

    made = {}
    for answer in painter.stream(flow()):
        if answer is not None:
            answered.append(answer.prompt_id)
            made[answer.prompt_id, answer.candidate] = answer
    assert max(held) <= painter.engine.window + READ_TOGETHER
    assert [made[r.prompt.id, r.candidate] for r in requests] == list(painter.generate(requests))


def test_a_flow_that_is_left_leaves_an_engine_that_answers(painter: Any) -> None:
    requests = [Request(sample_held_out(1, seed=0)[0], k, k, "think") for k in range(48)]
    before = list(painter.generate(requests[:2]))
    flow = painter.stream(iter(requests))
    next(flow)
    flow.close()
    assert list(painter.generate(requests[:2])) == before


def test_yes_no_has_log_probabilities_and_bound_answers_are_bound(judge: Any) -> None:
    scored, chosen, written = ask(
        judge,
        Sampling(max_tokens=1, top_logprobs=5),
        Sampling(max_tokens=8, choices=("yes", "no")),
        Sampling(max_tokens=40, temperature=1.0, seed=1, schema=SCHEMA),
    )
    assert len(scored.first_logprobs) >= 5
    assert all(value <= 0 for value in scored.first_logprobs.values())
    assert (chosen.error, written.error) == ("", "")
    assert chosen.text in ("yes", "no")


def test_an_unknown_model_is_one_error() -> None:
    with pytest.raises(BackendError, match="vLLM cannot start the model"):
        build({"model": "/no/such/model"})


@pytest.fixture(scope="module")
def served(llava: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", str(llava), "--served-model-name", "tiny", "--load-format", "dummy", "--enforce-eager"]
    words += ["--max-model-len", "2048", "--dtype", "bfloat16", "--port", str(port), "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words]
    server = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except OSError:
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def test_the_openai_backend_gets_the_same_from_a_real_server(served: str) -> None:
    from datagen.backends.openai import build as build_openai

    backend = build_openai({"base_url": served, "model": "tiny"})
    scored, chosen, written = ask(
        backend,
        Sampling(max_tokens=1, top_logprobs=5),
        Sampling(max_tokens=8, choices=("yes", "no")),
        Sampling(max_tokens=40, temperature=1.0, seed=1, schema=SCHEMA),
    )
    assert scored.first_logprobs
    assert all(value <= 0 for value in scored.first_logprobs.values())  # tokens of one text count once
    assert chosen.text in ("yes", "no")
    assert (chosen.error, written.error) == ("", "")
    with pytest.raises(BackendError, match="no model 'tiny2'"):
        build_openai({"base_url": served, "model": "tiny2"})


def test_bound_answers_sum_to_one_and_free_ones_keep_their_mass(judge: Any) -> None:
    asked = Sampling(max_tokens=4, top_logprobs=5, choices=("yes", "no"))
    bound, free = ask(judge, asked, Sampling(max_tokens=4, top_logprobs=5))
    assert bound.error == free.error == ""
    assert "".join(token.text for token in bound.tokens).startswith(bound.text)
    likely = [sum(map(math.exp, reply.first_logprobs.values())) for reply in (bound, free)]
    assert likely[0] == pytest.approx(1.0, abs=1e-3)  # after the mask: nothing else could be said
    assert likely[1] < 0.9  # a model of random weights would say anything


def test_all_tokens_of_an_answer_carry_their_likeliest(judge: Any) -> None:
    (reply,) = ask(judge, Sampling(max_tokens=16, top_logprobs=3, choices=("no stars",)))
    assert "".join(token.text for token in reply.tokens).startswith("no stars")
    assert len(reply.tokens) >= 6
    assert all(len(token.logprobs) >= 3 and max(token.logprobs.values()) <= 0 for token in reply.tokens)
    assert reply.first_logprobs == reply.tokens[0].logprobs


def test_a_judge_that_nobody_can_read_has_no_value(judge: Any) -> None:
    from datagen.scoring.asking import Asked, ask_all

    def answer(requests: Any) -> list[Any]:
        return list(judge.chat(requests))

    (answered,) = ask_all(answer, [Asked(red_png(), "Is it red?", ("Yes", "yes"), 0)])
    assert answered.probability is None
    assert answered.problem.startswith("the judge does not answer the question")


def test_thinking_is_given_room_or_turned_off_on_a_real_server(served: str) -> None:
    from datagen.backends.openai import build as build_openai

    long = Sampling(max_tokens=2, choices=("no stars at all",), top_logprobs=3)
    (cut,) = ask(build_openai({"base_url": served, "model": "tiny"}), long)
    assert cut.error
    (reply,) = ask(build_openai({"base_url": served, "model": "tiny", "thinking": 64}), long)
    assert (reply.text, reply.error) == ("no stars at all", "")
    assert "".join(token.text for token in reply.tokens).startswith("no stars at all")
    (off,) = ask(
        build_openai({"base_url": served, "model": "tiny", "thinking": False}), Sampling(choices=("yes", "no"))
    )
    assert off.error == "", "a template takes what it does not read"


@pytest.mark.parametrize("logprobs", [True, False])
@pytest.mark.parametrize(
    "form",
    [
        "(YES|NO)",
        r"\*\*(Yes|No)\*\*",
        r'\{"answer": "(Yes|No)"\}',
        r"\n\n(yes|no)\.",
        "<think>No wait, let me look</think>\n\n(Yes|No)",
        "No wait, let me look</think>(Yes|No)",
    ],
)
def test_an_answer_of_any_form_is_read(served: str, form: str, logprobs: bool) -> None:
    """A grammar makes a model of random weights answer in the forms that judges have."""
    from datagen.backends.openai import build as build_openai
    from datagen.scoring.asking import Asked, ask_all

    backend = build_openai({"base_url": served, "model": "tiny", "extra_body": {"structured_outputs": {"regex": form}}})

    def answer(requests: Any) -> list[Any]:
        replies = list(backend.chat(requests))
        return replies if logprobs else [replace(reply, first_logprobs=None, tokens=(), error="") for reply in replies]

    (found,) = ask_all(answer, [Asked(red_png(), "Is it red?", ("Yes", "yes"), 0)])
    assert found.problem == ""
    assert found.probability is not None
    assert found.probability + found.rivals == pytest.approx(1.0, abs=0.01), "bound: one or the other"
    assert bool(found.why_drawn) is not logprobs
