"""`datagen experiment` from end to end with the instant backend and a trainer of its own, a real process."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import make_recipe
from datagen.errors import ConfigError, Paused, RunError
from datagen.experiment import ExperimentPlan, Summary, load_experiment, run_experiment
from datagen.experiment.plan import resolve_recipe
from datagen.pipeline import Budget, Execute, Job, Ledger, Run, Silent
from datagen.runners.local import make_runner
from tests.helpers.runs import ROOT, SHARDS, build_here, command, environment, hash_files, run_cli, small_values

TRAINER = f"{shlex.quote(sys.executable)} {ROOT / 'tests/helpers/trainer.py'} --data {{dataset}} --out {{checkpoint}}"


def write_files(folder: Path, **changes: Any) -> Path:
    """Write a recipe and an experiment on its weights, and return the experiment's path."""
    train = {"command": f"{TRAINER} --wrong 0.2", "into": "backend.checkpoint", "detector": "learned"}
    values = small_values(
        taxonomy=["attributes"], rewards=["counting", "attribute"], backend={"wrong": 0.5}, train=train
    )
    (folder / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    experiment = {
        "question": "Do the weights help?",
        "recipe": "mine.yaml",
        "seeds": [1],
        "arms": {"weighed": {}, "plain": {"set": {"weights.policy": "uniform"}}},
        "measure": {"held-out": {"prompts": 3, "candidates": 2}},
        "compare": [["weighed", "plain"], ["weighed", "before"]],
    }
    path = folder / "help.yaml"
    path.write_text(yaml.safe_dump({**experiment, **changes}, sort_keys=False), encoding="utf-8")
    return path


def run(file: Path, folder: Path, seeds: str | None = None, execute: Execute | None = None) -> Summary:
    plan = ExperimentPlan(load_experiment(str(file), seeds)[0], file, folder)
    return run_experiment(plan, execute or make_runner(0), Silent(), lambda _: None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.replay", 0.00003), ("backend.wrong", 1e-12), ("license", "no"), ("candidates", 3), ("judge", None)],
)
def test_a_value_of_an_arm_reaches_its_recipe_as_it_is(tmp_path: Path, key: str, value: Any) -> None:
    arms = {"one": {"set": {key: value}}, "two": {}}
    file = write_files(tmp_path, arms=arms, compare=[["one", "two"]])
    recipe: Any = resolve_recipe(load_experiment(str(file))[0], file, "arms.one")
    *path, last = key.split(".")
    for part in path:
        recipe = getattr(recipe, part)
    found = recipe.options[last] if path == ["backend"] else getattr(recipe, last)
    assert found == value


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The folder of a finished experiment, and what came out."""
    folder = tmp_path_factory.mktemp("done")
    return folder / "one", run(write_files(folder), folder / "one")


def test_arms_are_built_trained_and_measured_by_both_judges(done: tuple[Path, Summary]) -> None:
    folder, summary = done
    lines = summary.lines["held-out"]["held-out"]
    assert [(line.label, line.seeds) for line in lines] == [("before", 1), ("weighed", 1), ("plain", 1)]
    gain = summary.findings["held-out"][1]
    assert gain.held_out.value > 0.1
    probe = folder / "before/probe/held-out"
    detectors = [
        yaml.safe_load((probe / judge / "run.yaml").read_text())["recipe"]["detector"]["name"]
        for judge in ("held-out", "selecting")
    ]
    assert detectors == ["learned", "pictograms"]
    assert hash_files(probe / "held-out", "samples") == hash_files(probe / "selecting", "samples")
    figures = json.loads((folder / "experiment.json").read_text())
    assert figures["findings"]["held-out"][1]["first"] == "weighed"
    page = (folder / "experiment.html").read_text()
    assert "Do the weights help?" in page
    assert 'href="arms/plain/seed-1/round-1/run/report.html"' in page


def test_arms_that_weigh_otherwise_share_what_was_drawn_and_equal_a_run_of_their_own(
    done: tuple[Path, Summary], tmp_path: Path
) -> None:
    weighed, plain = (done[0] / f"arms/{name}/seed-1/round-1/run" for name in ("weighed", "plain"))
    for path in (weighed / "samples").glob("*.parquet"):
        assert path.samefile(plain / "samples" / path.name), "drawn once"
    recipe = yaml.safe_load((plain / "run.yaml").read_text())["recipe"]
    build_here(make_recipe(recipe), tmp_path / "alone")
    assert hash_files(plain, *SHARDS, "dataset") == hash_files(tmp_path / "alone", *SHARDS, "dataset")


def test_results_of_an_older_format_are_measured_again_from_the_samples(
    done: tuple[Path, Summary], tmp_path: Path
) -> None:
    shutil.copytree(done[0].parent, tmp_path / "copy")
    folder = tmp_path / "copy/one"
    file = folder / "before/measured.json"
    there, samples = file.read_text(), hash_files(folder / "before", "probe/held-out/held-out/samples")
    file.write_text(json.dumps(json.loads(there)["measures"]))
    assert run(tmp_path / "copy/help.yaml", folder) == done[1]
    assert file.read_text() == there
    assert hash_files(folder / "before", "probe/held-out/held-out/samples") == samples


def test_an_arm_with_other_scorers_takes_the_samples_alone(tmp_path: Path) -> None:
    arms = {"both": {}, "one": {"set": {"rewards": ["attribute"], "backend.fails": 0.0}}}
    run(write_files(tmp_path, arms=arms, compare=[]), tmp_path / "one")
    both, one = (tmp_path / f"one/arms/{name}/seed-1/round-1/run" for name in arms)
    recipe = yaml.safe_load((one / "run.yaml").read_text())["recipe"]
    build_here(make_recipe(recipe), tmp_path / "alone")
    assert hash_files(one, *SHARDS, "dataset") == hash_files(tmp_path / "alone", *SHARDS, "dataset")
    assert hash_files(one, "scores") != hash_files(both, "scores")


def test_rounds_go_on_from_each_other_with_fresh_samples_or_the_first_again(tmp_path: Path) -> None:
    arms = {"fresh": {"rounds": 2}, "again": {"rounds": 2, "fresh": False}}
    summary = run(write_files(tmp_path, arms=arms, compare=[["fresh@2", "again@2"]]), tmp_path / "one")
    lines = summary.lines["held-out"]["held-out"]
    assert [line.label for line in lines] == ["before", "fresh@1", "fresh@2", "again@1", "again@2"]
    assert lines[2].samples == 2 * lines[1].samples
    assert lines[4].samples == lines[3].samples == lines[1].samples
    arm = tmp_path / "one/arms/fresh/seed-1"
    second = yaml.safe_load((arm / "round-2/run/run.yaml").read_text())["recipe"]
    assert second["backend"]["checkpoint"] == str(arm / "round-1/checkpoint")
    assert not (tmp_path / "one/arms/again/seed-1/round-2/run").exists()


@pytest.mark.parametrize("at", ["round-2/run", "round-2/probe"])
def test_a_folder_that_is_moved_in_the_middle_of_a_round_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file, runner = write_files(tmp_path, arms={"a": {"rounds": 2}}, compare=[["a@2", "a@1"]]), make_runner(0)

    def stop(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        runner(run, jobs[:1] if at in run.folder.address else jobs, ledger)
        if at in run.folder.address:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, Path("one"), execute=stop)
    place = Path("arms/a/seed-1") / at
    drawn = hash_files("one" / place, ".")
    Path("one").rename("moved")
    summary = run(file, tmp_path / "moved")
    assert [line.label for line in summary.lines["held-out"]["held-out"]] == ["before", "a@1", "a@2"]
    kept = {name: value for name, value in drawn.items() if "samples" in Path(name).parts}
    assert kept
    assert kept.items() <= hash_files("moved" / place, ".").items(), "what was drawn stays"

    Path("moved").rename("again")
    assert run(file, Path("again"), execute=refuse) == summary, "what is finished is read as it is"


def test_more_seeds_and_arms_are_added_to_what_is_there(done: tuple[Path, Summary], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "one", symlinks=True)
    log = tmp_path / "one/arms/plain/seed-1/round-1/train.log"
    noted = yaml.safe_load((tmp_path / "one/experiment.yaml").read_text())
    plain = noted["parts"]["arms.plain"]  # as if these keys were newer than the folder
    del plain["fresh"], plain["recipe"]["filter"], plain["recipe"]["train"]["backend"]
    (tmp_path / "one/experiment.yaml").write_text(yaml.safe_dump(noted))
    before = log.read_bytes()
    arms = {"weighed": {}, "plain": {"set": {"weights.policy": "uniform"}}, "best": {"set": {"weights.policy": "best"}}}
    summary = run(write_files(tmp_path, arms=arms), tmp_path / "one", "1,2")
    assert [line.seeds for line in summary.lines["held-out"]["held-out"]] == [1, 2, 2, 2]
    assert log.read_bytes() == before, "nothing is trained twice"
    with pytest.raises(RunError, match=r"holds another experiment; changed: arms\.plain: weights\.policy"):
        run(write_files(tmp_path, arms={**arms, "plain": {}}), tmp_path / "one")


def refuse(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
    raise AssertionError(f"{run.folder} is made")


def change_recipe(folder: Path, **changes: Any) -> None:
    values = yaml.safe_load((folder / "mine.yaml").read_text())
    train = {**values["train"], **changes.pop("train", {})}
    (folder / "mine.yaml").write_text(yaml.safe_dump({**values, **changes, "train": train}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 77}, "changed: seed: 0 -> 77"),
        ({"train": {"command": f"{TRAINER} --wrong 0.9"}}, "changed: arms.weighed, arms.plain: train.command: "),
        ({"train": {"detector": {"name": "learned", "least": 0.7}}}, "measure.held-out.held-out: detector"),
        ({"rewards": ["attribute"]}, "changed: rewards: ['counting', 'attribute'] -> ['attribute']"),
        ({"weights": {"policy": "rank"}}, "changed: arms.weighed: weights.policy: None -> rank"),
    ],
)
def test_a_recipe_that_changed_since_is_refused_before_anything_is_made(
    done: tuple[Path, Summary], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    shutil.copytree(done[0], tmp_path / "one", symlinks=True)
    file = write_files(tmp_path)
    change_recipe(tmp_path, **changes)
    with pytest.raises(RunError) as caught:
        run(file, tmp_path / "one", "1,2", execute=refuse)
    assert said in str(caught.value)
    assert not list((tmp_path / "one").glob("arms/*/seed-2"))


def test_what_changes_no_figure_may_change_and_a_folder_of_before_the_note_takes_what_is_there(
    done: tuple[Path, Summary], tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "one", symlinks=True)
    file, note = write_files(tmp_path), tmp_path / "one/experiment.yaml"
    change_recipe(tmp_path, failure_limit=0.5, prices={"backend": {"hour": 1.0}}, license="mit")
    assert run(file, tmp_path / "one", execute=refuse) == done[1]
    noted = yaml.safe_load(note.read_text())
    del noted["parts"]
    note.write_text(yaml.safe_dump(noted))
    change_recipe(tmp_path, train={"replay": 0.1})
    assert run(file, tmp_path / "one", execute=refuse) == done[1]
    change_recipe(tmp_path, train={"replay": 0.2})
    with pytest.raises(RunError, match=r"train\.replay: 0\.1 -> 0\.2"):
        run(file, tmp_path / "one", execute=refuse)
    noted = yaml.safe_load(note.read_text())
    del noted["parts"]
    noted["arms"]["plain"]["set"]["weights.policy"] = "best"
    note.write_text(yaml.safe_dump(noted))
    with pytest.raises(RunError, match=r"changed: arms\.plain: weights\.policy: best -> uniform"):
        run(file, tmp_path / "one", execute=refuse)


def test_an_arm_that_was_taken_out_comes_back_only_as_it_was(done: tuple[Path, Summary], tmp_path: Path) -> None:
    shutil.copytree(done[0], tmp_path / "one", symlinks=True)
    run(write_files(tmp_path, arms={"weighed": {}}, compare=[]), tmp_path / "one", execute=refuse)
    for other in ({"set": {"weights.policy": "best"}}, {"set": {"weights.policy": "uniform"}, "fresh": False}):
        file = write_files(tmp_path, arms={"weighed": {}, "plain": other})
        with pytest.raises(
            RunError, match=r"changed: arms\.plain: (weights\.policy: uniform -> best|fresh: True -> False)"
        ):
            run(file, tmp_path / "one", execute=refuse)
    assert run(write_files(tmp_path), tmp_path / "one", execute=refuse) == done[1]


def test_killed_and_called_again_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    file = write_files(tmp_path)
    words = ("experiment", "help.yaml", "--workers", "0", "--run")
    done = run_cli(*words, "whole", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weighed − plain" in done.stdout
    process = subprocess.Popen(command(*words, "killed"), cwd=file.parent, env=environment(), stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed/arms/weighed/seed-1/round-1/trained.json").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert run_cli(*words, "killed", cwd=tmp_path).returncode == 0
    assert (tmp_path / "killed/experiment.json").read_bytes() == (tmp_path / "whole/experiment.json").read_bytes()


def test_a_pause_tells_the_limit_of_the_call_not_what_was_left_of_it(tmp_path: Path) -> None:
    plan = ExperimentPlan(load_experiment(str(write_files(tmp_path)))[0], tmp_path / "help.yaml", tmp_path / "one")
    with pytest.raises(Paused, match=r"^paused at --max-hours 1e-06: \S"):
        run_experiment(plan, make_runner(0), Silent(), lambda _: None, Budget(hours=1e-6))


def start(folder: Path, name: str, **options: Any) -> subprocess.Popen[str]:
    words = ("experiment", "help.yaml", "--workers", "0", "--run", name)
    return subprocess.Popen(command(*words), cwd=folder, env=environment(), text=True, **options)


def test_calls_side_by_side_share_the_arms_and_end_as_one_alone(done: tuple[Path, Summary], tmp_path: Path) -> None:
    write_files(tmp_path)
    calls = [start(tmp_path, "shared", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    told = [call.communicate() for call in calls]
    assert [call.returncode for call in calls] == [0, 0], told
    for name in ("experiment.json", "experiment.md"):
        assert (tmp_path / "shared" / name).read_bytes() == (done[0] / name).read_bytes()
    logs = [log.read_text() for log in (tmp_path / "shared").glob("arms/*/*/*/train.log")]
    assert [log.count("trainer.py") for log in logs] == [1, 1], "nothing is trained twice"


def test_what_another_call_is_at_is_left_to_it_and_taken_up_when_that_was_killed(tmp_path: Path) -> None:
    write_files(tmp_path, arms={"weighed": {}}, compare=[])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = start(tmp_path, "one", **quiet)
    while killed.poll() is None and not (tmp_path / "one/arms/weighed/seed-1/round-1").exists():
        time.sleep(0.02)
    killed.send_signal(signal.SIGSTOP)
    done = run_cli("experiment", "help.yaml", "--workers", "0", "--run", "one", cwd=tmp_path)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert done.returncode == 0
    assert "left to other calls at work in one: arm weighed, seed 1" in done.stderr
    assert not (tmp_path / "one/arms/weighed/seed-1/round-1/measured.json").exists()
    done = run_cli("experiment", "help.yaml", "--workers", "0", "--run", "one", cwd=tmp_path)
    assert done.returncode == 0
    assert "left to other calls" not in done.stderr
    assert json.loads((tmp_path / "one/experiment.json").read_text())["lines"]["held-out"]["held-out"][1]["seeds"] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compare": [["weighed", "plane"]]}, "no arm named 'plane'"),
        ({"arms": {"before": {}}}, "first model"),
        ({"seeds": [1, 1]}, "1 stands there twice"),
        ({"arms": {"a/b": {}}}, "arms"),
        ({"arms": {"odd": {"set": {"weights.policy": "rwrr"}}}, "compare": []}, "help.yaml, arms.odd: "),
        ({"set": {"train.detector": "pictograms"}}, "independent of the weights"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_made(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(write_files(tmp_path, **changes), tmp_path / "one")
    assert said in str(caught.value)
    assert not (tmp_path / "one").exists()


def test_check_tells_faults_of_arms_at_their_place(tmp_path: Path) -> None:
    file = write_files(
        tmp_path, arms={"good": {}, "odd": {"set": {"weights.policy": "rwrr"}}}, compare=[["good", "bad"]]
    )
    done = run_cli("check", file.name, cwd=tmp_path)
    assert done.returncode == 1
    assert "no arm named 'bad'" in done.stdout
    write_files(tmp_path, arms={"good": {}, "odd": {"set": {"weights.policy": "rwrr"}}}, compare=[])
    done = run_cli("check", file.name, cwd=tmp_path)
    line = next(k for k, text in enumerate(file.read_text().splitlines(), 1) if "odd:" in text)
    assert f"help.yaml:{line + 1}:" in done.stdout
    assert "rwrr" in done.stdout
    write_files(tmp_path, set={"train.detector": "pictograms"})
    done = run_cli("check", file.name, cwd=tmp_path)
    line = next(k for k, text in enumerate(file.read_text().splitlines(), 1) if "held-out:" in text)
    assert f"help.yaml:{line + 1}:" in done.stdout
    assert "independent of the weights" in done.stdout


def test_the_experiments_that_ship_are_sound() -> None:
    names = [path.stem for path in (ROOT / "experiments").glob("*.yaml")]
    assert "modalities" in names
    for name in names:
        experiment, file = load_experiment(name)
        plan = ExperimentPlan(experiment, file, Path("nowhere"))
        for part in (
            "",
            *(f"arms.{arm}" for arm in experiment.arms),
            *(f"measure.{each}" for each in experiment.measure),
        ):
            plan.resolve(part)
