"""Train a language model on text and image tokens in one sequence: the generator of images, or the reader.

The loss is the cross-entropy of the tokens that the model should write, weighted by `sequences.Writer`. Muon updates
the hidden matrices, AdamW the rest. Batches come from a separate process and are a pure function of (seed, chunk), so
a resumed training continues with the same batch.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from datagen.embedded.loading import load_codec, load_lm, save_codec, save_lm
from datagen.embedded.vocab import Vocabulary, build_tokenizer
from datagen.training.state import Muon, Schedule, TrainingState, split_parameters
from datagen.workshop.corpus import PromptSource, make_batches, tokenizer_corpus
from datagen.workshop.sequences import CodeTable, Writer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM


_CHUNK_BATCHES = 8
_AHEAD = 3
_FIGURES = ("image_loss", "first_cell_loss", "text_loss", "answer_loss")
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class LMShape:
    """Size of a language model."""

    width: int = 192
    layers: int = 6
    inner: int = 512
    heads: int = 3
    kv_heads: int = 1


SHAPES = {"draw": LMShape(), "read": LMShape(layers=4, heads=6, kv_heads=6)}
"""The generator has one key-value head, for a small cache. The reader has one for each of its heads: it has to copy
from its input, which it did not learn with the generator's shape and weights."""


LOGIT_GAIN = 0.06
"""Initial gain of the last norm: with embeddings of standard deviation 1, logits begin near 1."""
EMBEDDING_RATE = 0.02
"""Learning rate of the embeddings as a share of their standard deviation."""


def new_model(vocab: Vocabulary, shape: LMShape) -> LlamaForCausalLM:
    """Return a freshly initialised Llama-architecture model with tied embeddings.

    Embeddings have a standard deviation of 1 and every layer begins by adding nothing, so that the token itself is
    visible deep in the model; with the usual small embeddings, Muon's steps drown it, and copying is hardly learned.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab.size,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=vocab.pad,
        bos_token_id=vocab.bos,
        eos_token_id=vocab.eos,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_()
        model.model.norm.weight.fill_(LOGIT_GAIN)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model


def make_optimizers(model: LlamaForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the hidden matrices, AdamW for embeddings and gains; `rate` scales all learning rates."""
    matrices, rest = split_parameters(model, ("embed_tokens",))
    embeddings = [each for each in rest if each.ndim == 2]
    gains = [each for each in rest if each.ndim == 1]
    groups = [
        {"params": embeddings, "lr": EMBEDDING_RATE * embeddings[0].std().item() * rate},
        {"params": gains, "lr": 3e-3 * rate},
    ]
    return [
        Muon(matrices, lr=0.02 * rate, decay=0.1),
        torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0),
    ]


_worker: tuple[PromptSource, Writer, str] | None = None


def _start_worker(folder: str, tasks: str) -> None:
    from tokenizers import Tokenizer

    global _worker
    torch.set_num_threads(1)
    vocab = Vocabulary(Tokenizer.from_file(f"{folder}/tokenizer.json"))
    _worker = PromptSource(tasks), Writer(vocab, CodeTable(load_codec(Path(folder)))), tasks


def _make_chunk(seed: int, chunk: int, size: int) -> list[Batch]:
    assert _worker is not None
    return make_batches(seed, chunk, *_worker, size=size, batches=_CHUNK_BATCHES)


def stream_batches(folder: Path, tasks: str, seed: int, first: int, last: int, size: int) -> Iterator[Batch]:
    """Yield batches `first` to `last - 1`, prepared a few chunks ahead in another process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_start_worker, initargs=(str(folder), tasks)) as pool:
        chunks = range(first // _CHUNK_BATCHES, -(-last // _CHUNK_BATCHES))
        waiting: deque[tuple[int, Future[list[Batch]]]] = deque()
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_make_chunk, seed, chunk, size)))
            if len(waiting) > _AHEAD:
                yield from _in_range(*waiting.popleft(), first, last)
        while waiting:
            yield from _in_range(*waiting.popleft(), first, last)


def _in_range(chunk: int, future: Future[list[Batch]], first: int, last: int) -> Iterator[Batch]:
    for k, batch in enumerate(future.result()):
        if first <= chunk * _CHUNK_BATCHES + k < last:
            yield batch


def prepare_folder(out: Path, codec: Path, init: Path | None) -> Tokenizer:
    """Put the image tokenizer and the text tokenizer into `out`; the latter is kept, copied from `init`, or trained."""
    from tokenizers import Tokenizer

    out.mkdir(parents=True, exist_ok=True)
    image_codec = load_codec(codec)
    save_codec(image_codec, out)
    if init and not (out / "tokenizer.json").exists():
        shutil.copy(init / "tokenizer.json", out / "tokenizer.json")  # the weights of `init` belong to its ids
    if not (out / "tokenizer.json").exists():
        build_tokenizer(tokenizer_corpus(), image_codec.codes).save(str(out / "tokenizer.json"))
    return Tokenizer.from_file(str(out / "tokenizer.json"))


def train_lm(
    out: Path,
    *,
    tasks: str,
    codec: Path,
    steps: int,
    batch: int,
    seed: int,
    init: Path | None,
    rate: float,
    save_every: int,
    device: str,
) -> None:
    """Train for `steps` in all, continuing from `out/state.pt` if it exists, and write the checkpoint folder `out`.

    `init` is a checkpoint folder to start from, and `rate` scales both learning rates (less than 1 suits `init`).
    """
    tokenizer = prepare_folder(out, codec, init)
    vocab = Vocabulary(tokenizer)
    torch.manual_seed(seed)
    model = load_lm(init) if init else new_model(vocab, SHAPES[tasks])
    model.to(device).train()
    optimizers = make_optimizers(model, rate)
    schedule = Schedule(optimizers, steps, decay=0.6, warmup=200 if init else 40)  # new tasks disturb old skills
    state = TrainingState(out, model, optimizers)
    first = state.restore()
    losses: list[list[float]] = []
    for step, arrays in enumerate(stream_batches(out, tasks, seed, first, steps, batch), first):
        schedule.set(step)
        ids, weights = (torch.from_numpy(array).to(device) for array in arrays)
        wanted = weights > 0
        each, labels = _losses(model, ids, wanted)
        for optimizer in optimizers:
            optimizer.zero_grad()
        (each * weights[wanted]).mean().backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(_split_loss(each.detach(), labels >= vocab.first_code, weights[wanted] > 1))
        if (step + 1) % 50 == 0:
            columns = ([loss for loss in column if loss == loss] for column in zip(*losses, strict=True))  # no NaN
            known = {name: sum(column) / len(column) for name, column in zip(_FIGURES, columns, strict=True) if column}
            state.log(step + 1, **known, seen=(step + 1) * batch)
            losses.clear()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state.save(step + 1)
            save_lm(model, tokenizer, out)


def _split_loss(each: torch.Tensor, drawn: torch.Tensor, decisive: torch.Tensor) -> list[float]:
    """Return the mean loss of image tokens, of decisive ones among them, of text tokens, and of decisive ones."""
    parts = (drawn, drawn & decisive, ~drawn, ~drawn & decisive)
    return [each[part].mean().item() for part in parts]


def _losses(model: LlamaForCausalLM, ids: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of every token where `wanted` (rows, length) is true, and these tokens: both (wanted,)."""
    # Logits of the wanted positions alone, since much of a sequence is input or padding.
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    labels = ids[:, 1:][wanted[:, 1:]]
    logits = hidden[wanted[:, 1:]] @ model.lm_head.weight.T
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none"), labels
