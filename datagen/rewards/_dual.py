"""Text-image models with two sides, such as CLIP, SigLIP and the preference models made of them (PickScore, HPS).

Both sides give features of one space; the model's score is scale * cosine + bias, with the scale and the bias that it
was trained with (CLIP and its like have no bias). Not covered: models that read text and image together (BLIP's
matching head, ImageReward, judges that are language models).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from datagen.errors import BackendError
from datagen.rewards._encoding import make_encode
from datagen.rewards._models import ModelOptions, load_image_processor, load_model_of, load_tokenizer, prepare_with
from datagen.rewards._similarity import normalise

if TYPE_CHECKING:
    import numpy as np


class Dual:
    """A loaded model: `encode` images, `read` texts; `scale` and `bias` (None: it has none) make a cosine its score."""

    def __init__(self, options: ModelOptions) -> None:
        self._processor = load_image_processor(options)
        self._tokenizer = load_tokenizer(options)
        self._model, _ = load_model_of("AutoModel", options)
        if not (hasattr(self._model, "get_text_features") and hasattr(self._model, "logit_scale")):
            kind = self._model.config.model_type
            hint = "CLIP and SigLIP models do, and preference models made of them"
            raise BackendError(
                f"a model of type {kind!r} does not compare text and image", where=options.model, hint=hint
            )
        self.scale = float(self._model.logit_scale.detach().exp())
        self.bias = float(self._model.logit_bias.detach()) if hasattr(self._model, "logit_bias") else None
        self._batch_size = options.batch_size
        self._longest = int(self._model.config.text_config.max_position_embeddings)
        # SigLIP reads its text off the last place, so that each text must fill all places, as in its training.
        self._padding = "max_length" if self._model.config.model_type.startswith("siglip") else "longest"
        self.encode = make_encode(partial(prepare_with, self._processor), self._read_images, options.batch_size)

    def _read_images(self, pixels: Any) -> Any:
        return self._model.get_image_features(pixel_values=pixels.to(self._model.device)).pooler_output

    def read(self, texts: Sequence[str]) -> np.ndarray:
        """Return one row (n, d) of length 1 for each text, n >= 1; what is longer than the model reads is cut."""
        import numpy as np

        starts = range(0, len(texts), self._batch_size)
        return np.concatenate([self._read_batch(texts[start : start + self._batch_size]) for start in starts])

    def _read_batch(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(
            list(texts), padding=self._padding, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        taken = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        with torch.inference_mode():
            output = self._model.get_text_features(**{k: v.to(self._model.device) for k, v in taken.items()})
        return normalise(output.pooler_output.float().cpu().numpy())

    def is_cut(self, text: str) -> bool:
        """Say whether a text is longer than the model reads."""
        return len(self._tokenizer(text, verbose=False)["input_ids"]) > self._longest
