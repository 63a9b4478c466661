"""A Llama-architecture causal LM that decodes in fixed batches, fast on few cores.

It loads an ordinary Hugging Face folder, and a test compares its logits with those of `transformers`. It is faster than
`generate` because its weights are fused (`fused.py`), the cache is preallocated, a token takes one uniform number
instead of one for each vocabulary entry, and a step runs no Python beyond the layers. It keeps no state between calls,
so threads can share one decoder.

All rows are at the same position: prompts are fed as forced tokens, so there is no padding, and a row depends on itself
alone.

Not covered: beam search, prompts longer than the cache, quantized weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datagen.embedded.fused import FusedLlama

SYNC_STEPS = 8
"""Steps after which a GPU is asked whether all rows have ended; the answer waits for all that it was given to do."""


class LlamaDecoder(FusedLlama):
    """Holds fused float32 weights on one device and samples batches of token sequences."""

    def __init__(self, folder: Path, device: str) -> None:
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        raw = load_file(str(folder / "model.safetensors"))
        super().__init__(config, {name: tensor.to(device=device, dtype=torch.float32) for name, tensor in raw.items()})
        self.unembedding = self.unembedding.contiguous()
        self.blocks = [tuple(weight.contiguous() for weight in block) for block in self.blocks]  # type: ignore[misc]
        self.device = device
        self.sync_steps = 1 if torch.device(device).type == "cpu" else SYNC_STEPS

    def _new_cache(self, rows: int, length: int) -> Tensor:
        shape = (self.layers, rows, 2 * self.kv_heads, length, self.head_size)
        return torch.zeros(shape, device=self.device)

    def _step(self, tokens: Tensor, position: int, cache: Tensor, rotations: Tensor) -> Tensor:
        """Feed one token a row (rows,) at `position`; fill the cache; return the last hidden state (rows, width)."""
        rows, heads, kv_heads, size = tokens.shape[0], self.heads, self.kv_heads, self.head_size
        x = self.embedding[tokens]
        for layer, (w_qkv, w_out, w_gate_up, w_down) in enumerate(self.blocks):
            pairs = torch.view_as_complex((self.normalize(x) @ w_qkv).view(rows, -1, size // 2, 2))
            qkv = torch.view_as_real(pairs * rotations[position]).view(rows, -1, size)
            cache[layer, :, :, position] = qkv[:, heads:]  # (rows, 2 * kv_heads, size): keys, then values
            keys, values = cache[layer, :, :, : position + 1].split(kv_heads, dim=1)
            q = qkv[:, :heads].view(rows, kv_heads, heads // kv_heads, size)
            mixed = (q @ keys.transpose(-1, -2)).softmax(-1) @ values
            x.addmm_(mixed.view(rows, -1), w_out)
            gate, up = (self.normalize(x) @ w_gate_up).chunk(2, dim=-1)
            x.addmm_(torch.nn.functional.silu(gate).mul_(up), w_down)
        return x

    @torch.inference_mode()
    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits of whole sequences at once: (rows, length) int64 to (rows, length, vocabulary)."""
        return self.run(tokens).view(*tokens.shape, -1)

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        batch: int,
        length: int,
        eos: int,
        temperature: float,
        threads: int = 1,
    ) -> list[list[int]]:
        """Continue each prompt until `eos` or `length` tokens in all; return the new token ids, `eos` included.

        The token of prompt k at position p is sampled with number p of a Philox stream keyed by `seeds[k]`; temperature
        0 takes the likeliest token. Consecutive prompts share a batch of `batch` rows, which runs until its last row
        ends; `threads` batches run in parallel, each on one core. Raises ValueError for a prompt that leaves no room.
        """
        longest = max((len(prompt) for prompt in prompts), default=0)
        if longest >= length:
            raise ValueError(f"a prompt of {longest} tokens leaves no room in {length}")

        def run(start: int) -> list[list[int]]:
            rows = [min(start + k, len(prompts) - 1) for k in range(batch)]  # repeats the last row: one shape
            tokens = self._run([prompts[k] for k in rows], [seeds[k] for k in rows], length, eos, temperature)
            written = [row[len(prompts[k]) :] for k, row in zip(rows, tokens.tolist(), strict=True)]
            return [row[: row.index(eos) + 1] if eos in row else row for row in written[: len(prompts) - start]]

        with open_threads(threads) as pool:
            return [row for rows in pool.map(run, range(0, len(prompts), batch)) for row in rows]

    @torch.inference_mode()
    def _run(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], length: int, eos: int, temperature: float
    ) -> Tensor:
        """Return the whole sequences of one batch: (rows, length), `eos` repeated to the end."""
        forced = torch.full((len(prompts), length), -1, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            forced[row, : len(prompt)] = torch.tensor(prompt)
        numbers = np.stack([np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds])
        forced, noise = forced.to(self.device), torch.from_numpy(numbers).float().to(self.device)
        cache, rotations = self._new_cache(len(prompts), length), self.rotations(length)
        tokens, first_free = forced.clone(), min(len(prompt) for prompt in prompts)
        done = torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
        for position in range(length - 1):
            hidden = self._step(tokens[:, position], position, cache, rotations)
            if position + 1 < first_free:  # every row is still inside its prompt: no logits needed
                continue
            picked = _pick(self.unembed(hidden), noise[:, position + 1], temperature)
            given = forced[:, position + 1]
            picked = torch.where(done, eos, torch.where(given >= 0, given, picked))
            tokens[:, position + 1] = picked
            done |= (given < 0) & (picked == eos)
            if (position + 1) % self.sync_steps == 0 and bool(done.all()):
                tokens[:, position + 2 :] = eos
                break
        return tokens


@contextmanager
def open_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open `count` threads whose torch operations use one core each, so that parallel batches never wait."""
    before = torch.get_num_threads()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool
    torch.set_num_threads(before)  # the calls above also changed the default of later threads


def _pick(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Sample one token for each row by inverting the cumulative distribution at a uniform number in [0, 1)."""
    if temperature == 0:
        return logits.argmax(-1)
    mass = (logits / temperature).softmax(-1).cumsum(-1)
    wanted = (uniform * mass[:, -1]).unsqueeze(-1)
    return torch.searchsorted(mass, wanted, right=True).squeeze(-1).clamp_(max=logits.shape[-1] - 1)
