"""A Llama-architecture causal LM that decodes in fixed batches, fast on few cores.

The weights are those of an ordinary Hugging Face folder; `transformers` computes the same logits (a test holds the two
together). What makes this faster than `generate`: fused projections, norms folded into them, a preallocated cache,
one uniform number a token instead of one a vocabulary entry, and no per-step Python beyond the layers themselves.

Every row is at the same position: a prompt is fed as forced tokens, so there is no padding, and what a row computes
depends on that row alone. A batch always has the same number of rows; the spare ones repeat the last request.

Not covered: beam search, prompts longer than the cache, quantized weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class LlamaDecoder:
    """Holds fused float32 weights on one device and samples batches of token sequences."""

    def __init__(self, folder: Path, device: str) -> None:
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        raw = load_file(str(folder / "model.safetensors"))
        weights = {name: tensor.to(device=device, dtype=torch.float32) for name, tensor in raw.items()}
        self.device = device
        self.width: int = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.kv_heads: int = config["num_key_value_heads"]
        self.head_size: int = config["head_dim"]
        self.layers: int = config["num_hidden_layers"]
        self.epsilon: float = config["rms_norm_eps"]
        self.theta: float = config["rope_parameters"]["rope_theta"]
        self.embedding = weights["model.embed_tokens.weight"]
        self.unembedding = (self.embedding * weights["model.norm.weight"]).T.contiguous()
        self.blocks = [self._fuse(weights, f"model.layers.{layer}.") for layer in range(self.layers)]

    def _fuse(self, weights: dict[str, Tensor], prefix: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (qkv, out, gate_up, down) as (inputs, outputs), the norms and the attention scale folded in."""
        norm1, norm2 = weights[prefix + "input_layernorm.weight"], weights[prefix + "post_attention_layernorm.weight"]
        attention = [weights[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkv"]
        attention[0] = attention[0] * self.head_size**-0.5
        qkv = (torch.cat(attention) * norm1).T.contiguous()
        out = weights[prefix + "self_attn.o_proj.weight"].T.contiguous()
        gate_up = torch.cat([weights[f"{prefix}mlp.{part}_proj.weight"] for part in ("gate", "up")]) * norm2
        return qkv, out, gate_up.T.contiguous(), weights[prefix + "mlp.down_proj.weight"].T.contiguous()

    def _normalize(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon)

    def _rotations(self, length: int) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, self.head_size, 2, device=self.device, dtype=torch.float32) / self.head_size
        angles = torch.arange(length, device=self.device, dtype=torch.float32)[:, None] * self.theta**-half
        return angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def _new_cache(self, rows: int, length: int) -> Tensor:
        shape = (self.layers, 2, rows, self.kv_heads, length, self.head_size)
        return torch.zeros(shape, device=self.device)

    def _step(self, tokens: Tensor, position: int, cache: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Feed one token a row (rows,) at `position`; fill the cache; return logits (rows, vocabulary)."""
        rows, size, groups = tokens.shape[0], self.head_size, self.heads // self.kv_heads
        rotated = (self.heads + self.kv_heads) * size
        x = self.embedding[tokens]
        for layer, (w_qkv, w_out, w_gate_up, w_down) in enumerate(self.blocks):
            qkv = self._normalize(x) @ w_qkv
            qk = qkv[:, :rotated].view(rows, -1, size)
            turned = torch.cat((-qk[..., size // 2 :], qk[..., : size // 2]), dim=-1)
            qk = qk * cos[position] + turned * sin[position]
            keys, values = cache[layer]
            keys[:, :, position] = qk[:, self.heads :]
            values[:, :, position] = qkv[:, rotated:].view(rows, -1, size)
            q = qk[:, : self.heads].reshape(rows, self.kv_heads, groups, size)
            past = slice(0, position + 1)
            mixed = (q @ keys[:, :, past].transpose(-1, -2)).softmax(-1) @ values[:, :, past]
            x = x + mixed.reshape(rows, -1) @ w_out
            gate, up = (self._normalize(x) @ w_gate_up).chunk(2, dim=-1)
            x = x + (torch.nn.functional.silu(gate) * up) @ w_down
        return self._normalize(x) @ self.unembedding

    @torch.inference_mode()
    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits of whole sequences: (rows, length) int64 to (rows, length, vocabulary)."""
        rows, length = tokens.shape
        cache, (cos, sin) = self._new_cache(rows, length), self._rotations(length)
        return torch.stack([self._step(tokens[:, k], k, cache, cos, sin) for k in range(length)], dim=1)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], *, length: int, eos: int, temperature: float
    ) -> list[list[int]]:
        """Continue each prompt until `eos` or `length` tokens in all; return what was written, `eos` included.

        Row r draws its token at position p with the p-th number of a Philox stream keyed by `seeds[r]`;
        temperature 0 takes the likeliest token. Raises ValueError for a prompt that leaves no room.
        """
        longest = max(len(prompt) for prompt in prompts)
        if longest >= length:
            raise ValueError(f"a prompt of {longest} tokens leaves no room in {length}")
        rows = len(prompts)
        forced = torch.full((rows, length), -1, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            forced[row, : len(prompt)] = torch.tensor(prompt)
        noise = np.stack([np.random.Generator(np.random.Philox(key=seed)).random(length) for seed in seeds])
        tokens = self._run(forced.to(self.device), torch.from_numpy(noise).float().to(self.device), eos, temperature)
        written = [row[len(prompt) :] for row, prompt in zip(tokens.tolist(), prompts, strict=True)]
        return [row[: row.index(eos) + 1] if eos in row else row for row in written]

    def _run(self, forced: Tensor, noise: Tensor, eos: int, temperature: float) -> Tensor:
        rows, length = forced.shape
        cache, (cos, sin) = self._new_cache(rows, length), self._rotations(length)
        tokens = forced.clone()
        first_free = int((forced >= 0).all(0).sum())
        done = torch.zeros(rows, dtype=torch.bool, device=self.device)
        for position in range(length - 1):
            logits = self._step(tokens[:, position], position, cache, cos, sin)
            if position + 1 < first_free:
                continue
            picked = _pick(logits, noise[:, position + 1], temperature)
            given = forced[:, position + 1]
            picked = torch.where(done, eos, torch.where(given >= 0, given, picked))
            tokens[:, position + 1] = picked
            done |= (given < 0) & (picked == eos)
            if bool(done.all()):
                tokens[:, position + 2 :] = eos
                break
        return tokens


def _pick(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Draw one token a row by inverting the cumulative distribution at a uniform number in [0, 1)."""
    if temperature == 0:
        return logits.argmax(-1)
    mass = (logits / temperature).softmax(-1).cumsum(-1)
    wanted = (uniform * mass[:, -1]).unsqueeze(-1)
    return torch.searchsorted(mass, wanted, right=True).squeeze(-1).clamp_(max=logits.shape[-1] - 1)
