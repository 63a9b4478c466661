"""Text-image models against the forward pass of their library, and the honest edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from datagen.errors import BackendError
from datagen.pictures import read_image
from datagen.vision.encoders import transformers as encoder
from datagen.vision.interfaces import Matcher
from datagen.vision.matchers import transformers as matcher
from tests.helpers.seeing_cases import DAMAGED, flat, noise
from tests.helpers.tiny_vision import TEXT_PLACES, save_clip, save_dinov2, save_siglip

TEXTS = ["a star", "car", "two red", "OK"]
IMAGES = [noise(1, 40, 60), noise(2), flat((9, 200, 3))]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    save = {"clip": save_clip, "siglip": save_siglip}[request.param]
    return save(tmp_path_factory.mktemp(request.param))


def plain_logit(folder: Path, text: str, image: bytes) -> float:
    """Return the logit of one pair by the model's own forward pass."""
    model: Any = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    padding = {"padding": "max_length", "max_length": TEXT_PLACES} if model.config.model_type == "siglip" else {}
    words = tokenizer([text], return_tensors="pt", **padding)
    pixels = processor(images=read_image(image), return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=words["input_ids"], attention_mask=words["attention_mask"], pixel_values=pixels["pixel_values"]
        )
    return float(output.logits_per_image[0, 0])


def test_logits_agree_with_the_models_forward_pass(folder: Path) -> None:
    match = matcher.build({"model": str(folder)})
    pairs = [(text, image) for text in TEXTS for image in IMAGES]
    found = match(pairs)
    for (text, image), each in zip(pairs, found, strict=True):
        assert each.logit == pytest.approx(plain_logit(folder, text, image), abs=1e-4)
        assert -1 <= each.cosine <= 1
        assert not each.cut
    assert max(each.cosine for each in found) - min(each.cosine for each in found) > 0.01


def test_a_pair_does_not_depend_on_its_neighbours(folder: Path) -> None:
    match = matcher.build({"model": str(folder), "batch_size": 2})
    alone = match([("car", IMAGES[0])])[0]
    among = match([("a much longer", IMAGES[1]), ("car", IMAGES[0]), ("x", DAMAGED), ("car", IMAGES[2])])
    assert among[1].cosine == pytest.approx(alone.cosine, abs=1e-5)
    assert math.isnan(among[2].cosine)
    assert math.isnan(among[2].logit)
    assert math.isfinite(among[3].logit)
    assert match([]) == []
    many = match([(text, image) for text in TEXTS for image in IMAGES])  # more texts than one batch
    assert [each.cosine for each in many] == pytest.approx(
        [match([(text, image)])[0].cosine for text in TEXTS for image in IMAGES], abs=1e-5
    )
    assert math.isnan(match([("x", DAMAGED)])[0].cosine)


def test_only_a_model_with_a_bias_has_a_natural_reference(folder: Path) -> None:
    natural = 0.0 if "siglip" in folder.name else None
    assert matcher.build({"model": str(folder)})([("x", IMAGES[0])])[0].reference == natural
    assert matcher.build({"model": str(folder), "reference": 2.5})([("x", IMAGES[0])])[0].reference == 2.5


def test_a_text_that_is_too_long_is_cut_and_says_so(folder: Path) -> None:
    match = matcher.build({"model": str(folder)})
    fits, cut = match([("x" * (TEXT_PLACES - 2), IMAGES[0]), ("x" * 300, IMAGES[0])])
    assert (fits.cut, cut.cut) == (False, True)
    assert math.isfinite(cut.cosine)


def test_nan_in_the_weights_is_no_number(tmp_path: Path) -> None:
    save_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["text_projection.weight"].fill_(float("nan"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert math.isnan(matcher.build({"model": str(tmp_path)})([("x", IMAGES[0])])[0].logit)


def test_a_model_without_a_text_side_is_refused(tmp_path: Path) -> None:
    save_dinov2(tmp_path)
    with pytest.raises(BackendError):
        matcher.build({"model": str(tmp_path)})
    save_clip(tmp_path / "other")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(BackendError, match="'dinov2' does not compare text and image"):
        matcher.build({"model": str(tmp_path)})


def test_the_processor_can_stand_elsewhere(tmp_path: Path) -> None:
    save_clip(tmp_path / "whole")
    save_clip(tmp_path / "weights", text_side=False)
    with pytest.raises(BackendError, match="its tokenizer has no vocabulary"):
        matcher.build({"model": str(tmp_path / "weights")})
    one = matcher.build({"model": str(tmp_path / "weights"), "processor": str(tmp_path / "whole")})
    other: Matcher = matcher.build({"model": str(tmp_path / "whole")})
    pairs = [("star", IMAGES[0])]
    assert one(pairs) == other(pairs)
    assert np.isfinite(one(pairs)[0].logit)


def test_a_model_named_under_several_scorers_and_encoders_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, loaded = str(save_clip(tmp_path)), []
    load = transformers.AutoModel.from_pretrained

    def count(*given: Any, **named: Any) -> Any:
        loaded.append(given)
        return load(*given, **named)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", count)
    held: list[Any] = [matcher.build({"model": folder}), matcher.build({"model": folder, "reference": 2.0})]
    held.append(encoder.build({"model": folder, "batch_size": 2}))
    assert len(loaded) == 1
    plain, referred = (match([("car", IMAGES[0])])[0] for match in held[:2])
    assert (plain.logit, plain.reference, referred.reference) == (referred.logit, None, 2.0)
    held.append(matcher.build({"model": str(save_clip(tmp_path / "other", scale=1.0))}))
    assert len(loaded) == 2
    assert held[3]([("car", IMAGES[0])])[0].logit != plain.logit
