"""Vision models of transformers, tiny ones from a config, against the plain calls of their library."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from datagen.errors import BackendError, ConfigError
from datagen.pictures import read_image
from datagen.vision.encoders import transformers as encoder
from tests.helpers.seeing_cases import DAMAGED, flat, noise, png, slow_cosine
from tests.helpers.tiny_vision import save_clip, save_dinov2, save_siglip

SAVES = {"clip": save_clip, "siglip": save_siglip, "dinov2": save_dinov2}
IMAGES = [noise(1, 40, 60), noise(2, 60, 40), flat((9, 200, 3)), png(np.eye(32, dtype=np.uint8) * 255)]


@pytest.fixture(scope="module", params=sorted(SAVES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVES[request.param](tmp_path_factory.mktemp(request.param))


def plain_features(folder: Path, image: bytes) -> list[float]:
    """Call the library as its documentation does, one image at a time."""
    model: Any = transformers.AutoModel.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    given = processor(images=read_image(image), return_tensors="pt")
    with torch.no_grad():
        if hasattr(model, "get_image_features"):
            return list(model.get_image_features(**given).pooler_output[0].tolist())
        return list(model(**given).last_hidden_state[0, 0].tolist())


def test_it_agrees_with_the_plain_call(folder: Path) -> None:
    rows = encoder.build({"model": str(folder)})(IMAGES)
    assert rows.dtype == np.float32
    for row, image in zip(rows, IMAGES, strict=True):
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
        assert slow_cosine(row, plain_features(folder, image)) == pytest.approx(1, abs=1e-5)
    assert rows[0] @ rows[2] < 0.999


def test_small_and_bad_images(folder: Path) -> None:
    encode = encoder.build({"model": str(folder), "batch_size": 2})
    tiny = [flat((200, 0, 0), 1, 1), flat((200, 0, 0), 3, 3), flat((200, 0, 0), 1, 50), flat((200, 0, 0), 40, 40)]
    rows = encode([*tiny, DAMAGED])
    for row in rows[:4]:
        assert row == pytest.approx(rows[3], abs=1e-4)  # one tone is the same picture at any size
    assert np.isnan(rows[4]).all()
    assert rows[0] @ encode([flat((0, 0, 200), 1, 1)])[0] < 0.999


def test_batches_make_no_difference(folder: Path) -> None:
    images = [noise(k) for k in range(7)]
    whole = encoder.build({"model": str(folder)})(images)
    parts = encoder.build({"model": str(folder), "batch_size": 3})(images)
    assert np.abs(whole - parts).max() < 1e-5


def test_nan_in_the_weights_is_no_row(tmp_path: Path) -> None:
    save_dinov2(tmp_path)
    spoil(tmp_path, lambda weights: weights["layernorm.weight"].fill_(float("nan")))
    assert np.isnan(encoder.build({"model": str(tmp_path)})(IMAGES)).all()


def test_features_of_zero_are_no_row(tmp_path: Path) -> None:
    save_clip(tmp_path)
    spoil(tmp_path, lambda weights: weights["visual_projection.weight"].zero_())
    assert np.isnan(encoder.build({"model": str(tmp_path)})(IMAGES)).all()


def spoil(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_missing_weights_are_an_error_and_not_random(tmp_path: Path) -> None:
    save_dinov2(tmp_path)
    spoil(tmp_path, lambda weights: weights.pop("layernorm.weight"))
    with pytest.raises(BackendError, match=r"lacks 1 of its weights: layernorm\.weight"):
        encoder.build({"model": str(tmp_path)})


def test_without_its_pooler_the_mean_of_all_tokens_counts(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ViTConfig(**shape, image_size=32, patch_size=8)
    torch.manual_seed(0)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    encode = encoder.build({"model": str(tmp_path)})
    model = transformers.ViTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    given = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")(
        images=read_image(IMAGES[0]), return_tensors="pt"
    )
    with torch.no_grad():
        tokens = model(**given).last_hidden_state[0]
    assert slow_cosine(encode(IMAGES)[0], tokens.mean(0).tolist()) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot be loaded"):
        encoder.build({"model": str(tmp_path / "nowhere")})
    save_dinov2(tmp_path)
    shutil.move(tmp_path / "preprocessor_config.json", tmp_path / "elsewhere.json")
    with pytest.raises(BackendError, match="ImageProcessor cannot be loaded"):
        encoder.build({"model": str(tmp_path)})
    with pytest.raises(ConfigError):
        encoder.build({"model": str(tmp_path), "colour": 3})
    with pytest.raises(ConfigError):
        encoder.build({})
