"""An ONNX file that really looks: a grid of cells whose redness and blueness are its two confidences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.errors import BackendError, ConfigError
from datagen.rewards.objects import counting
from datagen.scoring.tools import make_tools
from datagen.vision.detectors import onnx
from tests.helpers.reward_cases import count, make_prompt, make_sample
from tests.helpers.seeing_cases import DAMAGED, png
from tests.helpers.tiny_onnx import save_graph

SIDE, CELL = 64, 16
COUNT = (SIDE // CELL) ** 2
NAMES = ["tomato", "sea"]


def centers(unit: float) -> np.ndarray:
    """Centres and sides of the cells, row by row, in units of `unit` pixels: (cells, 4) float32."""
    places = [(x + CELL / 2, y + CELL / 2, CELL, CELL) for y in range(0, SIDE, CELL) for x in range(0, SIDE, CELL)]
    return np.array(places, np.float32) / unit


def save_detector(folder: Path, form: str, side: Sequence[int | str] = (SIDE, SIDE), gain: float = 1.0) -> Path:
    """Write a detector: the mean over each cell of red - green, and of blue - green, is its confidence."""
    weights = np.array([[gain, -1, 0], [0, -1, 1]], np.float32).reshape(2, 3, 1, 1)
    constants: dict[str, np.ndarray] = {"w": weights, "flat": np.array([1, 2, COUNT], np.int64)}
    nodes: list[Any] = [
        ("Conv", ["image", "w"], ["tones"], {}),
        ("AveragePool", ["tones"], ["cells"], {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}),
        ("Reshape", ["cells", "flat"], ["table"], {}),
    ]
    if form == "yolo":
        constants["boxes"] = np.ascontiguousarray(centers(1).T)[None]
        nodes.append(("Concat", ["boxes", "table"], ["out"], {"axis": 1}))
        outputs = ["out"]
    elif form == "detr":
        constants |= {"raw": centers(SIDE)[None], "ten": np.array([10], np.float32), "half": np.array([5], np.float32)}
        nodes += [
            ("Transpose", ["table"], ["rows"], {"perm": [0, 2, 1]}),
            ("Mul", ["rows", "ten"], ["steep"], {}),
            ("Sub", ["steep", "half"], ["logits"], {}),
            ("Identity", ["raw"], ["boxes"], {}),
        ]
        outputs = ["logits", "boxes"]
    else:
        corners = centers(1)
        corners = np.concatenate([corners[:, :2] - CELL / 2, corners[:, :2] + CELL / 2], 1)
        constants["raw"] = corners
        nodes += [
            ("ReduceMax", ["table"], ["scores"], {"axes": [1], "keepdims": 0}),
            ("ArgMax", ["table"], ["labels"], {"axis": 1, "keepdims": 0}),
            ("Identity", ["raw"], ["boxes"], {}),
        ]
        outputs = ["boxes", "scores", "labels"]
    path = save_graph(folder / "cells.onnx", nodes, constants, [1, 3, *side], outputs)
    (folder / "cells.yaml").write_text("names: [tomato, sea]\n", encoding="utf-8")
    return path


def scene(height: int = SIDE, width: int = SIDE) -> bytes:
    """A black picture with a red cell at the upper left corner's right neighbour and a blue one at the lower right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    h, w = height // 4, width // 4
    pixels[:h, w : 2 * w] = (250, 0, 0)
    pixels[3 * h :, 3 * w :] = (0, 0, 250)
    return png(pixels)


@pytest.mark.parametrize("form", ["yolo", "detr", "boxes"])
def test_every_form_finds_what_is_there(form: str, tmp_path: Path) -> None:
    detect = onnx.build({"model": str(save_detector(tmp_path, form)), "form": form, "threads": 1})
    assert detect.labels == {"tomato", "sea"}
    for size in (SIDE, 2 * SIDE, SIDE // 2):
        tomato, sea = detect(scene(size, size))
        assert (tomato.label, tomato.color, tomato.box) == ("tomato", "red", (250, 0, 500, 250))
        assert (sea.label, sea.color, sea.box) == ("sea", "blue", (750, 750, 1000, 1000))
        assert tomato.confidence > 0.9
    assert detect(png(np.zeros((SIDE, SIDE, 3), np.uint8))) == []


def test_it_is_a_detector_for_the_scorers(tmp_path: Path) -> None:
    tools = make_tools(onnx.build({"model": str(save_detector(tmp_path, "yolo"))}), lambda image: [])
    sample = make_sample(image=scene())
    assert counting.score(make_prompt(count("tomato", 1)), sample, tools).value == 1.0
    assert counting.score(make_prompt(count("tomato", 2)), sample, tools).value == 0.0
    assert counting.score(make_prompt(count("cat", 1)), sample, tools).reason == "the detector cannot see cat"


def test_the_sides_of_a_picture_are_kept(tmp_path: Path) -> None:
    """A wide picture fills the upper half of the input; what is below it is not in the picture."""
    detect = onnx.build({"model": str(save_detector(tmp_path, "yolo"))})
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[16:, 16:32] = (250, 0, 0)
    (found,) = detect(png(pixels))
    assert found.box == (250, 500, 500, 1000)
    (tall,) = detect(png(np.ascontiguousarray(pixels.transpose(1, 0, 2))))
    assert tall.box == (500, 250, 1000, 500)


def test_small_grey_and_transparent_pictures(tmp_path: Path) -> None:
    detect = onnx.build({"model": str(save_detector(tmp_path, "yolo"))})
    assert detect(png(np.full((1, 1, 3), 9, np.uint8))) == []
    assert detect(png(np.full((8, 8), 200, np.uint8))) == []
    assert detect(png(np.zeros((8, 8, 4), np.uint8))) == []
    red = detect(png(np.array([[[255, 0, 0]]], np.uint8)))
    assert len(red) == 16
    with pytest.raises(OSError):
        detect(DAMAGED)


def test_an_open_side_is_what_the_recipe_says(tmp_path: Path) -> None:
    path = save_detector(tmp_path, "yolo", side=("h", "w"))
    (tomato, sea) = onnx.build({"model": str(path), "side_px": SIDE})(scene())
    assert (tomato.label, sea.label) == ("tomato", "sea")


def test_mean_and_spread_scale_the_pixels(tmp_path: Path) -> None:
    options = {"model": str(save_detector(tmp_path, "yolo")), "std": [2.0, 2.0, 2.0], "mean": [0.5, 0.5, 0.5]}
    plain = onnx.build({"model": options["model"]})(scene())
    scaled = onnx.build({**options, "threshold": 0.1})(scene())
    assert scaled[0].confidence == pytest.approx(plain[0].confidence / 2, abs=1e-3)


def test_a_gpu_that_onnxruntime_cannot_use_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [onnx.ON_CPU])
    path = str(save_detector(tmp_path, "yolo"))
    with pytest.raises(BackendError, match="onnxruntime cannot use the device 'cuda:1'"):
        onnx.build({"model": path, "device": "cuda:1"})
    assert onnx.build({"model": path, "device": "cpu"})(scene()) == onnx.build({"model": path})(scene())


def test_what_is_not_sure_enough_or_too_many_goes(tmp_path: Path) -> None:
    path = str(save_detector(tmp_path, "yolo"))
    faint = png(np.full((SIDE, SIDE, 3), (120, 20, 20), np.uint8))  # 0.39 in every cell
    assert len(onnx.build({"model": path})(faint)) == 16
    assert onnx.build({"model": path, "threshold": 0.4})(faint) == []
    assert len(onnx.build({"model": path, "most": 3})(faint)) == 3


def test_nan_is_no_empty_picture(tmp_path: Path) -> None:
    detect = onnx.build({"model": str(save_detector(tmp_path, "yolo", gain=float("nan")))})
    with pytest.raises(ValueError, match="not numbers"):
        detect(png(np.zeros((SIDE, SIDE, 3), np.uint8)))


def test_outputs_that_do_not_fit_the_names_are_an_error(tmp_path: Path) -> None:
    for form in ("yolo", "detr"):
        path = save_detector(tmp_path, form)
        path.with_suffix(".yaml").write_text("[a, b, c, d]", encoding="utf-8")
        with pytest.raises(ValueError, match="classes, but there are 4 names"):
            onnx.build({"model": str(path), "form": form})(scene())
    path = save_detector(tmp_path, "boxes")
    path.with_suffix(".yaml").write_text("[a]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"classes without a name: \[1\]"):
        onnx.build({"model": str(path), "form": "boxes"})(scene())


def test_a_column_for_nothing_is_a_softmax(tmp_path: Path) -> None:
    """With one name less than columns, the last column is what is left over."""
    path = save_detector(tmp_path, "detr")
    path.with_suffix(".yaml").write_text("[tomato]", encoding="utf-8")
    found = onnx.build({"model": str(path), "form": "detr", "threshold": 0.9})(scene())
    assert [thing.label for thing in found] == ["tomato"]
    logits = np.array([10 * 250 / 255 - 5, -5.0])
    assert found[0].confidence == pytest.approx(float(np.exp(logits[0]) / np.exp(logits).sum()), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("n.yaml", "[a, b]", ["a", "b"]),
        ("n.yaml", "names:\n  1: b\n  0: a\n", ["a", "b"]),
        ("n.json", json.dumps({"0": "a", "1": "b"}), ["a", "b"]),
        ("n.yml", "- a\n", ["a"]),
    ],
)
def test_names_in_every_form(name: str, text: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert onnx.read_names(tmp_path / "n.onnx", None) == names
    assert onnx.read_names(tmp_path / "other.onnx", str(tmp_path / name)) == names


@pytest.mark.parametrize("text", ["", "[]", "{1: a}", "[1, 2]", "a", "[a, ", "{0: a, 2: b}"])
def test_wrong_names_are_a_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        onnx.read_names(tmp_path / "n.onnx", None)
    assert "n.yaml" in str(caught.value)


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file of class names"):
        onnx.build({"model": str(tmp_path / "m.onnx")})
    (tmp_path / "m.yaml").write_text("[a]", encoding="utf-8")
    with pytest.raises(BackendError, match="cannot be run"):
        onnx.build({"model": str(tmp_path / "m.onnx")})
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(BackendError, match="cannot be run"):
        onnx.build({"model": str(tmp_path / "m.onnx")})
    for wrong in ({"form": "ssd"}, {"colors": "clip"}, {"std": [0, 1, 1]}, {"threshold": "high"}):
        with pytest.raises(ConfigError):
            onnx.build({"model": str(tmp_path / "m.onnx"), **wrong})
