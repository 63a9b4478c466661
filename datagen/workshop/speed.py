"""Samples per second of the embedded engine against `transformers` `generate`: same checkpoint, batch and machine.

Run: `datagen bench generate`. Both sides sample at temperature 1 until the model ends by itself, take the same prompts
in the same order and in batches of as many rows, with all cores, and alternate, so that a drifting machine hurts both;
the ratio is of the medians. Only tokens are timed: decoding pixels is the same work on both sides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datagen.embedded.backend import SHIPPED, EmbeddedBackend, EmbeddedOptions, expected_length
from datagen.records import Prompt, Request


def measure_generation(
    prompts: Sequence[Prompt], *, batch: int, rounds: int, checkpoint: Path = SHIPPED
) -> list[dict[str, Any]]:
    """Return one row an engine: engine, samples_per_second (median), slowest, fastest, ratio to transformers.

    A round is all prompts, once. Raises BackendError when the checkpoint cannot be loaded.
    """
    backend = EmbeddedBackend(
        EmbeddedOptions.parse({"checkpoint": checkpoint, "batch_size": batch, "device": "cpu", "temperature": 1.0})
    )
    requests = sorted((Request(prompt, 0, 0, "think") for prompt in prompts), key=expected_length, reverse=True)
    prompt_ids = [backend.vocab.prompt_ids(request.prompt.text, request.mode) for request in requests]
    engines: dict[str, Callable[[int], None]] = {
        "transformers generate": _make_transformers(backend, prompt_ids, batch, checkpoint),
        "datagen embedded": _make_embedded(backend, prompt_ids),
    }
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds + 1):
        for name, run in engines.items():
            started = time.perf_counter()
            run(turn)
            if turn:  # the first round warms up
                rates[name].append(len(prompts) / (time.perf_counter() - started))
    base = statistics.median(rates["transformers generate"])
    return [
        {
            "engine": name,
            "batch": batch,
            "samples_per_second": statistics.median(values),
            "slowest": min(values),
            "fastest": max(values),
            "ratio": statistics.median(values) / base,
        }
        for name, values in rates.items()
    ]


def _make_embedded(backend: EmbeddedBackend, prompt_ids: list[list[int]]) -> Callable[[int], None]:
    def run(turn: int) -> None:
        backend.write(prompt_ids, [turn * len(prompt_ids) + row for row in range(len(prompt_ids))])

    return run


def _make_transformers(
    backend: EmbeddedBackend, prompt_ids: list[list[int]], batch: int, checkpoint: Path
) -> Callable[[int], None]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    pad = backend.vocab.pad
    batches = []
    for start in range(0, len(prompt_ids), batch):
        rows = prompt_ids[start : start + batch]
        longest = max(len(ids) for ids in rows)
        batches.append(torch.tensor([[pad] * (longest - len(ids)) + ids for ids in rows]))

    def run(turn: int) -> None:
        torch.manual_seed(turn)
        for padded in batches:
            with torch.inference_mode():
                model.generate(
                    padded,
                    attention_mask=(padded != pad).long(),
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    max_length=backend.options.max_tokens,
                    eos_token_id=backend.vocab.eos,
                    pad_token_id=pad,
                )

    return run
