"""Pictures through whole runs by the public commands: stored, scored, exported and sent as a person sees them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from datagen.backends.gallery import read_gallery
from datagen.cli import app
from datagen.errors import BackendError, ConfigError, DatagenError, RunError
from datagen.export.examples import read_rows
from datagen.picture_files import find_kind
from datagen.pictures import hash_image
from datagen.pipeline import find_sample, make_again, open_run
from datagen.pipeline.marks import read_canaries
from datagen.records import Sample, Segment, seed_of
from datagen.store import MADE_BY, RunFolder
from tests.helpers.faulty_server import FaultyServer, chat_answer
from tests.helpers.picture_kinds import AS_SENT, BROKEN, HOME, KINDS, RGB, chunk, is_seen, pixels_of, png_of_values
from tests.helpers.runs import SHARDS, build_here, hash_files, run_cli, small_recipe, small_values

GIVEN = {**{name: data for name, (data, _, _) in KINDS.items()}, **BROKEN}


@pytest.fixture(autouse=True)
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def call(*words: str | Path) -> None:
    """Run a command in this process; its errors are raised."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def build(folder: Path, **changes: Any) -> Path:
    """Write a recipe and build it by the command."""
    values = small_values(mode="direct", rewards=["tests.helpers.looking"], **changes)
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    call("build", recipe, "--run", folder / "run", "--workers", "0")
    return folder / "run"


def check_run(run: Path, given: dict[str, str]) -> None:
    """Hold what was stored, scored and exported of each sample, by its id, against the kind that was given."""
    import datasets

    folder, stored, said, failed = RunFolder(run), {}, {}, {}
    for shard in folder.list_shards("samples"):
        stored |= {sample.id: sample for sample in folder.read_samples(shard)}
        said |= {score.sample_id: score.evidence for score in folder.read_scores(shard)}
        failed |= {f"{fault.prompt_id}-{fault.candidate:02d}": fault.error for fault in folder.read_failures(shard)}
    assert {given[name] for name in stored} == {kind for kind in given.values() if kind in KINDS}
    assert {given[name] for name in failed} == {kind for kind in given.values() if kind not in KINDS}
    rows = [row for split in datasets.load_dataset(str(run / "dataset")).values() for row in split]
    assert {row["id"] for row in rows} == stored.keys()
    for row in rows:
        kind, (image,), (digest,) = given[row["id"]], row["images"], row["image_sha256"]
        _, seen, off = KINDS[kind]
        assert is_seen(np.asarray(image), seen, off), kind
        assert said[row["id"]] == {"size": [*image.size], "pixels": hashlib.sha256(image.tobytes()).hexdigest()}
        assert digest == hash_image(stored[row["id"]].image)
        if kind in AS_SENT:
            assert stored[row["id"]].image == KINDS[kind][0], "as it was sent"
        assert stored[row["id"]].settings.get("image_format", "png") == find_kind(stored[row["id"]].image)
    for path in [*(run / "dataset").rglob("*"), *(run / "samples").iterdir(), run / "report.html"]:
        assert path.is_dir() or b"/home/somebody" not in path.read_bytes(), path


@pytest.mark.parametrize("api", ["chat", "images"])
def test_a_server_that_answers_pictures_of_every_kind(api: str, tmp_path: Path) -> None:
    asked: dict[int, str] = {}

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        kind = asked.setdefault(body["seed"], [*GIVEN][len(asked) % len(GIVEN)])
        picture = base64.b64encode(GIVEN[kind]).decode()
        if api == "images":
            return {"created": 0, "data": [{"b64_json": picture}]}
        return chat_answer([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}])

    with FaultyServer(answer=answer) as server:
        options = {"model": "tiny", "base_url": server.url, "api": api, "retries": 0, "concurrency": 1}
        backend = {"name": "openai", **options, "lexicon": "pictograms"}
        run = build(tmp_path, prompts=len(GIVEN), candidates=1, shard_prompts=20, backend=backend)
    folder = RunFolder(run)
    prompts = [prompt for shard in folder.list_shards("prompts") for prompt in folder.read_prompts(shard)]
    seeds = {f"{prompt.id}-00": seed_of(open_run(str(run)).recipe.seed, prompt.id, 0) for prompt in prompts}
    given = {name: asked[seed % 2**31] for name, seed in seeds.items()}
    assert set(given.values()) == GIVEN.keys()
    check_run(run, given)


def test_a_recipe_says_in_which_format_pictures_are_stored(raw: Path, tmp_path: Path) -> None:
    backend = {"name": "tests.helpers.raw_pictures", "folder": str(raw)}
    for images, kind in (({"format": "webp"}, "webp"), ({"format": "png"}, "png")):
        home = tmp_path / kind
        home.mkdir()
        run = build(home, prompts=len(GIVEN), candidates=1, shard_prompts=100, backend=backend, images=images)
        samples = RunFolder(run).read_samples(0)
        assert {find_kind(sample.image or b"") for sample in samples} == {kind}
        for sample in samples:
            _, seen, off = KINDS[sample.settings["file"]]
            assert is_seen(pixels_of(sample.image or b""), seen, off)
        with pytest.raises(RunError, match=r"images\.format"):
            call("build", home / "recipe.yaml", "--run", run, "--set", "images.format=keep", "--workers", "0")
        for word in ("imagefolder", "webdataset"):
            call("export", run, "--view", "pieces", "--format", word)
    with pytest.raises(ConfigError, match="`quality` is that of `format: webp`"):
        build(tmp_path, images={"format": "keep", "quality": 90})


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of pictures of every kind, one that is not there among them, for a backend that hands them on."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for kind, data in GIVEN.items():
        (folder / kind).write_bytes(data)
    (folder / "none").touch()
    return folder


def test_a_backend_of_the_users_that_hands_on_whatever_it_has(raw: Path, tmp_path: Path) -> None:
    backend = {"name": "tests.helpers.raw_pictures", "folder": str(raw)}
    run = build(tmp_path, prompts=len(GIVEN) + 1, candidates=1, shard_prompts=100, backend=backend)
    folder = RunFolder(run)
    given = {sample.id: sample.settings["file"] for sample in folder.read_samples(0)}
    given |= {f"{fault.prompt_id}-00": fault.detail for fault in folder.read_failures(0)}
    (nothing,) = [fault for fault in folder.read_failures(0) if fault.detail == "none"]
    assert "segments[1].image None" in nothing.error
    check_run(run, given)
    opened, same = open_run(str(run)), []
    for sample in folder.read_samples(0)[:3]:
        opened.backend.given = {sample.id: sample.settings["file"]}  # type: ignore[attr-defined]
        same.append(make_again(opened, find_sample(opened, sample.id)))
    assert same == [[], [], []], "what is made again comes in by the same door"


def test_a_gallery_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    kinds = ["a turned JPEG", "a clear ground", "16 bits of grey", "a PNG of orientation 6", "a workflow beside it"]
    for k, kind in enumerate(kinds):
        (folder / f"{k}").write_bytes(KINDS[kind][0])
    lines = [json.dumps({"file_name": f"{k}", "text": f"caption {k}"}) for k in range(len(kinds))]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    backend = {"name": "gallery", "images": str(folder), "retrieved": 2, "model": {"name": "embedded", "threads": 1}}
    run = build(tmp_path, prompts=6, candidates=2, shard_prompts=6, backend=backend)
    samples = RunFolder(run).read_samples(0)
    assert len(samples) == 12
    check_run(run, {sample.id: kinds[int(sample.settings["picture"])] for sample in samples})
    (folder / "3").write_bytes(BROKEN["garbled data"])
    with pytest.raises(BackendError, match=r"the gallery cannot be read: 3: .*check sum"):
        read_gallery(folder, 10)


def test_canaries_are_seen_as_samples_are(tmp_path: Path) -> None:
    line = {"prompt": "a star", "claims": [{"kind": "count", "subject": "star", "value": 1, "holds": True}]}
    for kind in ("a turned JPEG", "a clear ground", "as it should be"):
        data, seen, off = KINDS[kind]
        (tmp_path / "canary").write_bytes(data)
        (tmp_path / "marks.jsonl").write_text(json.dumps({"image": "canary", **line}), encoding="utf-8")
        (canary,) = read_canaries(tmp_path / "marks.jsonl")
        assert is_seen(pixels_of(canary.image), seen, off)
    (tmp_path / "canary").write_bytes(BROKEN["cut in its data"])
    with pytest.raises(ConfigError, match="'canary': an image is cut off"):
        read_canaries(tmp_path / "marks.jsonl")


# ── Runs of an older datagen ───────────────────────────────────────────────────────────────────────────────────────


def store_as_before(run: Path, shard: int, change: Any) -> None:
    """Write a shard of samples as an older datagen did: no check sums, no word on its pictures, which `change` made."""
    folder, path = RunFolder(run), run / f"samples/{shard:05d}.parquet"
    made_by = {key: value for key, value in pq.read_metadata(path).metadata.items() if key == MADE_BY.encode()}
    samples = folder.read_samples(shard)
    folder.write_samples(shard, [change(k, sample) for k, sample in enumerate(samples)])
    pq.write_table(pq.read_table(path).replace_schema_metadata(made_by), path, compression="zstd")


def with_image(sample: Sample, image: bytes) -> Sample:
    segments = (*sample.segments[:-1], Segment("image", "image", image=image))
    return replace(sample, segments=segments)


def test_metadata_of_an_old_run_is_left_out(tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)
    before = RunFolder(run).read_samples(1)
    store_as_before(run, 1, lambda k, each: with_image(each, each.image[:33] + chunk(b"tEXt", HOME) + each.image[33:]))
    assert b"/home/somebody" in (run / "samples/00001.parquet").read_bytes() or before
    assert RunFolder(run).read_samples(1) == before
    call("export", run)
    assert not any(b"/home/somebody" in path.read_bytes() for path in (run / "dataset/data").iterdir())


@pytest.mark.parametrize(
    "kind", ["a PNG of orientation 6", "16 bits of RGB", "RGB with a clear colour", "garbled data"]
)
def test_other_pictures_of_an_old_run_are_refused_and_made_again(kind: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)
    whole = hash_files(run, *SHARDS)
    store_as_before(run, 1, lambda k, each: with_image(each, GIVEN[kind]) if k == 2 else each)
    for words in (("export", run), ("score", run, "--again", "--workers", "0")):
        with pytest.raises(RunError, match=r"was stored by an older datagen: an? (image|damaged picture)") as caught:
            call(*words)
        assert caught.value.where == str(run / "samples/00001.parquet")
    mend(caught.value)
    call("export", run)
    assert hash_files(run, *SHARDS) == whole


# ── Rot ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rot(path: Path, near: bytes) -> None:
    """Change 16 bytes behind a place in a file."""
    content = bytearray(path.read_bytes())
    place = content.index(near) + len(near)
    content[place : place + 16] = bytes(byte ^ 85 for byte in content[place : place + 16])
    path.write_bytes(content)


def mend(error: DatagenError) -> None:
    """Do what the hint of an error says."""
    assert error.hint.startswith("delete that file, and only that shard is made again: ")
    Path(error.where).unlink()
    for words in error.hint.partition(": ")[2].split(" && "):
        program, *rest = words.split()
        assert program == "datagen"
        call(*rest, *(["--workers", "0"]))


@pytest.fixture
def built(tmp_path: Path) -> Path:
    build_here(small_recipe(), tmp_path / "run")
    return tmp_path / "run"


def test_16_bytes_that_rot_in_a_shard_are_refused_and_mended(built: Path, tmp_path: Path) -> None:
    before, there = hash_files(built, *SHARDS, "dataset"), f"file://{tmp_path}/there"
    rotten = built / "samples/00002.parquet"
    pictures = RunFolder(built).read_samples(2)[0].image or b""
    rot(rotten, pictures[60:90])
    assert len(RunFolder(built).find_damage("samples", [2])) == 0, "its ends are whole"
    shown = run_cli("export", built)
    assert shown.returncode == 1
    assert "samples/00002.parquet" in re.sub(r"\s", "", shown.stderr + shown.stdout)
    for words in (("export", built), ("push", built, there), ("report", built), ("score", built, "--again")):
        with pytest.raises(RunError, match=r"damaged: .*(CRC|checksum)") as caught:
            call(*words, *(["--workers", "0"] if words[0] == "score" else []))
        assert caught.value.where == str(rotten)
    assert not (tmp_path / "there").exists()
    mend(caught.value)
    call("export", built)
    assert hash_files(built, *SHARDS, "dataset") == before
    call("push", built, there)


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_rot_anywhere_in_a_shard_is_named_or_changes_nothing(place: float, built: Path) -> None:
    folder, path = RunFolder(built), built / "samples/00000.parquet"
    samples, whole = folder.read_samples(0), path.read_bytes()
    begin = int(place * (len(whole) - 16))
    path.write_bytes(whole[:begin] + bytes(byte ^ 170 for byte in whole[begin : begin + 16]) + whole[begin + 16 :])
    try:
        read = folder.read_samples(0)
    except RunError as error:
        read, named = samples, error.where
    else:
        named = str(path)
    assert (read, named) == (samples, str(path))


def test_rot_in_a_dataset_is_not_sent_and_not_exported(built: Path, tmp_path: Path) -> None:
    call("export", built, "--view", "pieces", "--format", "jsonl")
    call("export", built, "--view", "trajectories", "--format", "datasets")
    there = f"file://{tmp_path}/there"
    (shard,) = (built / "dataset/data").glob("train-*.parquet")
    image = pq.read_table(shard)["images"][0].as_py()[0]["bytes"]
    own = next((built / "exports/pieces-jsonl/images").rglob("*.png"))
    (table,) = (built / "exports/trajectories-datasets").rglob("train-*.parquet")
    shown = sorted((built / "dataset/pictures").iterdir())[0]
    views = ("--view", "pieces-jsonl", "--view", "trajectories-datasets")
    for path in (shard, own, table, shown):
        whole = path.read_bytes()
        rot(path, image[60:90] if path in (shard, table) else whole[50:60])
        with pytest.raises(RunError, match="is damaged") as caught:
            call("push", built, there, *views)
        assert caught.value.where == str(path)
        assert "datagen export" in caught.value.hint
        if path == shard:
            with pytest.raises(RunError, match="is damaged") as caught:
                list(read_rows(built / "dataset", "train"))
            assert caught.value.where == str(path)
        path.write_bytes(whole)
    assert not (tmp_path / "there").exists()
    call("push", built, there, *views)


def test_a_picture_that_is_not_the_one_of_its_hash_is_not_sent(built: Path, tmp_path: Path) -> None:
    (shard,) = (built / "dataset/data").glob("train-*.parquet")
    table = pq.read_table(shard)
    place = table.schema.get_field_index("images")
    lists = table["images"].to_pylist()
    lists[1][0]["bytes"] = png_of_values(RGB, 2)
    changed = table.set_column(place, table.schema.field(place), pa.array(lists, table.schema.field(place).type))
    pq.write_table(changed, shard, write_page_checksum=True)
    with pytest.raises(RunError, match=f"a picture of sample {table['id'][1]} is not the one that was exported"):
        call("push", built, f"file://{tmp_path}/there")
    pq.write_table(table.drop_columns(["image_sha256"]), shard)
    with pytest.raises(RunError, match="has no hashes of its pictures: an older datagen exported it") as caught:
        call("push", built, f"file://{tmp_path}/there")
    assert "datagen export" in caught.value.hint


def test_load_dataset_can_verify_the_pages(built: Path) -> None:
    import datasets
    from pyarrow.dataset import ParquetFragmentScanOptions

    checked = {"fragment_scan_options": ParquetFragmentScanOptions(page_checksum_verification=True)}
    (shard,) = (built / "dataset/data").glob("train-*.parquet")
    assert len(list(datasets.load_dataset(str(built / "dataset"), split="train", streaming=True, **checked)))
    rot(shard, pq.read_table(shard)["images"][0].as_py()[0]["bytes"][60:90])
    with pytest.raises(Exception, match=r"CRC|checksum"):
        list(datasets.load_dataset(str(built / "dataset"), split="train", streaming=True, **checked))
