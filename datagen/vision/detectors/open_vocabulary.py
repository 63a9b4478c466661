"""Detect objects by name with a zero-shot detector of transformers: OWL-ViT, OWLv2, Grounding DINO, MM Grounding DINO.

    detector: {name: open_vocabulary, model: google/owlv2-base-patch16-ensemble, threshold: 0.2}

It searches for given names (`Tools.look_for`): the objects that the prompt claims or the reasoning plans. OWL models
get `a photo of a NAME`, Grounding DINO `name. name.`, as their authors do. Each box gets its best name; overlapping
boxes of one name are one object.

Not covered: words that the text encoder does not know, which give low confidences without a warning; masks. The right
threshold depends on the model: `datagen audit` measures it on true and broken scenes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import BackendError
from datagen.pictures import read_image
from datagen.records import Detection
from datagen.vision.finding import FindOptions, Found, finish, from_center, list_colors, make_colors
from datagen.vision.interfaces import Sight
from datagen.vision.loading import ModelOptions, load_image_processor, load_model_of, load_tokenizer, prepare_with

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


OWL = ("owlvit", "owlv2")
DINO = ("grounding-dino", "mm-grounding-dino")


class Options(ModelOptions, FindOptions):
    """A model, the filter of its detections, and the naming of colours."""


def build(options: Mapping[str, Any]) -> OpenVocabularyDetector:
    """Return the detector. Raises ConfigError for wrong options, BackendError if the model cannot be used."""
    return OpenVocabularyDetector(load_model(Document("detector: open_vocabulary", dict(options)), Options))


def describe(options: Mapping[str, Any]) -> Sight:
    """Return the colours and limit of the detector, without loading it; any name is allowed. Raises ConfigError."""
    checked = load_model(Document("detector: open_vocabulary", dict(options)), Options)
    return Sight(colors=list_colors(checked), most=checked.most)


class OpenVocabularyDetector:
    """A callable from PNG bytes and names to detections in reading order."""

    open_vocabulary = True

    def __init__(self, options: Options) -> None:
        self._options, self.colors, self.most = options, list_colors(options), options.most
        self._model, _ = load_model_of("AutoModelForZeroShotObjectDetection", options)
        self._kind = self._model.config.model_type
        if self._kind not in (*OWL, *DINO):
            hint = f"supported: {', '.join((*OWL, *DINO))}"
            raise BackendError(f"models of type {self._kind!r} are not supported", where=options.model, hint=hint)
        self._processor = load_image_processor(options)
        self._tokenizer = load_tokenizer(options)
        self._colors = make_colors(options)

    def __call__(self, image: bytes, names: frozenset[str]) -> list[Detection]:
        """Return the detections of these names. Raises OSError for a damaged PNG, ValueError for too many names."""
        if not names:
            return []
        picture = read_image(image)
        find = self._find_owl if self._kind in OWL else self._find_dino
        return finish(find(picture, sorted(names)), np.asarray(picture), self._options, self._colors)

    def _run(self, picture: Picture, tokens: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return confidences (queries, columns) in [0, 1] and boxes (queries, 4) as centre and sides, relative."""
        import torch

        pixels = torch.from_numpy(prepare_with(self._processor, picture))[None]
        given = {name: value.to(self._model.device) for name, value in tokens.items()}
        with torch.inference_mode():
            output = self._model(pixel_values=pixels.to(self._model.device), **given)
        return output.logits[0].sigmoid().cpu().numpy(), output.pred_boxes[0].cpu().numpy()

    def _find_owl(self, picture: Picture, names: Sequence[str]) -> list[Found]:
        longest = self._model.config.text_config.max_position_embeddings
        texts = [f"a photo of a {name}" for name in names]
        tokens = self._tokenizer(texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
        confidences, boxes = self._run(picture, {key: tokens[key] for key in ("input_ids", "attention_mask")})
        # OWLv2 pads the picture to a square at the right and bottom, and its boxes are shares of that square.
        width, height = (max(picture.size),) * 2 if self._kind == "owlv2" else picture.size
        return _to_found(confidences, boxes, names, width, height)

    def _find_dino(self, picture: Picture, names: Sequence[str]) -> list[Found]:
        text = " ".join(f"{name.lower()}." for name in names)
        tokens = self._tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
        if tokens["input_ids"].shape[1] > self._model.config.max_text_len:
            raise ValueError(f"{len(names)} names are more than the detector reads at once")
        # A name may be several tokens: find them by their characters, and take the best of their columns.
        places = tokens.pop("offset_mapping")[0].tolist()
        confidences, boxes = self._run(picture, tokens)
        columns, start = [], 0
        for name in names:
            end = start + len(name.lower())
            inside = [k for k, (first, last) in enumerate(places) if first < last and first >= start and last <= end]
            columns.append(confidences[:, inside].max(1))
            start = end + len(". ")
        return _to_found(np.stack(columns, axis=1), boxes, names, *picture.size)


def _to_found(
    confidences: np.ndarray, boxes: np.ndarray, names: Sequence[str], width: float, height: float
) -> list[Found]:
    """Return each box, scaled to a picture of these sides in pixels, with its best name."""
    best = confidences.argmax(1)
    scaled = boxes.astype(np.float64) * (width, height, width, height)
    return [
        Found(names[name], float(row[name]), from_center(*map(float, box)))
        for name, row, box in zip(best.tolist(), confidences, scaled, strict=True)
    ]
