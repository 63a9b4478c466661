"""`datagen loop` from end to end with the instant backend and a trainer of its own, a real process."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from datagen.config import Recipe, load_recipe, make_recipe
from datagen.errors import ConfigError, Paused, RunError
from datagen.loop import LoopPlan, LoopResult, run_loop
from datagen.loop.rounds import round_recipe
from datagen.pipeline import (
    Budget,
    Job,
    Ledger,
    Run,
    Silent,
    check_recipe,
    open_run,
    probe_recipe,
    publish_recipe,
    read_texts,
)
from datagen.prompts.contamination import normalize
from datagen.runners.local import make_runner
from tests.diagnose.diagnosis_cases import diagnosis, row
from tests.helpers.runs import MANY, ROOT, command, environment, hash_files, run_cli, small_values, write_kitchen

TRAINER = f"{shlex.quote(sys.executable)} {ROOT / 'tests/helpers/trainer.py'} --data {{dataset}} --out {{checkpoint}}"


def loop_values(more: str = "", **changes: Any) -> dict[str, Any]:
    train = {"command": f"{TRAINER} {more}", "into": "backend.checkpoint", "detector": "learned"}
    values = {"taxonomy": ["attributes"], "rewards": ["counting", "attribute"], "backend": {"wrong": 0.5}}
    values |= {"train": {**train, **changes.pop("train", {})}}
    return small_values(**{**values, **changes})


def loop(
    more: str = "", execute: Any = None, budget: Budget | None = None, folder: str = "one", **changes: Any
) -> LoopResult:
    """Run a loop in a folder of the working directory."""
    sizes = {key: changes.pop(key) for key in ("rounds", "patience") if key in changes}
    recipe = make_recipe(loop_values(more, **changes))
    plan = LoopPlan(recipe, Path(folder), prompts=12, candidates=2, **{"rounds": 1, **sizes})
    return run_loop(plan, execute or make_runner(0), Silent(), lambda _: None, budget)


def read_bytes(folder: Path) -> dict[str, str]:
    found = hash_files(folder, "rounds")
    kept = ("/dataset/", "/samples/", "/scores/", "/prompts/")
    return {name: value for name, value in found.items() if any(each in name for each in kept)}


def count_trainings(folder: Path, number: int) -> int:
    return (folder / f"rounds/{number:02d}/train.log").read_text().count("$ ")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "one"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop whose first round makes the model faultless."""
    folder = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        loop()
    return folder / "one"


def test_a_round_that_helps_is_kept_and_drawn_from(done: Path) -> None:
    found = json.loads((done / "loop.json").read_text())
    first, second = found["rounds"][:2]
    assert first["pass_1"]["value"] < 0.8 < second["pass_1"]["value"]
    assert second["helps"]
    assert found["best"] == 1
    assert (done / "best").resolve() == (done / "rounds/01/checkpoint").resolve()
    notes = yaml.safe_load((done / "rounds/01/probe/run.yaml").read_text())["recipe"]
    assert notes["backend"]["checkpoint"] == "one/rounds/01/checkpoint"
    assert notes["detector"]["name"] == "learned", "what selects does not measure"


def test_figures_for_programs_are_those_of_the_page(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.parent)
    told = loop().to_dict()
    assert set(told) == {"rounds", "stopped"}
    first, second = told["rounds"][:2]
    assert set(first) == {"number", "pass_1", "reward", "gain", "kept"}
    assert (first["gain"], first["kept"], second["kept"]) == (None, False, True)
    assert 0 < second["gain"]["low"] <= second["gain"]["value"] <= second["gain"]["high"]


def test_rounds_answer_the_same_prompts_with_the_same_seeds(done: Path) -> None:
    def list_asked(number: int) -> list[tuple[str, int]]:
        files = sorted((done / f"rounds/{number:02d}/probe/samples").glob("*.parquet"))
        return [(row["id"], row["seed"]) for file in files for row in pq.read_table(file).to_pylist()]

    assert list_asked(0) == list_asked(1) != []


def test_shares_follow_from_the_diagnosis(done: Path) -> None:
    allotment = open_run(str(done / "rounds/01/run")).recipe.allocate
    assert allotment is not None
    assert (allotment.policy, allotment.diagnosis) == ("by_learnability", "one/rounds/00/diagnosis.yaml")


GRADED = {"evaluate": ["vqa"], "judge": {"name": "tests.helpers.judge"}, "train": {"detector": None}}


def test_a_judge_that_passes_nothing_measures_rounds_by_rewards_and_shares_follow_failure(here: Path) -> None:
    result = loop(**GRADED)
    assert result.stop == "the last round does not help", "this judge says the same of all"
    assert [each.whole.verdict for each in result.rounds] == ["graded", "graded"]
    allotment = open_run(str(here / "rounds/01/run")).recipe.allocate
    assert allotment is not None
    assert (allotment.policy, allotment.diagnosis) == ("by_failure", "one/rounds/00/diagnosis.yaml")


@pytest.mark.parametrize(
    ("wanted", "gain", "made"),
    [
        (None, 0.3, "by_learnability"),
        (None, None, "by_failure"),
        ({"policy": "by_learnability", "diagnosis": "x.yaml", "floor": 0.01}, None, "by_failure"),
        ({"policy": "by_cause", "diagnosis": "x.yaml", "causes": {"count": 1}, "cap": 0.5}, 0.3, "by_failure"),
        ({"policy": "by_failure", "diagnosis": "x.yaml", "smoothing": 2}, None, "by_failure"),
        ({"policy": "uniform", "floor": 0.01}, None, "uniform"),
    ],
)
def test_shares_follow_what_the_diagnosis_can_tell(
    here: Path, wanted: dict[str, Any] | None, gain: float | None, made: str
) -> None:
    plan = LoopPlan(make_recipe(loop_values(allocate=wanted)), here)
    found = round_recipe(plan, 2, 1, diagnosis(row("attributes/one_color/easy", 0.5, gain))).allocate
    assert found is not None
    file = str(here / "rounds/01/diagnosis.yaml") if made.startswith("by_") else None
    assert (found.policy, found.diagnosis, found.causes) == (made, file, {})
    kept = {key: (wanted or {}).get(key, default) for key, default in (("floor", 0), ("cap", 1), ("smoothing", 4))}
    assert {key: getattr(found, key) for key in kept} == kept


def test_a_round_may_be_larger_than_the_recipes_own_run(here: Path) -> None:
    recipe = make_recipe(loop_values(train={"prompts": 7, "candidates": 3}))
    made = round_recipe(LoopPlan(recipe, here), 1, 0)
    assert (made.prompts, made.candidates) == (7, 3)
    made = round_recipe(LoopPlan(make_recipe(loop_values()), here), 1, 0)
    assert (made.prompts, made.candidates) == (recipe.prompts, recipe.candidates)


def test_the_data_of_a_round_may_be_drawn_otherwise_than_the_model_is_measured(here: Path) -> None:
    result = loop(train={"backend": {"fails": 0.5}}, failure_limit=1)
    backends = [open_run(str(here / f"rounds/{name}")).recipe.backend.options for name in ("01/run", "01/probe")]
    assert [options.get("fails") for options in backends] == [0.5, None]
    assert backends[0]["wrong"] == backends[1]["wrong"] == 0.5
    assert "checkpoint" in backends[1]
    assert len(result.rounds) == 2


def test_the_page_says_what_is_kept_and_links_to_files_that_are_there(done: Path) -> None:
    import re

    page = (done / "loop.html").read_text()
    assert "Round 1 is kept" in page
    assert "unknown" not in page
    links = re.findall(r'href="(rounds/[^"]+)"', page)
    assert "rounds/01/run/report.html" in links
    assert all((done / link).is_file() for link in links)
    assert '<tr class="weakness"><th scope="row">attributes/one_color/easy' in page, "its skill has no row of its own"


def test_the_same_command_once_more_makes_nothing_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        raise AssertionError(f"{run.folder} is made again")

    monkeypatch.chdir(done.parent)
    before = hash_files(done, ".")
    loop(execute=refuse)
    assert hash_files(done, ".") == before


@pytest.mark.parametrize("stage", [1, 2])
def test_a_loop_stopped_between_steps_ends_with_the_same_bytes(done: Path, here: Path, stage: int) -> None:
    runner, calls = make_runner(0), []

    def stop(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        if len(calls) == stage:
            raise KeyboardInterrupt
        calls.append(run.folder.address)
        runner(run, jobs, ledger)

    with pytest.raises(KeyboardInterrupt):
        loop(execute=stop)
    loop()
    assert read_bytes(here) == read_bytes(done)
    assert count_trainings(here, 1) == 1


@pytest.mark.parametrize("stage", [1, 2])
def test_a_loop_that_is_moved_in_the_middle_of_a_step_goes_on(done: Path, here: Path, stage: int) -> None:
    runner, calls = make_runner(0), []

    def stop(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        last = len(calls) == stage
        calls.append(run.folder.address)
        runner(run, jobs[:1] if last else jobs, ledger)
        if last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(execute=stop)
    drawn = hash_files(here, "rounds")
    here.rename(here.with_name("moved"))
    result = loop(folder=str(here.with_name("moved")))
    assert (result.standing.best, len(result.rounds)) == (1, 2)
    found = hash_files(here.with_name("moved"), "rounds")
    kept = {name: value for name, value in drawn.items() if "/samples/" in name}
    assert kept
    assert kept.items() <= found.items(), "what was drawn stays"
    alone = {name: value for name, value in hash_files(done, "rounds").items() if "/run/scores/" in name}
    assert alone
    assert alone.items() <= found.items(), "and the rest is made as it would have been"


def test_a_round_that_does_not_help_ends_the_loop_and_the_first_model_stays(here: Path) -> None:
    result = loop("--wrong 0.5", rounds=3)
    assert (result.standing.best, result.stop, len(result.rounds)) == (0, "the last round does not help", 2)
    assert result.checkpoint is None
    assert not (here / "best").exists()


def test_patience_draws_fresh_prompts_and_mixes_in_earlier_rows(here: Path) -> None:
    loop("--wrong 0.5", rounds=2, patience=2, train={"replay": 0.5})
    runs = [open_run(str(here / f"rounds/{k:02d}/run")) for k in (1, 2)]
    assert runs[0].recipe.seed != runs[1].recipe.seed

    def list_ids(folder: str) -> list[str]:
        files = (here / "rounds" / folder / "data").glob("train-*.parquet")
        rows = (row for file in files for row in pq.read_table(file).to_pylist())
        return [row["id"] for row in rows if row["text_weight"] > 0 or row["image_weight"] > 0]

    first, second, mixed = (set(list_ids(name)) for name in ("01/run/dataset", "02/run/dataset", "02/data"))
    assert second < mixed <= first | second
    assert len(mixed - second) == min(len(first - second), len(second))

    from datasets import load_dataset

    assert set(load_dataset(str(here / "rounds/02/data"), split="train")["id"]) >= mixed, "datasets reads all files"


def test_a_trainer_that_fails_is_shown_and_runs_again(here: Path) -> None:
    marker = here.parent / "ready"
    script = here.parent / "train.sh"
    script.write_text(
        f'test -e "{marker}" || {{ echo "CUDA out of memory"; exit 3; }}\nmkdir -p "$2"; echo 0.0 > "$2/wrong"\n'
    )
    train = {"command": f"sh {script} {{dataset}} {{checkpoint}}"}
    with pytest.raises(RunError, match=r"exit code 3: .*CUDA out of memory"):
        loop(train=train, rounds=1)
    marker.touch()
    assert loop(train=train, rounds=1).standing.best == 1


def test_a_trainer_without_a_checkpoint_is_refused(here: Path) -> None:
    with pytest.raises(RunError, match="wrote no checkpoint"):
        loop(train={"command": "echo {dataset} {checkpoint}"})


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_loop_does_not_train_beside_its_own_trainer(here: Path) -> None:
    ready, log = here.parent / "ready", here / "rounds/01/train.log"
    (here.parent / "r.yaml").write_text(yaml.safe_dump(loop_values(f"--wait {ready}")))
    words = (
        "loop",
        "r.yaml",
        "--run",
        "one",
        "--rounds",
        "1",
        "--prompts",
        "12",
        "--candidates",
        "2",
        "--workers",
        "0",
    )
    first = subprocess.Popen(command(*words), env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: log.exists() and "trained on" in log.read_text())
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    refused = run_cli(*words)
    assert refused.returncode == 1
    assert "the trainer is still running" in refused.stdout + refused.stderr
    ready.touch()
    wait_until(lambda: (here / "rounds/01/checkpoint/wrong").exists())
    again = run_cli(*words)
    assert again.returncode == 0, again.stderr
    assert "loop.html" in again.stdout


def test_spent_hours_pause_the_loop_and_it_goes_on(here: Path) -> None:
    with pytest.raises(Paused, match=r"paused at --max-hours 0 in round 0"):
        loop(budget=Budget(hours=0))
    assert loop(rounds=1).standing.best == 1


def test_spent_money_pauses_the_loop_and_it_goes_on(here: Path) -> None:
    prices = {"backend": {"hour": 1e9}}
    with pytest.raises(Paused, match=r"paused at --max-cost 0.001 in round 0"):
        loop(budget=Budget(cost=0.001), prices=prices)
    assert loop(rounds=1, prices=prices).standing.best == 1


def test_a_trainer_is_told_where_to_start(here: Path) -> None:
    first = here.parent / "first"
    first.mkdir()
    (first / "wrong").write_text("0.6")
    script = here.parent / "train.sh"
    script.write_text('mkdir -p "$3"; echo "from $1"; echo "0.$((2 - $4))" > "$3/wrong"\n')
    train = {"command": f"sh {script} {{start}} {{dataset}} {{checkpoint}} {{round}}"}
    loop(train=train, rounds=2, backend={"checkpoint": str(first)})
    logs = [(here / f"rounds/{k:02d}/train.log").read_text().splitlines()[-1] for k in (1, 2)]
    assert logs == [f"from {first}", "from one/rounds/01/checkpoint"]


def test_a_later_call_with_fewer_rounds_or_less_patience_keeps_what_is_measured(here: Path) -> None:
    script = here.parent / "train.sh"
    script.write_text('mkdir -p "$2"; case $3 in 1) echo 0.6;; 2) echo 0.0;; esac > "$2/wrong"\n')
    changes = {"train": {"command": f"sh {script} {{dataset}} {{checkpoint}} {{round}}"}, "backend": {"wrong": 0.6}}
    first = loop(rounds=2, patience=2, **changes)
    assert (first.standing.best, first.stop) == (2, "all rounds are done: 2")
    files = hash_files(here, ".")
    again = loop(rounds=1, patience=1, **changes)
    assert (again.standing.best, again.stop, len(again.rounds)) == (2, "all rounds are done: 2", 3)
    assert (here / "best").resolve() == (here / "rounds/02/checkpoint").resolve()
    assert hash_files(here, ".") == files


def test_held_out_prompts_that_are_trained_on_do_not_count_as_a_gain(here: Path) -> None:
    loop(rounds=1, prompts=160, shard_prompts=64)

    def list_texts(name: str) -> list[str]:
        run = open_run(str(here / name))
        return [each.text for k in run.folder.list_shards("prompts") for each in run.folder.read_prompts(k)]

    asked, trained_on = list_texts("rounds/01/probe"), set(list_texts("rounds/01/run"))
    seen = sum(text in trained_on for text in asked)
    found = json.loads((here / "loop.json").read_text())["rounds"][1]
    assert found["seen"] == seen > 0
    assert found["gain"]["prompts"] <= len(asked) - seen


def test_a_held_out_prompt_is_trained_on_whatever_its_capitals_and_full_stops(here: Path) -> None:
    """Of two wordings each run keeps one, by its seed: all held-out prompts are trained on, and half looked new."""
    write_kitchen(here.parent, "A Photo of {{ many(n, object) }}.\n" + MANY)
    result = loop(taxonomy=["./kitchen.yaml"], rewards=["counting"], prompts=48)
    asked, trained_on = (read_texts(open_run(str(here / f"rounds/01/{name}"))) for name in ("probe", "run"))
    assert not {*asked.values()} <= {*trained_on.values()}
    words = {normalize(text) for text in trained_on.values()}
    assert result.rounds[1].seen == {name for name, text in asked.items() if normalize(text) in words} == {*asked}


def test_a_loop_that_cannot_compare_says_so_before_and_after(here: Path) -> None:
    write_kitchen(here.parent)
    said = list[str]()

    class Listening(Silent):
        def say(self, text: str, brief: str = "") -> None:
            said.append(text)

    recipe = make_recipe(loop_values(taxonomy=["./kitchen.yaml"], rewards=["counting"], prompts=48))
    plan = LoopPlan(recipe, here, prompts=32, candidates=2, rounds=3, patience=3)
    result = run_loop(plan, make_runner(0), Listening(), lambda _: None)
    assert "held-out prompts would be in no data of round 1, and it takes 10" in said[0]
    assert "too few held-out prompts are left to tell whether the last round helps: 0 are in" in result.stop
    assert (result.standing.best, len(result.rounds)) == (0, 2)
    assert json.loads((here / "loop.json").read_text())["rounds"][1]["helps"] is None
    page = (here / "loop.html").read_text()
    assert "The first model is kept." in page
    assert "Whether round 1 helps is unknown: 0 of the held-out prompts are in no round" in page
    (here.parent / "templates/few.j2").write_text("{{ many(n, object) }}\n")
    with pytest.raises(RunError, match=r"holds another loop; changed: the file few\.j2"):
        run_loop(plan, make_runner(0), Silent(), lambda _: None)


def test_a_model_that_no_longer_finishes_its_pictures_is_not_better(here: Path) -> None:
    """Of what it finishes 95 % are right, before it was half; but it finishes half."""
    result = loop("--wrong 0.05 --fails 0.5")
    first, second = result.rounds
    assert first.whole.pass_1 is not None
    assert second.whole.pass_1 is not None
    assert second.whole.pass_1.value < 0.6
    assert second.whole.unjudged == 0
    assert (result.standing.best, result.standing.helps(1)) == (0, False)


def test_what_a_server_did_not_answer_is_asked_again_before_it_is_measured_or_trained_on(here: Path) -> None:
    down = here.parent / "down"
    backend = {"wrong": 0.5, "down": str(down)}
    for place in ("rounds/00/probe", "rounds/01/run"):
        down.write_text("")
        with pytest.raises(RunError, match="samples not generated, since a model was not reached") as caught:
            loop(backend=backend)
        assert caught.value.hint == "when the model answers again, the same command goes on"
        assert place in str(caught.value)
        assert not (here / place).with_name("diagnosis.yaml").exists()
        assert not (here / place).with_name("trained.json").exists()
        down.unlink()
        if place == "rounds/00/probe":
            with pytest.raises(Paused):  # after the first model is measured
                loop(backend=backend, execute=once(make_runner(0)))
    result = loop(backend=backend)
    assert [each.whole.unjudged for each in result.rounds] == [0, 0]
    assert not any("unreached" in file.read_text() for file in (here / "rounds/01/run/failures").glob("*.jsonl"))
    assert len(list(read_texts(open_run(str(here / "rounds/01/run"))))) == 10


def once(execute: Any) -> Any:
    """A runner that works for the first run and pauses at the second."""
    runs: list[str] = []

    def run(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        runs.append(str(run.folder))
        if len(set(runs)) > 1:
            raise Paused("paused at --max-hours 1: nothing is done")
        execute(run, jobs, ledger)

    return run


def test_another_recipe_or_size_is_refused(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.parent)
    with pytest.raises(RunError, match=r"holds another loop; changed: seed"):
        loop(seed=9)


def test_a_loop_of_before_a_key_existed_goes_on(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.parent)
    file = done / "loop.yaml"
    noted = yaml.safe_load(before := file.read_text())
    del noted["recipe"]["train"]["backend"], noted["recipe"]["filter"], noted["files"], noted["makers"]
    try:
        file.write_text(yaml.safe_dump(noted))
        assert len(loop().rounds) == 2
        assert file.read_text() == before
        assert len(loop(failure_limit=0.5, license="mit").rounds) == 2, "they change no figure"
    finally:
        file.write_text(before)


def test_a_card_says_nothing_of_the_trainer() -> None:
    published = publish_recipe(recipe_of(train={"command": "/opt/ours/train.py {dataset} {checkpoint}"}))
    assert "train" not in yaml.safe_load(published)


def recipe_of(**changes: Any) -> Recipe:
    return make_recipe(loop_values(**changes))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"command": "t --data {dataset}"}, r"must hold \{checkpoint\}"),
        ({"command": "t {dataset} {checkpoint} {lr}"}, r"holds \{lr\}"),
        ({"command": "t {dataset} '{checkpoint}"}, "cannot be split"),
        ({"into": None}, "need each other"),
        ({"into": "seed"}, "into"),
        ({"steps": 3}, "embedded trainer"),
        ({"backend": {"name": "embedded"}}, "no `name`"),
    ],
)
def test_a_wrong_trainer_is_refused_as_the_recipe_is_read(train: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe_of(train=train)


@pytest.mark.parametrize(
    ("option", "said"), [("temprature", "no option 'temprature'"), ("temperature", "temperature: must")]
)
def test_a_wrong_option_of_what_draws_the_data_is_told_where_rounds_are_wanted(
    here: Path, option: str, said: str
) -> None:
    recipe = load_recipe("quickstart", [f"train.backend.{option}=-1"])  # for what else but a loop it does not matter
    with pytest.raises(ConfigError, match=rf"^train\.backend: .*{said}"):
        run_loop(LoopPlan(recipe, here), make_runner(0), Silent(), lambda _: None)
    assert not here.exists()
    file = here.parent / "mine.yaml"
    values = {"taxonomy": "counting", "train": {"backend": {option: -1}}}
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    ((where, what, _, severity),) = check_recipe(file)
    assert (where, severity) == ("train.backend", "error")
    assert said in what


def test_a_recipe_whose_rounds_draw_otherwise_takes_another_backend() -> None:
    recipe = load_recipe("quickstart", ["backend={name: gallery, images: a, model: b}"])
    assert recipe.train is not None
    assert recipe.train.backend == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"detector": "pictograms"}, "no judge that is independent"),
        ({"command": "no-such-program-here {dataset} {checkpoint}"}, "no such program"),
        ({"command": None, "into": None}, "has no trainer here"),
        ({"command": "echo {start} {dataset} {checkpoint}"}, "no backend.checkpoint"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(train: dict[str, Any], said: str, here: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        loop(train=train)
    assert not here.exists()


def test_a_judge_is_not_independent_of_itself_because_a_detector_changes(here: Path) -> None:
    judge = {"judge": {"name": "tests.helpers.judge"}}
    with pytest.raises(ConfigError, match="no judge that is independent"):
        loop(rewards=["vqa"], **judge)
    recipe = make_recipe(loop_values(rewards=["vqa", "counting", "plan"], **judge))
    assert probe_recipe(recipe, 4, 2, held_out=True).selecting == ["counting", "plan"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"allocate": {"policy": "by_failure", "diagnosis": "x.yaml", "floor": 0.9}}, "the floor can be at most 1/"),
        ({"allocate": {"policy": "by_learnability", "diagnosis": "x.yaml", "cap": 0.1}}, "cap must be at least 1/"),
        ({"allocate": {"policy": "manual", "shares": {"attribute": 1}}}, "did you mean 'attributes'"),
        ({"train": {"prompts": 10_000_000, "candidates": 256}}, "prompts x candidates"),
        ({"evaluate": ["vqa"]}, "asks a judge, but the recipe names none"),
    ],
)
def test_what_a_round_could_not_be_made_of_is_refused_before_anything_is_made(
    changes: dict[str, Any], said: str, here: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        loop(**changes)
    assert said in str(caught.value)
    assert not here.exists()


@pytest.mark.parametrize("changes", [{"mode": "reflect"}, {"images": {"format": "webp"}}])
def test_what_the_embedded_trainer_cannot_learn_is_refused(changes: dict[str, Any], here: Path) -> None:
    train = {"command": None, "into": None}
    with pytest.raises(ConfigError, match="the embedded trainer"):
        loop(train=train, backend={"name": "embedded"}, **changes)
    assert not here.exists()
