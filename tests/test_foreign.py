"""Shards of another recipe are refused with one clear line: never taken for a run's own, never written over."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.errors import DatagenError, RunError
from datagen.pipeline import Silent, create_run, open_run, plan_stage, run_shard
from datagen.pipeline import find_jobs as look_for_jobs
from tests.helpers.runs import SHARDS, build_here, command, environment, hash_files, run_cli, small_recipe, small_values


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and beside it one of another seed, one of another model and one of fewer scorers."""
    base = tmp_path_factory.mktemp("foreign")
    build_here(small_recipe(), base / "mine")
    build_here(small_recipe(seed=5), base / "seed")
    build_here(small_recipe(backend={"wrong": 0.9}), base / "model")
    build_here(small_recipe(rewards=["counting"]), base / "scorers")
    return base


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    return path


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def read_marks(run: Path) -> dict[str, Any]:
    notes = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    return {stage: marks[-1] for stage, marks in notes["marks"].items()}


@pytest.mark.parametrize(
    ("other", "stage", "about"),
    [
        ("seed", "prompts", "seed 5"),
        ("model", "samples", "engine instant/1, mode think"),
        ("scorers", "scores", "name counting"),
    ],
)
def test_shards_in_a_folder_without_run_yaml(
    built: Path, recipe: Path, tmp_path: Path, other: str, stage: str, about: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / other / stage, run / stage)
    before = hash_files(run, stage)
    with pytest.raises(RunError) as caught:
        call("build", recipe, "--run", run, "--workers", "0")
    said = str(caught.value)
    assert f"{run}/{stage}/00000" in said
    assert "was made by another recipe: " in said
    assert about in said
    assert f"datagen build {recipe} --run {run}-2" in said
    assert hash_files(run, stage) == before
    assert not (run / "run.yaml").exists()


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("seed", "prompts/00001.jsonl"),
        ("model", "samples/00001.parquet"),
        ("scorers", "scores/00001.jsonl"),
        ("model", "scores/00001.jsonl"),
    ],
)
def test_a_shard_of_another_recipe_in_a_run(built: Path, recipe: Path, tmp_path: Path, other: str, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    shutil.copy(built / other / name, run / name)
    before = hash_files(run, *SHARDS)
    with pytest.raises(RunError, match=rf"{name}: was made by another recipe: .*\n.*move that file away"):
        call("build", recipe, "--run", run, "--workers", "0")
    for words in (("export", run), ("report", run)):
        with pytest.raises(RunError, match="was made by another recipe"):
            call(*words)
    assert name in call("status", run).replace("\n", "")
    assert hash_files(run, *SHARDS) == before
    (run / name).unlink()
    call("build", recipe, "--run", run, "--workers", "0")
    assert hash_files(run, *SHARDS) == hash_files(built / "mine", *SHARDS)


def test_samples_whose_mark_is_no_text_are_foreign(built: Path, tmp_path: Path) -> None:
    run = shutil.copytree(built / "mine", tmp_path / "run")
    shard = run / "samples/00001.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"made_by": b"\xff"}), shard)
    with pytest.raises(RunError, match=r"samples/00001\.parquet"):
        look_for_jobs(open_run(str(run)), "both", Silent())
    with pytest.raises(RunError, match=r"samples/00001\.parquet"):
        open_run(str(run)).folder.read_samples(1)


def test_a_foreign_shard_with_lines_that_are_no_records_is_refused_too(
    built: Path, recipe: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(built / "mine", tmp_path / "run")
    shard = run / "prompts/00001.jsonl"
    shard.write_bytes(b'null\n[1]\n{"seed": 3}\n')
    done = run_cli("build", recipe, "--run", run, "--workers", "0")
    assert done.returncode == 1
    assert "prompts/00001.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert shard.read_bytes().startswith(b"null")


def test_a_lost_run_yaml_of_the_same_recipe_costs_nothing(built: Path, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    (run / "run.yaml").unlink()
    call("build", recipe, "--run", run, "--workers", "0")
    assert hash_files(run, *SHARDS, "dataset") == hash_files(built / "mine", *SHARDS, "dataset")


def test_stages_have_marks_of_their_own(built: Path) -> None:
    mine, seed, model, scorers = (read_marks(built / name) for name in ("mine", "seed", "model", "scorers"))
    assert mine["prompts"] == model["prompts"] == scorers["prompts"] != seed["prompts"]
    assert mine["samples"] == scorers["samples"] != model["samples"]
    assert len({each["scores"] for each in (mine, seed, model, scorers)}) == 4
    assert hash_files(built / "mine", "prompts") == hash_files(built / "model", "prompts")
    assert hash_files(built / "mine", "samples") == hash_files(built / "scorers", "samples")
    lines = (built / "mine/scores/00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("made_by") for line in lines] == [mine["scores"]] + [None] * (len(lines) - 1)
    metadata = pq.read_metadata(built / "mine/samples/00000.parquet").metadata
    assert metadata[b"made_by"].decode() == mine["samples"]


def test_other_scorers_change_the_mark_of_the_scores_alone(built: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    call("score", run, "--set", "rewards=[counting]", "--workers", "0")
    assert read_marks(run) == read_marks(built / "scorers")
    assert hash_files(run, *SHARDS) == hash_files(built / "scorers", *SHARDS)


def test_scoring_anew_mends_foreign_scores_and_is_no_way_around_foreign_samples(built: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    shutil.copy(built / "model/scores/00001.jsonl", run / "scores/00001.jsonl")
    call("score", run, "--again", "--workers", "0")
    assert hash_files(run, *SHARDS) == hash_files(built / "mine", *SHARDS)
    shutil.copy(built / "model/samples/00001.parquet", run / "samples/00001.parquet")
    with pytest.raises(RunError, match=r"samples/00001\.parquet: was made by another recipe"):
        call("score", run, "--again", "--workers", "0")
    assert hash_files(run, "scores") == hash_files(built / "mine", "scores")


def unmark(run: Path) -> None:
    """Take everything out of a run that a datagen from before the marks did not write."""
    notes = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    for key in ("marks", "makers"):
        del notes[key]
    (run / "run.yaml").write_text(yaml.safe_dump(notes), encoding="utf-8")
    for path in run.glob("*/*.jsonl"):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            record.pop("made_by", None)
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    for path in run.glob("samples/*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def test_a_run_from_before_the_marks_goes_on_and_its_files_alone_have_none(
    built: Path, recipe: Path, tmp_path: Path
) -> None:
    run, stray = tmp_path / "run", tmp_path / "stray"
    shutil.copytree(built / "mine", run)
    unmark(run)
    for command_ in ("export", "report", "status"):
        call(command_, run)
    (run / "scores/00001.jsonl").unlink()
    call("build", recipe, "--run", run, "--workers", "0")
    mark = json.loads((run / "scores/00001.jsonl").read_text(encoding="utf-8").splitlines()[0])["made_by"]
    assert mark == read_marks(run)["scores"]
    assert "begun before there were marks" in (run / "log.txt").read_text(encoding="utf-8")
    (run / "run.yaml").rename(tmp_path / "kept.yaml")
    with pytest.raises(RunError, match="does not say which recipe made it"):
        call("build", recipe, "--run", run, "--workers", "0")
    shutil.copytree(built / "mine", stray)
    shutil.copy(run / "samples/00000.parquet", stray / "samples/00000.parquet")
    with pytest.raises(RunError, match="does not say which recipe made it"):
        call("build", recipe, "--run", stray, "--workers", "0")


@pytest.mark.parametrize(
    ("other", "name", "said"),
    [
        ("scorers", "scores/00001.jsonl", "was scored by counting, but the recipe has counting, attribute, plan"),
        ("seed", "samples/00001.parquet", "do not match|has another seed"),
    ],
)
def test_an_old_run_is_looked_at_more_closely(built: Path, tmp_path: Path, other: str, name: str, said: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    shutil.copy(built / other / name, run / name)
    unmark(run)
    with pytest.raises(RunError, match=said):
        call("export", run)


def test_samples_of_the_same_prompts_and_another_seed_are_no_samples_of_an_old_run(built: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(built / "mine", run)
    unmark(run)
    path = run / "samples/00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("seed")
    seeds = [seed + 1 for seed in table["seed"].to_pylist()]
    pq.write_table(table.set_column(place, table.schema.field(place), [seeds]), path)
    with pytest.raises(RunError, match=r"samples/00001\.parquet: .* has another seed than the recipe gives it"):
        call("export", run)


def test_a_build_whose_folder_becomes_another_run_stops(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    plan_stage(run, Silent())
    first, second, third = look_for_jobs(run, "both", Silent()).jobs
    run_shard(run, first)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match=r"was deleted, or lost its run\.yaml, while it was being made"):
        run_shard(run, second)
    assert not (tmp_path / "run" / "samples").exists()
    plan_stage(create_run(small_recipe(seed=5), str(tmp_path / "run")), Silent())
    with pytest.raises(DatagenError, match="another recipe"):
        run_shard(run, third)
    assert not (tmp_path / "run" / "samples").exists()


def test_a_folder_deleted_under_a_running_build(tmp_path: Path, recipe: Path) -> None:
    slow, run = tmp_path / "slow.yaml", tmp_path / "run"
    slow.write_text(yaml.safe_dump(small_values(seed=5, prompts=60, backend={"delay": 0.02})), encoding="utf-8")
    process = subprocess.Popen(
        command("build", slow, "--run", run, "--workers", "0"), env=environment(), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(run.glob("samples/[0-9]*")):
        time.sleep(0.01)
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    call("build", recipe, "--run", run, "--workers", "0")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert str(run) in said
    assert "Traceback" not in said
    call("build", recipe, "--run", run, "--workers", "0")
    samples = [path.name for path in sorted((run / "samples").iterdir())]
    assert samples == ["00000.parquet", "00001.parquet", "00002.parquet"]


def test_rewrites_of_another_model_are_refused(tmp_path: Path) -> None:
    expand = {"backend": {"name": "tests.helpers.rewriter"}}
    values = {"prompts": 6, "expand": expand, "seed": 3}
    plan_stage(create_run(small_recipe(**values), str(tmp_path / "a")), Silent())
    (tmp_path / "b").mkdir()
    shutil.copytree(tmp_path / "a/rewrites", tmp_path / "b/rewrites")
    other = {"backend": {"name": "tests.helpers.rewriter", "useless": 0.5}}
    with pytest.raises(DatagenError, match=r"rewrites/00000\.jsonl: was made by another recipe"):
        create_run(small_recipe(**{**values, "expand": other}), str(tmp_path / "b"))
