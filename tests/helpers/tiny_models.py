"""Tiny Emu3 and Janus models made from a config: the real classes, random weights, saved as a folder in a second.

Their text is bytes. One entry of every hidden state is large and known, so that a column of the head says how likely
a token is: the end of a text, or the begin of an image, comes after ten tokens or so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    Emu3Processor,
    Emu3TextConfig,
    Emu3VQVAEConfig,
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessor,
    JanusProcessor,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from datagen.records import Claim, Prompt, Request

IMAGE_PX = 32
CODES = 64
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{{ c['text'] }}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def make_requests(texts: Sequence[str], mode: str, first_seed: int = 1000) -> list[Request]:
    """Return one request for each text, with seeds that count up."""
    claims, where = (Claim("count", "star", "", 1),), {"weakness": "w", "skill": "s", "level": "easy", "template": "t"}
    return [
        Request(Prompt.make(text, claims, index=k, seed=0, **where), 0, first_seed + k, mode)  # type: ignore[arg-type]
        for k, text in enumerate(texts)
    ]


def save_emu3(folder: Path, positions: int = 512) -> Path:
    """Write a tiny Emu3 whose images are 32 x 32 px, 4 x 4 codes; it reads `positions` tokens."""
    names = {
        "image_token": "<image>",
        "boi_token": "<|image start|>",
        "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>",
        "eof_token": "<|extra_201|>",
    }
    codes = [f"<|visual token {code:06d}|>" for code in range(CODES)]
    tokenizer = _make_tokenizer(names, ["<|extra_200|>", *codes])
    known = tokenizer.get_vocab()
    text = Emu3TextConfig(
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        max_position_embeddings=positions,
        attention_dropout=0.0,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        **SHAPE,
        **IDS,
    )
    vq = Emu3VQVAEConfig(
        codebook_size=CODES,
        embed_dim=4,
        latent_channels=4,
        base_channels=32,
        channel_multiplier=[1, 1, 1, 1],
        num_res_blocks=1,
        attn_resolutions=[3],
        hidden_size=32,
        num_attention_heads=1,
        temporal_downsample_factor=2,
    )
    torch.manual_seed(0)
    mapping = {token: known[token] for token in ("<image>", "<|extra_200|>", *codes)}
    model = Emu3ForConditionalGeneration(Emu3Config(text_config=text, vq_config=vq, vocabulary_map=mapping))
    _favour(model, {known["<|image start|>"]: 3.5, 2: 1.5})
    images = Emu3ImageProcessor(min_pixels=IMAGE_PX**2, max_pixels=4 * IMAGE_PX**2, spatial_factor=8)
    model.save_pretrained(folder)
    Emu3Processor(image_processor=images, tokenizer=tokenizer, chat_template=CHAT).save_pretrained(folder)
    return folder


def save_janus(folder: Path) -> Path:
    """Write a tiny Janus whose images are 32 x 32 px, 16 codes."""
    return save_janus_of(folder, configure_janus)


def configure_janus(ids: dict[str, int]) -> JanusConfig:
    """Return the configuration of the tiny Janus for a vocabulary."""
    patch = 8
    codes = (IMAGE_PX // patch) ** 2
    vision = JanusVisionConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=IMAGE_PX,
        patch_size=patch,
        mlp_ratio=2.0,
        projection_dim=32,
        num_image_tokens=codes,
        depth=1,
    )
    text = LlamaConfig(vocab_size=len(ids), num_key_value_heads=2, max_position_embeddings=512, **SHAPE, **IDS)
    vq = JanusVQVAEConfig(
        embed_dim=8,
        num_embeddings=CODES,
        latent_channels=32,
        base_channels=32,
        channel_multiplier=[1, 1, 1, 1],
        num_res_blocks=1,
        projection_dim=32,
        num_hidden_layers=2,
        image_token_embed_dim=32,
    )
    return JanusConfig(
        text_config=text,
        vision_config=vision,
        vq_config=vq,
        image_token_id=ids["<image_placeholder>"],
        tie_word_embeddings=False,
    )


def save_janus_of(
    folder: Path, configure: Callable[[dict[str, int]], JanusConfig], device: str = "cpu", dtype: str = "float32"
) -> Path:
    """Write a Janus with random weights, made on a device, of the configuration for the vocabulary of bytes."""
    names = {"image_token": "<image_placeholder>", "boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = _make_tokenizer(names, [])
    known = tokenizer.get_vocab()
    config = configure(known)
    torch.manual_seed(0)
    with torch.device(device):
        model = JanusForConditionalGeneration._from_config(config, dtype=getattr(torch, dtype))
    _favour(model, {2: 3.0})
    model.generation_config = GenerationConfig(**IDS, generation_kwargs={"boi_token_id": known["<begin_of_image>"]})
    side, codes = config.vision_config.image_size, config.vision_config.num_image_tokens
    images = JanusImageProcessor(size={"height": side, "width": side}, min_size=14)
    model.save_pretrained(folder)
    processor = JanusProcessor(image_processor=images, tokenizer=tokenizer, num_image_tokens=codes, chat_template=CHAT)
    processor.save_pretrained(folder)
    return folder


def _make_tokenizer(names: dict[str, str], more: list[str]) -> Any:
    """Return a tokenizer of bytes whose first ids are pad, begin and end."""
    special = ["<pad>", "<bos>", "<eos>", *names.values(), *more]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: k for k, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    basic = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", extra_special_tokens=names, **basic)


def _favour(model: Any, scores: dict[int, float]) -> None:
    """Make the scores of some tokens about what is said, and those of the others depend on what was written."""
    embedding, head = model.get_input_embeddings().weight.data, model.lm_head.weight.data
    embedding.normal_(0, 1)
    embedding[:, 0] = 6.0
    head.normal_(0, 0.1)
    head[:, 0] = 0
    size = 6.0 / (41 / 32) ** 0.5 / 1.48  # about what the last norm makes of a 6 among numbers of deviation 1
    for token, score in scores.items():
        head[token] = 0
        head[token, 0] = score / size
