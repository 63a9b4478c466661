"""How likely the embedded model holds an image for a prompt: log-probabilities of its image tokens, teacher-forced."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from datagen.backends.embedded.chat import encode_image
from datagen.backends.embedded.codec import ImageCodec
from datagen.backends.embedded.decoder import LlamaDecoder
from datagen.backends.embedded.vocab import Vocabulary

BATCH = 64


def measure_likelihood(
    vocab: Vocabulary, codec: ImageCodec, decoder: LlamaDecoder, text: str, images: Sequence[bytes], most_tokens: int
) -> list[tuple[float, int]]:
    """Return (log p in nats, image tokens) of each image behind a prompt; see `EmbeddedBackend.likelihood`."""
    prompt = vocab.prompt_ids(text, "direct")
    found: list[tuple[float, int]] = []
    for start in range(0, len(images), BATCH):
        drawn = [vocab.image_ids(encode_image(codec, image, decoder.device)) for image in images[start : start + BATCH]]
        if len(prompt) + len(drawn[0]) > most_tokens:
            room = most_tokens - len(drawn[0])
            raise ValueError(f"the prompt is {len(prompt)} tokens long; this model reads {room} before an image")
        ids = torch.tensor([prompt + image for image in drawn], device=decoder.device)
        logs = decoder.logits(ids[:, :-1]).log_softmax(-1)
        said = logs.gather(2, ids[:, 1:, None])[..., 0]
        codes = ids[:, 1:] >= vocab.first_code
        found += zip((said * codes).sum(1).tolist(), codes.sum(1).tolist(), strict=True)
    return found
