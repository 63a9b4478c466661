"""Runs whose folder is in a bucket: a real S3 server and an emulator of Google's."""

from __future__ import annotations

from pathlib import Path

import pytest
from push_cases import Folder, call

from datagen.errors import RunError
from datagen.pipeline.run import find_run
from datagen.store import RunFolder
from tests.helpers.runs import SHARDS, build_here, small_recipe
from tests.helpers.s3_server import BUCKET, S3Server
from tests.helpers.slow_store import SlowStore

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
