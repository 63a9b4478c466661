"""What cannot be read is told as that, by its name; a run that cannot be written can be looked at and pushed."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from datagen.errors import RunError
from datagen.push.dataset import read_dataset
from datagen.store import RunFolder, Stage
from tests.helpers.runs import build_here, environment, small_recipe, small_values

CLOSE = """
import json, os, sys
from pathlib import Path
from typer.testing import CliRunner
from datagen.cli import app

for name, words in json.load(sys.stdin):
    path = Path(name)
    mode = path.stat().st_mode
    path.chmod(0)
    done = CliRunner().invoke(app, words)
    path.chmod(mode)
    print(json.dumps([type(done.exception).__name__, str(done.exception)]))
"""
"""Closes each file of a list to everybody while a command runs, and prints what the command raises."""


def run_bound(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command that obeys the permissions of files, also for root."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if bound and shutil.which("setpriv") is None:
        pytest.skip("root without setpriv reads every file")
    return subprocess.run([*bound, *words], input=given, capture_output=True, text=True, env=environment(), timeout=600)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "run"
    build_here(
        small_recipe(backend={"fails": 0.2}, exports={"plain": {"view": "trajectories", "format": "jsonl"}}), folder
    )
    return folder


def test_what_cannot_be_read_is_named_and_never_called_a_fault_or_a_full_disk(built: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    run, score = str(built), ["score", str(built), "--again", "--workers", "0"]
    data = next((built / "dataset/data").glob("train-*.parquet"))
    cases = [
        (built / "run.yaml", ["status", run]),
        (built / "scores", ["status", run]),
        (built / "prompts/00001.jsonl", ["weigh", run]),
        (built / "scores/00001.jsonl", ["weigh", run]),
        (built / "scores/00001.jsonl", ["status", run]),
        (built / "failures", ["status", run]),
        (built / "samples/00001.parquet", ["report", run]),
        (built / "samples/00001.parquet", ["export", run]),
        (built / "samples/00001.parquet", score),
        (built / "dataset/.made.json", ["push", run, f"file://{tmp_path}/pushed"]),
        (data, ["push", run, f"file://{tmp_path}/pushed"]),
        (recipe, ["build", str(recipe), "--run", str(tmp_path / "other")]),
    ]
    given = json.dumps([(str(path), words) for path, words in cases])
    done = run_bound(sys.executable, "-c", CLOSE, given=given)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(told) == len(cases)
    for (path, words), (kind, said) in zip(cases, told, strict=True):
        about = f"{path} {words[0]}: {kind}: {said}"
        assert kind in ("RunError", "ConfigError", "PushError"), about
        assert said.startswith(str(path)), about
        assert "Permission denied" in said, about
        assert not {"written", "damaged", "delete"} & set(said.replace(":", " ").split()), about


READERS: dict[str, Callable[[RunFolder], object]] = {
    "run.yaml": RunFolder.read_notes,
    "prompts/00000.jsonl": lambda folder: folder.read_prompts(0),
    "scores/00000.jsonl": lambda folder: folder.find_damage("scores", [0]),
    "failures/00000.jsonl": lambda folder: folder.digest("failures", 0),
    "samples/00000.parquet": lambda folder: folder.read_samples(0),
    "report.html": lambda folder: folder.read_head("report.html"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_place_of_a_file_cannot_be_read(name: str, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).mkdir()
    with pytest.raises(RunError, match=rf"{name}: cannot be read: Is a directory"):
        READERS[name](RunFolder(tmp_path / "run"))


def test_a_run_that_cannot_be_written_is_pushed_and_the_missing_note_is_told(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "run")
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    words = ["push", str(tmp_path / "run"), f"file://{tmp_path}/pushed"]
    done = run_bound(sys.executable, "-m", "datagen", *words)
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)
    assert done.returncode == 0, done.stderr
    assert "files verified" in done.stdout
    assert "the push is done, and not noted in the run: cannot be written: Permission denied" in done.stderr
    assert list((tmp_path / "pushed/data").glob("*.parquet"))
    assert not (tmp_path / "run/push.json").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("marks", {"prompts": ["a"]}),
        ("marks", [1]),
        ("makers", {"scores": 3}),
        ("makers", {stage: {"module": None} for stage in ("prompts", "samples", "scores")}),
        ("plan", {"shards": "x"}),
        ("files", 7),
        ("files", {"counting": 7}),
        ("versions", {"torch": None}),
        ("canaries", {"key": "a", "scorers": {"counting": {"judged": 3}}}),
    ],
)
def test_a_broken_note_of_a_run_is_named(key: str, value: object, built: Path, tmp_path: Path) -> None:
    notes = yaml.safe_load((built / "run.yaml").read_text(encoding="utf-8"))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**notes, key: value}), encoding="utf-8")
    with pytest.raises(RunError, match=rf"run\.yaml: {key} is not as a run notes it"):
        RunFolder(tmp_path).read_notes()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"\n", b"\xff\n", "is damaged: 'utf-8' codec"),
        (b"  path:", b"  paths:", "is no dataset card: its configs"),
        (b"    num_examples:", b"    num:", "is no dataset card: its configs"),
        (b"dataset_info:", b"dataset_info: [no] #", "is no dataset card: "),
    ],
)
def test_a_broken_card_is_named(old: bytes, new: bytes, said: str, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "dataset", tmp_path / "dataset")
    card = tmp_path / "dataset/README.md"
    assert old in card.read_bytes()
    card.write_bytes(card.read_bytes().replace(old, new, 1))
    with pytest.raises(RunError, match=rf"README\.md: {said}"):
        read_dataset(tmp_path / "dataset")


@pytest.mark.parametrize(
    ("column", "is_empty"), [("id", False), ("images", False), ("images", True), ("image_sha256", False)]
)
def test_a_dataset_with_other_columns_is_named(column: str, is_empty: bool, built: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(built / "dataset", tmp_path / "dataset")
    path = next((dataset / "data").glob("train-*.parquet"))
    table = pq.read_table(path)
    changed = table.drop_columns([column])
    if is_empty:
        changed = changed.append_column(column, pa.nulls(len(table), pa.int64()))
    pq.write_table(changed, path)
    with pytest.raises(RunError, match=r"train-.*\.parquet: (is damaged: its columns|has no hashes)"):
        read_dataset(dataset, {})


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [
        ("prompts", "weakness", ["counting"]),
        ("prompts", "index", "1"),
        ("prompts", "claims", [{"kind": "count", "subject": ["star"], "name": "", "value": 1}]),
        ("scores", "value", math.nan),
        ("scores", "value", 7),
        ("scores", "evidence", []),
        ("scores", "name", None),
        ("failures", "prompt_id", {}),
        ("failures", "error", 3),
    ],
)
def test_a_record_with_another_type_is_a_damage_with_its_line(
    stage: Stage, key: str, value: object, built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "run")
    path = next(each for each in sorted((tmp_path / "run" / stage).iterdir()) if each.stat().st_size)
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), key: value})
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    folder, shard = RunFolder(tmp_path / "run"), int(path.stem)
    read = {"prompts": folder.read_prompts, "scores": folder.read_scores, "failures": folder.read_failures}[stage]
    with pytest.raises(RunError, match=rf"{path.name}:1: damaged: "):
        read(shard)
