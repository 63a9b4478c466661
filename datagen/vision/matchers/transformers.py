"""Any text-image model of transformers with two sides, by name or folder: CLIP, SigLIP, PickScore, HPS.

    matchers:
      clipscore: {name: transformers, model: openai/clip-vit-base-patch32}
      preference: {name: transformers, model: yuvalkirstain/PickScore_v1, reference: 20}

`reference` is the score (scale * cosine + bias) of probability 0.5. For SigLIP models it is 0 by training; CLIP and the
models made of it have none, so a recipe that needs it must set it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.vision.interfaces import Match, Matcher
from datagen.vision.loading import Dual, ModelOptions, measure_cosine


class MatcherOptions(ModelOptions):
    """Options of a matcher: a model, and the score of probability 0.5."""

    reference: float | None = None


def build(options: Mapping[str, Any]) -> Matcher:
    """Return the matcher. Raises ConfigError for wrong options, BackendError if the model cannot be loaded."""
    chosen = load_model(Document("matchers: transformers", dict(options)), MatcherOptions)
    dual = Dual(chosen)
    natural = None if dual.bias is None else 0.0
    reference = natural if chosen.reference is None else chosen.reference

    def match(pairs: Sequence[tuple[str, bytes]]) -> list[Match]:
        if not pairs:
            return []
        # Each text and image is encoded once, however many pairs it occurs in.
        texts = {text: k for k, text in enumerate(dict.fromkeys(text for text, _ in pairs))}
        images = {image: k for k, image in enumerate(dict.fromkeys(image for _, image in pairs))}
        read, seen = dual.read(list(texts)), dual.encode(list(images))
        cut = {text: dual.is_cut(text) for text in texts}
        matches = []
        for text, image in pairs:
            cosine = measure_cosine(read[texts[text]], seen[images[image]]) if read.shape[1] == seen.shape[1] else None
            known = float("nan") if cosine is None else cosine
            matches.append(Match(known, dual.scale * known + (dual.bias or 0.0), reference, cut[text]))
        return matches

    return match
