"""Tiny vision models made from a config: the real classes of transformers, random weights, saved as a folder."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertTokenizerFast,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SwinConfig,
)

SIDE_PX, PATCH_PX, WIDTH, TEXT_PLACES = 32, 8, 16, 16
SHAPE = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SQUARE = {"height": SIDE_PX, "width": SIDE_PX}


def save_clip(folder: Path, scale: float = 2.0, *, text_side: bool = True) -> Path:
    """Write a CLIP of 32 x 32 px; `scale` is the logarithm of what it multiplies its cosine by."""
    vision = {**SHAPE, "image_size": SIDE_PX, "patch_size": PATCH_PX}
    text = {**SHAPE, "vocab_size": 200, "max_position_embeddings": TEXT_PLACES, "pad_token_id": 0}
    text |= {"bos_token_id": 1, "eos_token_id": 3}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    _stir(model)
    model.logit_scale.data.fill_(scale)
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": SIDE_PX}, crop_size=SQUARE).save_pretrained(folder)
    if text_side:
        _save_tokenizer(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    """Write a SigLIP of 32 x 32 px with a bias of -3."""
    vision = {**SHAPE, "image_size": SIDE_PX, "patch_size": PATCH_PX}
    text = {**SHAPE, "vocab_size": 200, "max_position_embeddings": TEXT_PLACES, "pad_token_id": 0}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    _stir(model)
    model.logit_bias.data.fill_(-3.0)
    model.logit_scale.data.fill_(1.0)
    model.save_pretrained(folder)
    SiglipImageProcessor(size=SQUARE).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def save_dinov2(folder: Path) -> Path:
    """Write a DINOv2 of 32 x 32 px."""
    torch.manual_seed(0)
    model = Dinov2Model(Dinov2Config(**SHAPE, image_size=SIDE_PX, patch_size=PATCH_PX))
    _stir(model)
    model.save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": SIDE_PX}, crop_size=SQUARE).save_pretrained(folder)
    return folder


def save_owl(folder: Path, kind: str = "owlv2") -> Path:
    """Write an OWLv2, or an OWL-ViT, of 32 x 32 px: 16 boxes."""
    config, model_class, processor = {
        "owlv2": (Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor),
        "owlvit": (OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor),
    }[kind]
    vision = {**SHAPE, "image_size": SIDE_PX, "patch_size": PATCH_PX}
    text = {**SHAPE, "vocab_size": 200, "max_position_embeddings": TEXT_PLACES, "pad_token_id": 0}
    text |= {"bos_token_id": 1, "eos_token_id": 3}
    torch.manual_seed(0)
    model = model_class(config(text_config=text, vision_config=vision, projection_dim=WIDTH))
    _stir(model)
    model.save_pretrained(folder)
    processor(size=SQUARE).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def save_full_owl(folder: Path) -> Path:
    """Write an OWLv2 with random weights, of the size of google/owlv2-base-patch16-ensemble: 960 x 960 px."""
    torch.manual_seed(0)
    config = Owlv2Config(text_config={"pad_token_id": 0}, vision_config={"image_size": 960}, projection_dim=512)
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    Owlv2ImageProcessor(size={"height": 960, "width": 960}).save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def save_grounding_dino(folder: Path) -> Path:
    """Write a Grounding DINO of 128 x 128 px with five queries. Its ids of `.`, `[CLS]` and `[SEP]` are fixed."""
    swin = SwinConfig(
        image_size=128, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(**SHAPE, vocab_size=1100, max_position_embeddings=64)
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=text, d_model=32, num_queries=5, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_text_len=24,
        num_feature_levels=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = GroundingDinoForObjectDetection(config)
    _stir(model)
    model.save_pretrained(folder)
    GroundingDinoImageProcessor(size={"height": 128, "width": 128}).save_pretrained(folder)
    words = {k: f"[unused{k}]" for k in range(1100)}
    words |= {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    words |= {200 + k: letter for k, letter in enumerate(string.ascii_lowercase)}
    words |= {300 + k: f"##{letter}" for k, letter in enumerate(string.ascii_lowercase)}
    BertTokenizerFast(vocab={word: k for k, word in words.items()}).save_pretrained(folder)
    return folder


def _stir(model: Any) -> None:
    """Replace weights by larger random ones, so that images and texts differ visibly in their features."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "embed_positions" not in name:
            torch.nn.init.normal_(weight, std=0.3)


def _save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of bytes with `<s>` before and `</s>` after a text."""
    words = ["<pad>", "<s>", "<unk>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={word: k for k, word in enumerate(words[:200])}, merges=[], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 3)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder)
