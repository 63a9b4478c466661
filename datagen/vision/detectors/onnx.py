"""Detect objects with a detector in an ONNX file, run by onnxruntime.

    detector: {name: onnx, model: models/yolo.onnx, form: yolo}

The class names are in a file beside it, `yolo.yaml`, `.yml` or `.json`: a list, or a mapping from number to name, or
either under the key `names`. There is one input, (1, 3, H, W) float32: RGB, each pixel (value / 255 - mean) / std; the
picture is scaled to fit H x W in its proportions, placed in the upper left corner, and the rest is grey (114). `form`
describes the outputs, in order:

* `yolo`: one, (1, 4 + classes, boxes): centre and sides in pixels of the input, then a confidence for each class;
* `detr`: two, logits (1, boxes, classes or classes + 1 for "nothing") and boxes (1, boxes, 4), centre and sides as
  shares of the input; softmax if there is one column more than names, else sigmoid;
* `boxes`: three, corners (boxes, 4) in pixels of the input, confidences (boxes,), class numbers (boxes,); each may have
  a leading dimension of 1.

`device` is `auto`, `cpu`, `cuda` or `cuda:1`; `auto` is a GPU if there is one and the package `onnxruntime-gpu`.

Not covered: masks, rotated boxes, classes that are not in the list of names (a ValueError).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import BackendError, ConfigError, first_line
from datagen.pictures import count_threads, read_image
from datagen.records import Detection
from datagen.vision.finding import FindOptions, Found, finish, from_center, list_colors, make_colors
from datagen.vision.interfaces import Sight

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


ON_CPU, ON_GPU = "CPUExecutionProvider", "CUDAExecutionProvider"
GREY = 114
"""Value of padding before scaling."""


class Options(FindOptions):
    """The file, the form of its outputs, the scaling of pixels, and the input side if the file leaves it open."""

    model: str = Field(min_length=1)
    names: str | None = Field(None, min_length=1)
    form: Literal["yolo", "detr", "boxes"] = "yolo"
    side_px: int = Field(640, ge=8, le=4096)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    threads: int | None = Field(None, ge=1)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")


def build(options: Mapping[str, Any]) -> OnnxDetector:
    """Return the detector. Raises ConfigError for wrong options or names, BackendError if the file cannot be run."""
    return OnnxDetector(load_model(Document("detector: onnx", dict(options)), Options))


def describe(options: Mapping[str, Any]) -> Sight:
    """Return the names that the detector knows, without loading it. Raises ConfigError for wrong options or names."""
    checked = load_model(Document("detector: onnx", dict(options)), Options)
    return Sight(frozenset(read_names(Path(checked.model), checked.names)), list_colors(checked), most=checked.most)


class OnnxDetector:
    """A callable from PNG bytes to detections in reading order; `labels` are the names of its classes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._names = read_names(Path(options.model), options.names)
        self.labels, self.colors, self.most = frozenset(self._names), list_colors(options), options.most
        self._session = _open_session(options)
        (given,) = self._session.get_inputs()
        self._input = given.name
        sides = [side if isinstance(side, int) else options.side_px for side in given.shape[2:]]
        self._height, self._width = sides
        self._colors = make_colors(options)

    def __call__(self, image: bytes) -> list[Detection]:
        """Return the detections. Raises OSError for a damaged PNG, ValueError for outputs of another form."""
        picture = read_image(image)
        scale = min(self._width / picture.width, self._height / picture.height)
        outputs = self._session.run(None, {self._input: self._prepare(picture, scale)})
        found = [
            Found(each.label, each.confidence, (x1 / scale, y1 / scale, x2 / scale, y2 / scale))
            for each in self._read(outputs)
            for x1, y1, x2, y2 in [each.box]
        ]
        return finish(found, np.asarray(picture), self._options, self._colors)

    def _prepare(self, picture: Picture, scale: float) -> np.ndarray:
        """Return the input (1, 3, H, W) with the picture in its upper left corner."""
        from PIL import Image

        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        canvas = np.full((self._height, self._width, 3), GREY, np.float32)
        canvas[: size[1], : size[0]] = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
        scaled = (canvas / 255 - np.array(self._options.mean)) / np.array(self._options.std)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)

    def _read(self, outputs: Sequence[np.ndarray]) -> list[Found]:
        """Return the objects in the outputs, with boxes in pixels of the input."""
        if self._options.form == "yolo":
            (table,) = outputs
            boxes, confidences = table[0, :4].T, table[0, 4:].T
        elif self._options.form == "detr":
            logits, boxes = outputs[0][0], outputs[1][0] * (self._width, self._height, self._width, self._height)
            confidences = _sigmoid(logits) if logits.shape[1] == len(self._names) else _softmax(logits)[:, :-1]
        else:
            return self._read_corners(outputs)
        if confidences.shape[1] != len(self._names):
            raise ValueError(f"the detector has {confidences.shape[1]} classes, but there are {len(self._names)} names")
        best = confidences.argmax(1)
        return [
            Found(self._names[label], float(row[label]), from_center(*map(float, box)))
            for label, row, box in zip(best.tolist(), confidences, boxes, strict=True)
        ]

    def _read_corners(self, outputs: Sequence[np.ndarray]) -> list[Found]:
        boxes, confidences, labels = outputs[0].reshape(-1, 4), outputs[1].reshape(-1), outputs[2].reshape(-1)
        if wrong := sorted({int(label) for label in labels} - set(range(len(self._names)))):
            raise ValueError(f"the detector gave classes without a name: {wrong}")
        return [
            Found(self._names[int(label)], float(confidence), (float(x1), float(y1), float(x2), float(y2)))
            for (x1, y1, x2, y2), confidence, label in zip(boxes, confidences, labels, strict=True)
        ]


def read_names(model: Path, names: str | None) -> list[str]:
    """Return a detector's class names in order, from a file or the one beside the model. Raises ConfigError."""
    import yaml

    beside = [Path(names)] if names else [model.with_suffix(ending) for ending in (".yaml", ".yml", ".json")]
    path = next((path for path in beside if path.is_file()), None)
    if path is None:
        raise ConfigError("no file of class names", where=str(beside[0]), hint="a YAML list of names, in their order")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path)) from error
    data = data.get("names", data) if isinstance(data, dict) else data
    # JSON keys are strings, and a mapping need not be in order: "0", "1", … become a list.
    if isinstance(data, dict) and sorted(map(str, data)) == sorted(map(str, range(len(data)))):
        numbered = {int(number): name for number, name in data.items()}
        data = [numbered[k] for k in range(len(numbered))]
    if not isinstance(data, list) or not data or not all(isinstance(name, str) and name for name in data):
        raise ConfigError("is not a list of names, nor a mapping with names numbered from 0", where=str(path))
    return data


def _open_session(options: Options) -> Any:
    """Return the session on its device. Raises BackendError for a file that cannot be run, or a GPU it cannot use."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads or count_threads()
    settings.log_severity_level = 3
    providers: list[Any] = [ON_CPU]
    if options.device != "cpu" and ON_GPU in onnxruntime.get_available_providers():
        if hasattr(onnxruntime, "preload_dlls"):  # from 1.21 on; it finds the libraries that came with torch
            onnxruntime.preload_dlls()
        providers.insert(0, (ON_GPU, {"device_id": int(options.device.partition(":")[2] or 0)}))
    try:
        session = onnxruntime.InferenceSession(options.model, settings, providers=providers)
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile, ValueError, RuntimeError) as error:
        raise BackendError(f"the ONNX file cannot be run: {first_line(error)}", where=options.model) from error
    if options.device.startswith("cuda") and ON_GPU not in session.get_providers():
        raise BackendError(
            f"onnxruntime cannot use the device {options.device!r}",
            where=options.model,
            hint="device: auto; a GPU needs the package onnxruntime-gpu in place of onnxruntime",
        )
    return session


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    values: np.ndarray = expit(logits)
    return values


def _softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    values: np.ndarray = softmax(logits, axis=1)
    return values
