from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_cases import draw, draw_noise, draw_png, export
from format_cases import ask, make_example, make_preference, say, show, write

from datagen.errors import RunError
from datagen.export import ExportItem, ViewPlan, export_view
from datagen.picture_files import read_size
from datagen.pictures import check_image
from datagen.records import Segment

PLAN = ViewPlan("whole", "trajectories", "jsonl", {}, {})


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(width: int, height: int, pixels: bytes, extra: bytes = b"") -> bytes:
    """A PNG of grey pixels whose header may lie about its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


KINDS = draw("red", "JPEG"), draw("red", "WEBP"), draw("red", "WEBP", lossless=True)
ABSURD = {
    "a bomb by its size": (make_png(30_000, 30_000, b"\0" * 30_001 * 3000), "30000 x 30000 pixels"),
    "no height": (make_png(16, 0, b"\0"), "16 x 0 pixels"),
    "too little data": (make_png(4000, 4000, b"\0" * 100), "cannot fill"),
    "swelling notes": (make_png(1, 1, b"\0\0", chunk(b"zTXt", b"a\0\0" + b"x" * 100_000)), "without metadata"),
    "cut off": (draw_png("red")[:-20], "cut off"),
    "something behind": (draw_png("red") + b"<script>", "without metadata"),
    "grey": (make_png(1, 1, b"\0\0"), "not RGB of 8 bits"),
    "a cut JPEG": (draw("red", "JPEG")[:-2], "without metadata"),
    "a JPEG with a comment": (draw("red", "JPEG", comment="/home/somebody"), "without metadata"),
    "a cut WebP": (draw("red", "WEBP")[:-2], "without metadata"),
    "a bitmap": (draw("red", "BMP"), "without metadata"),
    "nothing": (b"", "without metadata"),
}


@pytest.fixture
def dataset(items: list[ExportItem], tmp_path: Path) -> Path:
    return export(items, tmp_path / "dataset").path


def change_column(dataset: Path, name: str, values: Any) -> None:
    """Replace a column of the training split, or take it out."""
    (path,) = (dataset / "data").glob("train-*.parquet")
    table = pq.read_table(path)
    place = table.schema.get_field_index(name)
    table = table.remove_column(place)
    if values is not None:
        table = table.add_column(place, name, pa.array([values] * len(table)))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    "image",
    [
        draw_png("red"),
        draw_png("blue", 1),
        draw_noise(64),
        draw_png("white", 4000),
        draw("red", "JPEG"),
        draw("red", "WEBP"),
    ],
)
def test_real_images_pass(image: bytes) -> None:
    check_image(image, "here")
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(image)) as picture:
        assert read_size(image) == picture.size


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_images_are_named(name: str, tmp_path: Path, items: list[ExportItem]) -> None:
    image, reason = ABSURD[name]
    example = make_example("absurd", ask("a star"), show(image, 1.0))
    with pytest.raises(RunError, match=f"example absurd: .*{reason}"):
        write("jsonl", [example], tmp_path)
    rejected = replace(make_preference(), rejected=(show(image, 1.0),))
    with pytest.raises(RunError, match=reason):
        write("datasets", [rejected], tmp_path)
    item = items[0]
    drawn = replace(item.sample, segments=(Segment("image", "image", image=image),))
    with pytest.raises(RunError, match=f"sample {item.sample.id}: .*{reason}"):
        export([replace(item, sample=drawn)], tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -0.5])
def test_losses_that_no_trainer_can_use_are_named(loss: float, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="example bad: the loss of its part 'think' is"):
        write("jsonl", [make_example("bad", ask("a star"), say("plan", loss))], tmp_path)
    with pytest.raises(RunError, match="the switch of its part"):
        write("jsonl", [make_example("bad", ask("a star"), say("plan", 1.0, switch=loss))], tmp_path)


@pytest.mark.parametrize("name", ["text_weight", "image_weight"])
@pytest.mark.parametrize("weight", [float("nan"), float("-inf"), -1.0])
def test_weights_of_rows_are_checked_before_a_view_sees_them(name: str, weight: float, dataset: Path) -> None:
    change_column(dataset, name, weight)
    with pytest.raises(RunError, match=f"row .*: {name} is {weight}"):
        export_view(dataset, dataset.with_name("out"), PLAN)
    assert not dataset.with_name("out").exists()


@pytest.mark.parametrize("name", ["text_weight", "image_weight", "kept", "left_out"])
def test_rows_without_weights_say_so(name: str, dataset: Path) -> None:
    change_column(dataset, name, None)
    with pytest.raises(RunError, match=f"its rows have no '{name}'"):
        export_view(dataset, dataset.with_name("out"), PLAN)


def test_weights_that_are_all_zero_say_so(items: list[ExportItem], tmp_path: Path) -> None:
    blank = [replace(item, weight=replace(item.weight, text_weight=0.0, image_weight=0.0)) for item in items]
    dataset = export(blank, tmp_path / "dataset").path
    with pytest.raises(RunError, match="rows are kept, but all their weights are 0"):
        export_view(dataset, tmp_path / "out", PLAN)
    assert not (tmp_path / "out").exists()


def test_facts_that_are_no_json_name_their_example(tmp_path: Path) -> None:
    example = make_example("odd", ask("a star"), show(draw_png("red"), 1.0), reward=float("nan"))
    for word in ("jsonl", "webdataset", "ms_swift", "datasets", "chat", "imagefolder", "verl"):
        with pytest.raises(RunError, match="example odd: not plain JSON"):
            write(word, [example], tmp_path / word)
