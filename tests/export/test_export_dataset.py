from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from export_cases import COLORS, POLICY, SCORERS, draw_noise, draw_png, export, make_items, make_prompt
from PIL import Image

from datagen.errors import RunError
from datagen.export import ExportItem, split_of
from datagen.export.columns import pack_json
from datagen.records import Segment
from datagen.weighting import receipt_of


def load(folder: Path, **options: Any) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), **options)


def all_rows(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for split in load(folder, **options).values() for row in split}


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("options", [{}, {"streaming": True}], ids=["map", "streaming"])
def test_everything_comes_back_through_load_dataset(
    items: list[ExportItem], tmp_path: Path, options: dict[str, Any]
) -> None:
    result = export(iter(items), tmp_path / "dataset")
    rows = all_rows(tmp_path / "dataset", **options)
    assert sum(result.rows.values()) == len(rows) == len(items)
    for item in items:
        row = rows[item.sample.id]
        prompt, sample = item.prompt, item.sample
        assert (row["prompt"], row["prompt_id"]) == (prompt.text, prompt.id)
        assert (row["weakness"], row["skill"], row["level"]) == (prompt.weakness, prompt.skill, prompt.level)
        assert row["claims"] == [{"kind": "count", "subject": "star", "name": "", "value": str(prompt.claims[0].value)}]
        assert row["segments"] == [
            {"kind": "text", "role": "think", "text": sample.segments[0].text, "image": None},
            {"kind": "image", "role": "image", "text": None, "image": 0},
        ]
        (image,) = row["images"]
        assert isinstance(image, Image.Image)
        assert image.getpixel((3, 3)) == Image.new("RGB", (1, 1), COLORS[sample.candidate]).getpixel((0, 0))
        assert (row["reward_counting"], row["reason_counting"]) == (item.scores[0].value, item.scores[0].reason)
        assert (row["reward_plan"], row["reason_plan"]) == (item.scores[1].value, item.scores[1].reason)
        assert (row["reward_my_pkg_sharpness"], row["reason_my_pkg_sharpness"]) == (None, None)
        assert (row["text_reward"], row["image_reward"]) == (item.rewards.text, item.rewards.image)
        assert (row["text_weight"], row["image_weight"]) == (item.weight.text_weight, item.weight.image_weight)
        assert (row["kept"], row["passed"], row["group_id"]) == (item.weight.kept, item.passed, prompt.id)
        assert (row["candidate"], row["seed"], row["mode"]) == (sample.candidate, sample.seed, "think")
        assert (row["switch"], row["finish"], row["engine"]) == ("autonomous", "stop", "embedded 0.1")
        assert json.loads(row["settings"]) == sample.settings
        assert row["receipt"] == pack_json(receipt_of(item.rewards, POLICY, item.weight.reason))


def test_image_bytes_are_stored_as_the_model_made_them(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset")
    stored = {
        row["id"]: row["images"][0]["bytes"]
        for path in (tmp_path / "dataset" / "data").iterdir()
        for row in pq.read_table(path, columns=["id", "images"]).to_pylist()
    }
    assert stored == {item.sample.id: item.sample.image for item in items}


def test_a_sample_without_text_or_without_an_image_is_a_row_too(tmp_path: Path) -> None:
    prompt = make_prompt(1)
    first, second, *_ = make_items([prompt], mode="direct")
    blank = replace(first.sample, segments=(), finish="length", switch="none")
    export([replace(first, sample=blank), second], tmp_path / "dataset", validation_share=0.0)
    rows = all_rows(tmp_path / "dataset")
    assert (rows[blank.id]["segments"], rows[blank.id]["images"]) == ([], [])
    assert [segment["kind"] for segment in rows[second.sample.id]["segments"]] == ["image"]


def test_segments_point_at_their_images_in_order(tmp_path: Path) -> None:
    (item,) = make_items([make_prompt(1)], candidates=1)
    parts = [Segment("text", "think", text="a"), Segment("image", "image", image=draw_png("red"))]
    parts += [Segment("text", "reflect", text="b"), Segment("image", "refined image", image=draw_png("blue"))]
    export([replace(item, sample=replace(item.sample, segments=tuple(parts)))], tmp_path / "d", validation_share=0.0)
    (row,) = all_rows(tmp_path / "d").values()
    assert [segment["image"] for segment in row["segments"]] == [None, 0, None, 1]
    assert [image.getpixel((0, 0)) for image in row["images"]] == [(255, 0, 0), (0, 0, 255)]


def test_the_same_samples_give_the_same_bytes(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "one", file_bytes=5000)
    export(iter(items), tmp_path / "two", file_bytes=5000)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    export(items[:-1], tmp_path / "less", file_bytes=5000)
    assert bytes_of(tmp_path / "one") != bytes_of(tmp_path / "less")


def test_no_prompt_is_in_both_splits(items: list[ExportItem], tmp_path: Path) -> None:
    result = export(items, tmp_path / "dataset")
    splits = load(tmp_path / "dataset")
    train, validation = (set(splits[name]["prompt_id"]) for name in ("train", "validation"))
    assert train
    assert validation
    assert not train & validation
    assert result.rows == {name: len(splits[name]) for name in ("train", "validation")}


def test_prompts_that_read_the_same_share_a_split() -> None:
    for k in range(200):
        one, two = make_prompt(k, f"{k} red Stars"), make_prompt(k, f" {k}  RED stars", weakness="spatial")
        assert one.id != two.id
        assert split_of(one, 0.5) == split_of(two, 0.5)


def test_the_validation_share_is_met_and_grows_without_moving_others() -> None:
    prompts = [make_prompt(k) for k in range(4000)]
    small, large = ({p.id for p in prompts if split_of(p, share) == "validation"} for share in (0.1, 0.3))
    assert small < large
    assert 0.08 < len(small) / 4000 < 0.12  # four standard deviations of a fair draw
    assert not [p for p in prompts if split_of(p, 0.0) == "validation"]


def test_many_files_are_numbered_and_loaded_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen.export import shards as _shards

    monkeypatch.setattr(_shards, "GROUP_ROWS", 4)
    items = make_items([make_prompt(k) for k in range(10)])
    result = export(items, tmp_path / "dataset", file_bytes=1, validation_share=0.0)
    names = sorted(path.name for path in (tmp_path / "dataset" / "data").iterdir())
    assert names == [f"train-{k:05d}-of-00010.parquet" for k in range(10)]
    assert result.files == 10
    assert list(load(tmp_path / "dataset")["train"]["id"]) == [item.sample.id for item in items]


def test_the_parquet_is_written_as_the_hub_likes_it(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset")
    path = next((tmp_path / "dataset" / "data").glob("train-*"))
    metadata = pq.ParquetFile(path).metadata
    features = json.loads(metadata.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == {"feature": {"_type": "Image"}, "_type": "List"}
    assert b"content_defined_chunking" in metadata.metadata
    columns = {metadata.row_group(0).column(k).path_in_schema: metadata.row_group(0).column(k) for k in range(10)}
    assert columns["prompt"].has_offset_index


def test_memory_holds_a_row_group_and_not_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    import pyarrow as pa

    from datagen.export import shards as _shards

    megabyte = 1024 * 1024
    monkeypatch.setattr(_shards, "GROUP_BYTES", 4 * megabyte)
    most = 0

    def stream() -> Any:
        nonlocal most
        for k in range(60):
            (item,) = make_items([make_prompt(k)], candidates=1)
            image = Segment("image", "image", image=draw_noise(600, k))
            yield replace(item, sample=replace(item.sample, segments=(image,)))
            most = max(most, tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())

    tracemalloc.start()
    before = pa.total_allocated_bytes()
    export(stream(), tmp_path / "dataset", validation_share=0.0)
    tracemalloc.stop()
    assert sum(path.stat().st_size for path in (tmp_path / "dataset" / "data").iterdir()) > 60 * megabyte
    assert most - before < 20 * megabyte


def test_an_empty_split_is_left_out_and_the_rest_loads(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset", validation_share=0.0)
    assert list(load(tmp_path / "dataset")) == ["train"]


def test_an_empty_run_says_so_and_keeps_the_old_dataset(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset")
    before = bytes_of(tmp_path)
    with pytest.raises(RunError, match="no sample to export"):
        export([], tmp_path / "dataset")
    assert bytes_of(tmp_path) == before


def test_a_new_export_replaces_the_old_one_whole(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset", file_bytes=1)
    export(items[:8], tmp_path / "dataset")
    export(items[:8], tmp_path / "fresh")
    assert bytes_of(tmp_path / "dataset") == bytes_of(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["dataset", "fresh"]


def test_a_folder_of_other_files_is_not_replaced(items: list[ExportItem], tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not a dataset"):
        export(items, tmp_path / "dataset")
    assert (tmp_path / "dataset" / "thesis.tex").read_text() == "years of work"


def test_an_error_in_the_stream_leaves_the_old_dataset_and_nothing_else(
    items: list[ExportItem], tmp_path: Path
) -> None:
    export(items, tmp_path / "dataset")
    before = bytes_of(tmp_path)

    def broken() -> Any:
        yield from items[:5]
        raise RunError("shard 3 is damaged")

    with pytest.raises(RunError, match="shard 3 is damaged"):
        export(broken(), tmp_path / "dataset")
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["weight", "reward", "score"])
def test_a_number_that_is_not_finite_is_refused(
    items: list[ExportItem], tmp_path: Path, place: str, value: float
) -> None:
    item = items[1]
    bad = {
        "weight": replace(item, weight=replace(item.weight, text_weight=value)),
        "reward": replace(item, rewards=replace(item.rewards, image=value)),
        "score": replace(item, scores=(replace(item.scores[0], value=value),)),
    }[place]
    with pytest.raises(RunError, match=f"{item.sample.id}: a reward or weight is NaN or infinite"):
        export([items[0], bad], tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_parts_of_different_samples_are_refused(items: list[ExportItem], tmp_path: Path) -> None:
    first, second = items[0], items[1]
    for bad in (
        replace(first, weight=second.weight),
        replace(first, rewards=second.rewards),
        replace(first, scores=second.scores),
        replace(first, prompt=items[-1].prompt),
    ):
        with pytest.raises(RunError, match="belong to another sample"):
            export([bad], tmp_path / "dataset")


def test_scores_of_an_unknown_scorer_are_refused(items: list[ExportItem], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="do not fit the scorers"):
        export(items, tmp_path / "dataset", scorers=SCORERS[1:])


def test_scorers_that_would_share_a_column_are_refused(items: list[ExportItem], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="share a column"):
        export(items, tmp_path / "dataset", scorers=["a.b", "a_b"])


def test_settings_that_are_not_json_are_refused(items: list[ExportItem], tmp_path: Path) -> None:
    bad = replace(items[0], sample=replace(items[0].sample, settings={"temperature": float("nan")}))
    with pytest.raises(RunError, match="not plain JSON"):
        export([bad], tmp_path / "dataset")


def test_a_path_through_a_file_is_a_clear_error(items: list[ExportItem], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written: Not a directory"):
        export(items, tmp_path / "file" / "dataset")


def test_a_disk_that_fills_up_is_a_clear_error_and_leaves_no_litter(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse the write in the middle, as a full disk does."""
    items = make_items([make_prompt(k) for k in range(60)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(RunError, match="the dataset cannot be written: File too large"):
            export(items, tmp_path / "dataset", validation_share=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


KILLED = """
import sys
sys.path.insert(0, {here!r})
from export_cases import export, make_items, make_prompt
items = make_items([make_prompt(k) for k in range(40)])
def stream():
    for k, item in enumerate(items):
        if k == {at}:
            print("now", flush=True)
            sys.stdin.read()
        yield item
export(stream(), {out!r})
"""


@pytest.mark.parametrize("at", [1, 150])
def test_a_killed_export_never_leaves_half_a_dataset(tmp_path: Path, at: int) -> None:
    out = tmp_path / "dataset"
    code = KILLED.format(here=str(Path(__file__).parent), at=at, out=str(out))
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not out.exists()
    items = make_items([make_prompt(k) for k in range(40)])
    export(items, out)
    export(items, tmp_path / "fresh")
    assert bytes_of(out) == bytes_of(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["dataset", "fresh"]


def test_a_kill_between_the_two_renames_loses_nothing(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset")
    whole = bytes_of(tmp_path / "dataset")
    os.rename(tmp_path / "dataset", tmp_path / ".dataset.old")
    with pytest.raises(RunError, match="no sample"):
        export([], tmp_path / "dataset")
    assert bytes_of(tmp_path / "dataset") == whole
    assert not (tmp_path / ".dataset.old").exists()


def test_no_clock_reaches_the_files(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "one")
    time.sleep(1.1)
    export(items, tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_png_bytes_decode_to_what_was_drawn() -> None:
    assert Image.open(io.BytesIO(draw_png("red"))).getpixel((0, 0)) == (255, 0, 0)
