"""Samples per second of the embedded engine against `transformers` `generate`: same checkpoint, batch and machine.

Run: `datagen bench generate`. Both sides sample at temperature 1 until the model ends by itself, take the same prompts
with the same number of rows, and alternate, so that a drifting machine hurts both; the ratio is of the medians.
Only tokens are timed: decoding pixels is the same work on both sides.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datagen.backends.embedded.backend import SHIPPED, EmbeddedBackend, EmbeddedOptions


def measure_generation(prompts: list[str], *, rounds: int, checkpoint: Path = SHIPPED) -> list[dict[str, Any]]:
    """Return one row an engine: engine, samples_per_second (median), slowest, fastest, ratio to transformers.

    All prompts make one batch. Raises BackendError when the checkpoint cannot be loaded.
    """
    backend = EmbeddedBackend(
        EmbeddedOptions.parse({"checkpoint": checkpoint, "batch_size": len(prompts), "device": "cpu"})
    )
    prompt_ids = [backend.vocab.prompt_ids(prompt, "think") for prompt in prompts]
    engines: dict[str, Callable[[int], int]] = {
        "transformers generate": _make_transformers(backend, prompt_ids, checkpoint),
        "datagen embedded": _make_embedded(backend, prompt_ids),
    }
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds + 1):
        for name, run in engines.items():
            started = time.perf_counter()
            whole = run(turn)
            if turn:  # the first round warms up
                rates[name].append(whole / (time.perf_counter() - started))
    base = statistics.median(rates["transformers generate"])
    return [
        {
            "engine": name,
            "batch": len(prompts),
            "samples_per_second": statistics.median(values),
            "slowest": min(values),
            "fastest": max(values),
            "ratio": statistics.median(values) / base,
        }
        for name, values in rates.items()
    ]


def _make_embedded(backend: EmbeddedBackend, prompt_ids: list[list[int]]) -> Callable[[int], int]:
    def run(turn: int) -> int:
        seeds = [turn * len(prompt_ids) + row for row in range(len(prompt_ids))]
        options = backend.options
        rows = backend.decoder.sample(
            prompt_ids, seeds, length=options.max_tokens, eos=backend.vocab.eos, temperature=1.0
        )
        return len(rows)

    return run


def _make_transformers(backend: EmbeddedBackend, prompt_ids: list[list[int]], checkpoint: Path) -> Callable[[int], int]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    longest = max(len(ids) for ids in prompt_ids)
    padded = torch.tensor([[backend.vocab.pad] * (longest - len(ids)) + ids for ids in prompt_ids])
    mask = (padded != backend.vocab.pad).long()

    def run(turn: int) -> int:
        torch.manual_seed(turn)
        with torch.inference_mode():
            out = model.generate(
                padded,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                max_length=backend.options.max_tokens,
                eos_token_id=backend.vocab.eos,
                pad_token_id=backend.vocab.pad,
            )
        return int(out.shape[0])

    return run
