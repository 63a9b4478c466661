"""Runs whose folder is in a bucket: a real S3 server and an emulator of Google's."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from push_cases import Folder, call, read_local

from datagen.config import Recipe
from datagen.errors import Paused, RunError
from datagen.pipeline import Account, Budget, Silent, create_run, find_jobs, open_build, plan_stage, reusing, run_jobs
from datagen.pipeline import run as run_module
from datagen.pipeline.run import find_run
from datagen.push import prepare_push
from datagen.runners.local import make_runner
from datagen.store import RunFolder
from tests.helpers.dying import Killed, grow_dying
from tests.helpers.runs import SHARDS, Listener, build_here, small_recipe
from tests.helpers.s3_server import BUCKET, S3Server
from tests.helpers.slow_store import SlowStore


def build(
    recipe: Recipe, address: str, reuse: str | None = None, watch: Silent | None = None, samples: int | None = None
) -> None:
    """As `datagen build`, in this process and without dataset and report; what is paused ends too."""
    watch = watch or Silent()
    run = open_build(recipe, address, "datagen build", watch, reuse=reuse)
    plan_stage(run, watch)
    with suppress(Paused):
        run_jobs(run, "both", make_runner(0), watch, Account(run, Budget(samples)))


IN_BUCKETS = pytest.mark.parametrize("folder", ["s3", "gs"], indirect=True)


@IN_BUCKETS
def test_a_run_in_a_bucket_is_the_local_one(folder: Folder, tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    run, _ = build_here(small_recipe(), folder.address)
    files = folder.files()
    local = {
        f"{stage}/{path.name}": path.read_bytes() for stage in SHARDS for path in (tmp_path / "run" / stage).iterdir()
    }
    assert {name: files[name] for name in local} == local
    assert {"run.yaml", "report.html", "dataset/README.md"} <= set(files)
    run.folder.log("first of two")
    run.folder.log("second of two")
    assert folder.files()["log.txt"].startswith(files["log.txt"])
    assert b"first of two\n" in folder.files()["log.txt"].splitlines(keepends=True)[-2]


@IN_BUCKETS
def test_a_run_in_a_bucket_goes_on_where_shards_are_missing(folder: Folder) -> None:
    run, _ = build_here(small_recipe(), folder.address)
    before = folder.files()
    run.folder.remove_shard("samples", 1)
    run.folder.remove_shard("scores", 1)
    assert run.folder.list_shards("samples") == [0, 2]
    build_here(small_recipe(), folder.address)
    after = folder.files()
    for name in ("samples/00001.parquet", "scores/00001.jsonl"):
        assert after[name] == before[name]
    assert "20 of 20" in call("status", folder.address)


def test_a_run_in_a_bucket_is_taken_along_and_takes_along(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, before = small_recipe(prompts=14), f"s3://{BUCKET}/before"
    build(more, str(tmp_path / "fresh"))
    build(small_recipe(), before, samples=9)
    look, take, moments = RunFolder.list_parts, reusing._Taking.take, iter([lambda: build(small_recipe(), before)])

    def look_and_go_on(store: RunFolder, shard: int) -> list[str]:
        found = look(store, shard)
        if store.address == before:
            next(moments, lambda: None)()
        return found

    def take_one(taking: reusing._Taking, shard: int) -> None:
        if shard:
            raise Killed
        take(taking, shard)

    monkeypatch.setattr(RunFolder, "list_parts", look_and_go_on)
    with monkeypatch.context() as patch:
        patch.setattr(reusing._Taking, "take", take_one)
        with pytest.raises(Killed):
            build(more, f"{before}-more", before)
    listener, here = Listener(), str(tmp_path / "here")
    for run, other in ((f"{before}-more", before), (here, f"{before}-more"), (f"{before}-again", here)):
        build(more, run, other, listener)
        for stage in SHARDS:
            for path in (tmp_path / "fresh" / stage).iterdir():
                assert RunFolder(run).read_head(f"{stage}/{path.name}", -1) == path.read_bytes()
    told = [line.split(" from ")[0] for line in listener.said if " samples from " in line]
    assert told == ["20 of 28 samples", "28 of 28 samples", "28 of 28 samples"]


@IN_BUCKETS
def test_a_run_in_a_bucket_grows_however_often_it_dies(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.store.MOST_COPIED_BYTES", 9_000)  # larger ones pass this machine
    more = small_recipe(prompts=6, shard_prompts=4)
    build(small_recipe(prompts=4, shard_prompts=2), folder.address)
    _, told = grow_dying(more, folder.address)
    assert list(dict.fromkeys(told)) == ["4 prompts", "is being grown", "6 prompts"]
    build(more, folder.address)
    build(more, str(tmp_path / "fresh"))
    made = {f"{s}/{path.name}": path.read_bytes() for s in SHARDS for path in (tmp_path / "fresh" / s).iterdir()}
    assert {name: c for name, c in folder.files().items() if name.startswith((*SHARDS, "."))} == made


@IN_BUCKETS
def test_a_run_in_a_bucket_is_pushed_as_a_local_one(folder: Folder, tmp_path: Path) -> None:
    recipe = small_recipe(exports={"rows": {"view": "trajectories", "format": "datasets"}})
    build_here(recipe, tmp_path / "run")
    build_here(recipe, folder.address)
    there = f"file://{tmp_path}/there"
    assert "files verified" in call("push", folder.address, there, "--view", "rows")
    pushed = read_local(tmp_path / "there")
    shutil.rmtree(tmp_path / "there")
    call("push", tmp_path / "run", there, "--view", "rows")
    assert read_local(tmp_path / "there") == pushed
    assert there in json.loads(folder.files()["push.json"])
    assert "0 files, 0 B" in call("push", folder.address, there, "--view", "rows", "--dry-run")


@IN_BUCKETS
def test_what_a_run_in_a_bucket_lacks_is_named_there(folder: Folder, tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), folder.address)
    run.folder.remove_tree("dataset")
    with pytest.raises(RunError, match=rf"^{folder.address}/dataset: is not there yet"):
        prepare_push(run, f"file://{tmp_path}/away", Silent(), room=tmp_path / "room")


@IN_BUCKETS
def test_parts_and_folders_in_a_bucket_are_found(folder: Folder, tmp_path: Path) -> None:
    store = RunFolder(folder.address)
    (tmp_path / "made" / "data").mkdir(parents=True)
    for name in ("first", "second"):
        (tmp_path / "made" / "data" / "train").write_text(name)
        store.put_tree(tmp_path / "made", "dataset")
        assert folder.files() == {"dataset/data/train": name.encode()}
    folder.write("samples/00003.parts/000001.arrow", b"x")
    folder.write("samples/00001.parquet", b"x")
    folder.write("exports/rows/data/train.parquet", b"x")
    folder.write("exports/more/README.md", b"x")
    assert store.list_open() == [3]
    assert store.list_parts(3) == ["samples/00003.parts/000001.arrow"]
    assert store.list_shards("samples") == [1]
    assert store.list_folders("exports") == ["more", "rows"]


@IN_BUCKETS
def test_a_bucket_without_a_run_says_so(folder: Folder) -> None:
    with pytest.raises(RunError, match=f"^{folder.address}: no such run"):
        find_run(folder.address)


def test_a_small_file_of_a_run_in_s3_is_one_request(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlowStore(s3.endpoint, seconds=0.0) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        folder = RunFolder(f"s3://{BUCKET}/one")
        folder.write_file("small", b"x" * 1_000_000)
        assert store.requests == {"PUT": 1}
        assert folder.read_head("small", -1) == b"x" * 1_000_000


def test_a_finished_shard_in_s3_is_four_requests_to_look_at(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = build_here(small_recipe(prompts=40, shard_prompts=2), f"s3://{BUCKET}/looked")
    with SlowStore(s3.endpoint, seconds=0.0) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        run = create_run(run.recipe, run.folder.address)
        store.requests.clear()
        assert not find_jobs(run, "both", Silent()).jobs
        beside = 5 + 2  # listings of three stages, of open shards and of taken scores, run.yaml
        assert sum(store.requests.values()) <= 20 * 4 + beside


@IN_BUCKETS
@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("samples/00001.parquet", "start"),
        ("samples/00001.parquet", "middle"),
        ("samples/00001.parquet", "end"),
        ("failures/00001.jsonl", "end"),
        ("scores/00001.jsonl", "end"),
    ],
)
def test_a_cut_file_in_a_bucket_is_found(file: str, lost: str, folder: Folder) -> None:
    run, _ = build_here(small_recipe(backend={"fails": 0.5}), folder.address)
    content = folder.files()[file]
    third = len(content) // 3
    cut = {"start": content[third:], "middle": content[:third] + content[-third:], "end": content[:-third]}
    run.folder.write_file(file, cut[lost])
    listener = Listener()
    assert [job.shard for job in find_jobs(run, "both", listener).jobs] == [1]
    assert len(listener.said) == 1
    assert f"{file} is damaged" in listener.said[0]


@IN_BUCKETS
def test_a_file_of_another_recipe_in_a_bucket_is_refused(folder: Folder) -> None:
    run, _ = build_here(small_recipe(), folder.address)
    other, _ = build_here(small_recipe(seed=5, rewards=["counting"]), f"{folder.address}-other")
    for stage in ("samples", "scores"):
        name = f"{stage}/00001.{'parquet' if stage == 'samples' else 'jsonl'}"
        own = run.folder.read_head(name, -1)
        run.folder.write_file(name, other.folder.read_head(name, -1))
        with pytest.raises(RunError, match=f"{name}: was made by another recipe"):
            find_jobs(run, "both", Silent())
        run.folder.write_file(name, own)


def test_whose_run_it_is_takes_one_request_to_see(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "STAMP_SECONDS", 0.0)
    with SlowStore(s3.endpoint, seconds=0.0) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        run = create_run(small_recipe(), f"s3://{BUCKET}/same")
        for _ in range(2):
            run.require_same()
        store.requests.clear()
        run.require_same()
        assert store.requests == {"HEAD": 1}
        run.folder.write_notes(
            {**run.folder.read_notes(), "marks": {stage: ["0"] for stage in ("prompts", "samples", "scores")}}
        )
        with pytest.raises(RunError, match="became the run of another recipe"):
            run.require_same()


@IN_BUCKETS
def test_a_run_that_takes_the_place_of_another_within_a_second_is_seen(folder: Folder) -> None:
    run = create_run(small_recipe(), folder.address)
    run.require_same()
    notes = run.folder.read_head("run.yaml", -1)
    mark = run.folder.marks["samples"][-1].encode()
    run.folder.write_file("run.yaml", notes.replace(mark, mark[::-1]))
    with pytest.raises(RunError, match="became the run of another recipe"):
        run.require_same()
