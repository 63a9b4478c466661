"""A Llama in fused form, with the weights of an ordinary Hugging Face checkpoint: the same for generating and learning.

Norms and the attention scale are folded into fused projections, and rotations are one complex product. All of it is
differentiable, from the logits back to the weights under their Hugging Face names.

Not covered: biases, scaled rotations, an unembedding that is not the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

Block = tuple[Tensor, Tensor, Tensor, Tensor]
"""Projections of a layer as (inputs, outputs): queries, keys and values; attention's output; gate and up; down."""


class FusedLlama:
    """The fused weights of a model, and its logits."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        self.width: int = config["hidden_size"]
        self.heads: int = config["num_attention_heads"]
        self.kv_heads: int = config["num_key_value_heads"]
        self.head_size: int = config["head_dim"]
        self.layers: int = config["num_hidden_layers"]
        self.epsilon: float = config["rms_norm_eps"]
        self.theta: float = config["rope_parameters"]["rope_theta"]
        self.embedding = weights["model.embed_tokens.weight"]
        # The weight of a norm is folded into the projection after it, so `normalize` has none.
        self.unembedding = (self.embedding * weights["model.norm.weight"]).T
        self.blocks = [self._fuse(weights, f"model.layers.{layer}.") for layer in range(self.layers)]

    def _fuse(self, weights: Mapping[str, Tensor], prefix: str) -> Block:
        """Return the projections of a layer, with rotated pairs of queries and keys adjacent."""
        norm1, norm2 = weights[prefix + "input_layernorm.weight"], weights[prefix + "post_attention_layernorm.weight"]
        q, k, v = (weights[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkv")
        qkv = torch.cat((self._pair(q) * self.head_size**-0.5, self._pair(k), v))
        out = weights[prefix + "self_attn.o_proj.weight"].T
        gate_up = torch.cat([weights[f"{prefix}mlp.{part}_proj.weight"] for part in ("gate", "up")]) * norm2
        down = weights[prefix + "mlp.down_proj.weight"].T
        return (qkv * norm1).T, out, gate_up.T, down

    def _pair(self, weight: Tensor) -> Tensor:
        """Reorder the outputs of each head from (first half, second half) to pairs, the real and imaginary parts."""
        return weight.view(-1, 2, self.head_size // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)

    @property
    def tensors(self) -> list[Tensor]:
        """All fused weights: the embedding, the unembedding, and the four of each layer."""
        return [self.embedding, self.unembedding, *(weight for block in self.blocks for weight in block)]

    def detach(self, dtype: torch.dtype) -> Self:
        """Return a copy whose weights are new leaves without a graph; products are computed in `dtype`.

        The residual stream, and queries, keys and values, stay float32: attention is sharp here, so that rounding it
        would be most of the error of bfloat16.
        """
        other = copy(self)
        other.embedding, other.unembedding = self.embedding.detach(), self.unembedding.detach().to(dtype)
        other.blocks = [
            (qkv.detach(), *(weight.detach().to(dtype) for weight in rest))  # type: ignore[misc]
            for qkv, *rest in self.blocks
        ]
        return other

    def normalize(self, x: Tensor) -> Tensor:
        """Return (…, width) scaled to a root mean square of 1."""
        return functional.rms_norm(x, (self.width,), eps=self.epsilon)

    def rotations(self, length: int) -> Tensor:
        """Return (length, heads, pairs) complex: rotations of queries and keys at each position, and 1 for values."""
        device = self.embedding.device
        exponents = torch.arange(0, self.head_size, 2, device=device, dtype=torch.float32) / self.head_size
        angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * self.theta**-exponents
        turns = torch.polar(torch.ones_like(angles), angles)[:, None]
        rotated = turns.expand(-1, self.heads + self.kv_heads, -1)
        return torch.cat((rotated, torch.ones_like(turns).expand(-1, self.kv_heads, -1)), dim=1)

    def run(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the logits of tokens (rows, length) int64 as (rows * length, vocabulary).

        With `kept`, an index of these positions, those of the others are not computed: (kept, vocabulary).
        """
        rows, length = tokens.shape
        turns = self.rotations(length)
        x = functional.embedding(tokens, self.embedding).view(rows * length, self.width)
        for layer, (w_qkv, w_out, w_gate_up, w_down) in enumerate(self.blocks):
            flat = (self.normalize(x).to(w_qkv.dtype) @ w_qkv).float()
            pairs = torch.view_as_complex(flat.view(rows, length, -1, self.head_size // 2, 2))
            qkv = torch.view_as_real(pairs * turns).view(rows, length, -1, self.head_size).transpose(1, 2)
            q, keys, values = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
            mixed = functional.scaled_dot_product_attention(q, keys, values, is_causal=True, scale=1.0, enable_gqa=True)
            mixed = mixed.transpose(1, 2).reshape(rows * length, -1)
            if kept is not None and layer == self.layers - 1:
                x, mixed = x[kept], mixed[kept]
            x = x + mixed.to(w_out.dtype) @ w_out
            gate, up = (self.normalize(x).to(w_gate_up.dtype) @ w_gate_up).chunk(2, dim=-1)
            x = x + (functional.silu(gate) * up) @ w_down
        return self.unembed(x)

    def unembed(self, x: Tensor) -> Tensor:
        """Return the logits of last hidden states: (…, width) to (…, vocabulary)."""
        return self.normalize(x).to(self.unembedding.dtype) @ self.unembedding
