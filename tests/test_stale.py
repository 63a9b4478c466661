"""What was derived from a run knows what it was made from: status says stale, and push, append and train refuse it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.errors import RunError
from datagen.pipeline import MADE, find_stale, open_run
from tests.helpers.runs import build_here, hash_files, small_recipe, small_values

VIEW = "pieces-jsonl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with one more form of its dataset, by the command."""
    base = tmp_path_factory.mktemp("stale")
    (base / "small.yaml").write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    build_here(small_recipe(), base / "run")
    call("export", base / "run", "--view", "pieces")
    call("report", base / "run")
    return base


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built / "run", tmp_path / "run")
    return tmp_path / "run"


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def stale(run: Path) -> dict[str, str]:
    return {name: why for name, why in find_stale(open_run(str(run))).items() if why}


def read_view_weights(run: Path) -> set[tuple[float, float]]:
    """Text and image weight of each example in the files that a push would send."""
    lines = [line for path in (run / "exports" / VIEW).glob("*.jsonl") for line in path.open(encoding="utf-8")]
    facts = [json.loads(json.loads(line)["facts"]) for line in lines]
    return {(each["text_weight"], each["image_weight"]) for each in facts}


def read_dataset_weights(run: Path) -> set[tuple[float, float]]:
    tables = [pq.read_table(path) for path in (run / "dataset" / "data").glob("*.parquet")]
    rows = [row for table in tables for row in table.select(["text_weight", "image_weight"]).to_pylist()]
    return {(row["text_weight"], row["image_weight"]) for row in rows if any(row.values())}


def push(run: Path, *words: str) -> str:
    return call("push", run, f"file://{run.parent}/there", *words)


def test_what_is_current_is_pushed_without_a_note_of_where_it_was_made(run: Path) -> None:
    assert stale(run) == {}
    assert "stale" not in call("status", run)
    push(run, "--view", VIEW)
    sent = hash_files(run.parent / "there", ".")
    assert any(path.startswith(VIEW) for path in sent)
    assert not any(path.endswith(MADE) for path in sent)
    notes = b"".join(path.read_bytes() for path in run.rglob(MADE))
    assert str(run.parent).encode() not in notes


def test_a_rebuild_keeps_the_list_of_views_and_makes_them_anew(built: Path, run: Path) -> None:
    """Build, other weights, export: the form that was added once has the new weights, as the dataset has."""
    before, first = hash_files(run, "exports"), read_view_weights(run)
    call("build", built / "small.yaml", "--set", "seed=0", "--run", run, "--workers", "0")
    assert list(open_run(str(run)).recipe.exports) == [VIEW]
    assert hash_files(run, "exports") == before
    call("weigh", run, "--policy", "best")
    assert set(stale(run)) == {"dataset", f"exports/{VIEW}", "report.html"}
    shown = call("status", run)
    mended = f"mended by `datagen export {run}`"
    assert f"stale: made with other weights (policy or aggregate) than the run has now; {mended}" in shown
    call("export", run)
    assert set(stale(run)) == {"report.html"}
    assert read_view_weights(run) == read_dataset_weights(run) != first
    assert hash_files(run, "exports") != before
    push(run, "--view", VIEW)
    call("report", run)
    assert stale(run) == {}


def test_a_view_whose_folder_is_deleted_is_forgotten(built: Path, run: Path) -> None:
    shutil.rmtree(run / "exports")
    call("build", built / "small.yaml", "--run", run, "--workers", "0")
    assert open_run(str(run)).recipe.exports == {}
    assert not (run / "exports").exists()


@pytest.mark.parametrize("words", [("push",), ("append",)])
def test_push_and_append_refuse_stale_ones_with_the_command_that_mends_them(run: Path, words: tuple[str, ...]) -> None:
    call("weigh", run, "--policy", "best")
    with pytest.raises(RunError) as caught:
        call(*words, run, f"file://{run.parent}/there", "--view", VIEW)
    assert f"{run}/dataset: is stale: made with other weights" in str(caught.value)
    assert caught.value.hint == f"first: datagen export {run}"
    kept = run.parent / "kept"
    shutil.copytree(run / "exports", kept)
    call("export", run)
    shutil.rmtree(run / "exports")
    shutil.copytree(kept, run / "exports")
    with pytest.raises(RunError, match=f"exports/{VIEW}: is stale: made with other weights"):
        call(*words, run, f"file://{run.parent}/there", "--view", VIEW)
    assert not (run.parent / "there").exists()


def test_train_refuses_a_dataset_of_other_weights(run: Path) -> None:
    call("weigh", run, "--policy", "best")
    for word in (run, run / "dataset"):
        with pytest.raises(RunError, match=r"dataset: is stale: .*\nfirst: datagen export"):
            call("train", word, "--out", run.parent / "trained", "--steps", "1")
    assert not (run.parent / "trained").exists()


def test_scores_made_anew_make_everything_stale(run: Path) -> None:
    call("score", run, "--set", "rewards=[counting]", "--workers", "0")
    assert all("from other prompts, samples or scores" in why for why in stale(run).values())
    assert set(stale(run)) == {"dataset", f"exports/{VIEW}", "report.html"}


def test_a_score_that_somebody_edits_makes_everything_stale(run: Path) -> None:
    path = run / "scores/00001.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"value":1.0', '"value":0.1', 1), encoding="utf-8")
    assert "samples or scores" in stale(run)["dataset"]


def test_what_says_not_what_it_was_made_from_is_refused(run: Path) -> None:
    (run / "dataset" / MADE).unlink()
    with pytest.raises(RunError, match="dataset: is stale: it does not say what it was made from"):
        push(run)
    call("export", run)
    (run / "exports" / "mine").mkdir()
    (run / "exports" / "mine" / "train.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(RunError, match="mine: is stale: the recipe does not name it any more"):
        push(run, "--view", "mine")


def test_another_version_or_form_is_named(run: Path) -> None:
    for path, key, said in (
        (run / "dataset" / MADE, "datagen", "made by datagen 0.0.1"),
        (run / "exports" / VIEW / MADE, "form", "made in another form than the run names now"),
    ):
        note = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**note, key: "0.0.1"}), encoding="utf-8")
        assert said in stale(run)[str(path.parent.relative_to(run))]
    report = run / "report.html"
    report.write_text(report.read_text(encoding="utf-8").replace("datagen-made", "made-otherwise"), encoding="utf-8")
    assert "does not say" in stale(run)["report.html"]
    report.write_bytes(b'<meta name="datagen-made" content="\xff">' + report.read_bytes())
    assert "does not say" in stale(run)["report.html"]


def test_a_run_on_an_object_store_knows_it_too(tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}/run"
    exports = {"mine": {"view": "trajectories", "format": "jsonl"}}
    run, _ = build_here(small_recipe(prompts=4, exports=exports), address)
    assert find_stale(run) == {"dataset": "", "exports/mine": "", "report.html": ""}
    run.folder.remove_shard("scores", 0)
    assert all(find_stale(run).values())


def test_a_word_that_names_two_runs_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    assert "stale" not in call("status", "run")
    shutil.copytree(run, run.parent / "outputs" / "run")
    with pytest.raises(RunError, match=r"is a run here and also in outputs/\nwrite \./run or outputs/run"):
        call("status", "run")
    with pytest.raises(RunError, match=r"has a dataset here and also in outputs/"):
        call("train", "run", "--out", "trained")
    call("status", "./run")
    call("status", "outputs/run")


def find_places(run: Path, name: str) -> dict[str, tuple[int, int]]:
    """Which files a folder has: a file that was written anew, even with the same bytes, is another."""
    found = {str(p.relative_to(run)): p.stat() for p in (run / name).rglob("*") if p.is_file()}
    return {path: (each.st_ino, each.st_mtime_ns) for path, each in found.items()}


def test_another_view_leaves_what_is_current_where_it_is(run: Path) -> None:
    """A trainer may be reading it."""
    before = {name: find_places(run, name) for name in ("dataset", f"exports/{VIEW}")}
    said = call("export", run, "--view", "trajectories")
    assert {name: find_places(run, name) for name in before} == before
    assert "train rows" in said
    assert stale(run) == {}
    call("export", run, "--view", "trajectories", "--skip")
    assert {name: find_places(run, name) for name in before} == before
    call("export", run)
    assert find_places(run, "dataset").items().isdisjoint(before["dataset"].items())


def test_another_view_renews_what_is_stale_or_gone(run: Path) -> None:
    call("weigh", run, "--policy", "uniform")
    shutil.rmtree(run / "exports" / VIEW)
    call("export", run, "--view", "trajectories")
    assert {*stale(run)} == {"report.html"}
    assert read_view_weights(run) == {(1.0, 1.0)}
    assert {weight for pair in read_dataset_weights(run) for weight in pair} == {1.0}


def test_a_view_is_dropped_with_its_files_and_stays_away(run: Path) -> None:
    with pytest.raises(RunError, match=f"has no export 'piece-jsonl'\n.*did you mean '{VIEW}'"):
        call("export", run, "--drop", "piece-jsonl")
    before = find_places(run, "dataset")
    call("export", run, "--drop", VIEW)
    assert find_places(run, "dataset") == before
    assert not (run / "exports" / VIEW).exists()
    assert stale(run) == {}
    call("export", run)
    assert not (run / "exports" / VIEW).exists()
