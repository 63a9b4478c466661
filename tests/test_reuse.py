"""A run takes along from another what it would make just so, and a recipe that asks for more lets its run grow."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import Recipe
from datagen.errors import Paused, RunError
from datagen.pipeline import (
    Budget,
    Run,
    Silent,
    build_run,
    create_run,
    open_build,
    plan_stage,
    read_weights,
    rescore_run,
    run_jobs,
)
from datagen.pipeline.review import Review, read_reviews, write_review
from datagen.runners.local import make_runner
from datagen.store import RunFolder
from tests.helpers import instant
from tests.helpers.dying import grow_dying
from tests.helpers.runs import (
    SHARDS,
    Listener,
    build_here,
    command,
    environment,
    hash_files,
    run_cli,
    small_recipe,
    small_values,
)

ALL = (*SHARDS, "dataset")


def build(
    recipe: Recipe, folder: Path | str, reuse: Path | str | None = None, watch: Silent | None = None, **limits: Any
) -> Run:
    """As `datagen build`, in this process."""
    watch = watch or Silent()
    run = open_build(recipe, str(folder), "datagen build mine.yaml", watch, reuse=str(reuse) if reuse else None)
    build_run(run, make_runner(0), watch, Budget(**limits))
    return run


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Content, inode and time of every file of a run."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_ino,
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


FAILING = {"fails": 0.2}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "more prompts": ({"prompts": 14}, "20 of 28 samples from"),
    "fewer prompts": ({"prompts": 7}, "14 of 14 samples from"),
    "more candidates": ({"candidates": 3}, "20 of 30 samples from"),
    "other shards": ({"shard_prompts": 3}, "20 of 20 samples from"),
    "another skill": ({"taxonomy": ["counting", "attributes", "spatial"]}, " of 20 samples from"),
    "other scorers": ({"rewards": ["counting", "attribute"]}, "20 of 20 samples from"),
}


@pytest.mark.parametrize(("changes", "told"), CHANGES.values(), ids=CHANGES)
def test_a_run_that_takes_along_ends_like_one_built_from_nothing(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    build_here(small_recipe(), tmp_path / "before")
    before, listener = state_of(tmp_path / "before"), Listener()
    build(small_recipe(**changes), tmp_path / "run", tmp_path / "before", listener)
    assert any(told in line for line in listener.said), listener.said
    build_here(small_recipe(**changes), tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)
    assert state_of(tmp_path / "before") == before


def test_failures_of_the_model_are_answers_and_come_along(tmp_path: Path) -> None:
    values: dict[str, Any] = {"prompts": 12, "backend": FAILING}
    build_here(small_recipe(**values), tmp_path / "before")
    assert list((tmp_path / "before" / "failures").glob("*.jsonl"))
    recipe = small_recipe(**{**values, "shard_prompts": 5})
    run = open_build(recipe, str(tmp_path / "run"), "datagen build", Silent(), reuse=str(tmp_path / "before"))
    build_run(run, refuse_drawing, Silent())
    build_here(recipe, tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


def refuse_drawing(run: Run, jobs: Any, ledger: Any) -> None:
    """A runner that only scores."""
    assert not any(job.draw for job in jobs)
    make_runner(0)(run, jobs, ledger)


def test_scores_come_along_unless_scorers_or_candidates_of_a_comparing_scorer_differ(tmp_path: Path) -> None:
    rewards = ["counting", "near_duplicate"]
    build_here(small_recipe(rewards=rewards), tmp_path / "before")
    told = {}
    for name, changes in {
        "same": {"prompts": 14, "rewards": rewards},
        "candidates": {"candidates": 3, "rewards": rewards},
        "scorers": {"prompts": 14, "rewards": ["counting"]},
    }.items():
        told[name] = Listener()
        build(small_recipe(**changes), tmp_path / name, tmp_path / "before", told[name])
        build_here(small_recipe(**changes), tmp_path / f"{name}-fresh")
        assert hash_files(tmp_path / name, *ALL) == hash_files(tmp_path / f"{name}-fresh", *ALL)
    scored = {name: next(line for line in each.said if "samples from" in line) for name, each in told.items()}
    assert "20 of them with their scores" in scored["same"]
    assert " 0 of them with their scores" in scored["candidates"]
    assert " 0 of them with their scores" in scored["scorers"]


@pytest.mark.parametrize("adapt", [{"start": 2, "by": ["counting"]}, {"start": 3, "by": ["counting"]}, None])
def test_with_adapt_only_candidates_that_the_recipe_asks_for_are_taken(
    adapt: dict[str, Any] | None, tmp_path: Path
) -> None:
    adapting = {"candidates": 4, "adapt": {"start": 2, "by": ["counting"]}}
    build_here(small_recipe(**adapting), tmp_path / "before")
    recipe = small_recipe(candidates=5, adapt=adapt, prompts=12)
    build(recipe, tmp_path / "run", tmp_path / "before")
    build_here(recipe, tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


def test_answers_of_shards_in_flight_come_along(tmp_path: Path) -> None:
    with pytest.raises(Paused):
        build(small_recipe(), tmp_path / "before", samples=3)
    assert list((tmp_path / "before" / "samples").glob("*.parts"))
    listener = Listener()
    build(small_recipe(prompts=14), tmp_path / "run", tmp_path / "before", listener)
    assert any(line.startswith("3 of 28 samples") for line in listener.said)
    build_here(small_recipe(prompts=14), tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


@pytest.mark.parametrize(
    ("work", "looked"),
    [
        ("finished", "list_open"),
        ("finished", "list_parts"),
        ("scored otherwise", "list_parts"),
        ("begun anew", "list_parts"),
    ],
)
def test_a_run_that_is_at_work_is_taken_from_as_it_is_then(
    work: str, looked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "before"
    if work == "finished":
        with pytest.raises(Paused):
            build(small_recipe(), before, samples=5)
    else:
        build(small_recipe(), before)

    def go_on() -> None:
        if work == "finished":
            build(small_recipe(), before)
        elif work == "scored otherwise":
            rescore_run(str(before), ["rewards=[counting]"], False, make_runner(0), Silent())
        else:
            (before / "scores" / "00000.jsonl").unlink()
            (before / "samples" / "00000.parquet").unlink()

    look, moments = getattr(RunFolder, looked), iter([go_on])

    def look_and_go_on(folder: RunFolder, *shard: int) -> Any:
        found = look(folder, *shard)
        if folder.address == str(before):
            next(moments, lambda: None)()
        return found

    monkeypatch.setattr(RunFolder, looked, look_and_go_on)
    listener = Listener()
    build(small_recipe(prompts=14), tmp_path / "run", before, listener)
    samples = 12 if work == "begun anew" else 20
    scored = {"finished": 20, "scored otherwise": 0, "begun anew": 12}[work]
    told = f"{samples} of 28 samples from {before}, {scored} of them with their scores"
    assert [line for line in listener.said if "samples from" in line] == [told]
    build_here(small_recipe(prompts=14), tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


def test_scores_come_along_also_where_samples_are_there_already(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "before")
    recipe = small_recipe(prompts=14)
    run = open_build(recipe, str(tmp_path / "run"), "datagen build", Silent())
    plan_stage(run, Silent())
    run_jobs(run, "generate", make_runner(0), Silent())
    listener = Listener()
    build(recipe, tmp_path / "run", tmp_path / "before", listener)
    assert any("28 of 28 samples" in line and "20 of them with their scores" in line for line in listener.said)
    build_here(recipe, tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


@pytest.mark.parametrize("changes", [{}, {"prompts": 14}], ids=["same recipe", "more prompts"])
def test_scores_of_another_picture_of_the_same_sample_do_not_come_along(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a model that draws otherwise the second time."""
    build_here(small_recipe(), tmp_path / "before")
    recipe = small_recipe(**changes)
    monkeypatch.setattr(instant, "_spoil", lambda scene, rng: scene)
    build_here(recipe, tmp_path / "fresh")
    run = open_build(recipe, str(tmp_path / "run"), "datagen build", Silent())
    plan_stage(run, Silent())
    run_jobs(run, "generate", make_runner(0), Silent())
    build(recipe, tmp_path / "run", tmp_path / "before")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


def test_the_shipped_model_draws_only_what_is_new(tmp_path: Path) -> None:
    values = {"taxonomy": ["counting"], "candidates": 2, "shard_prompts": 4, "rewards": ["counting"], "name": "own"}
    old, new = (Recipe.load({**values, "prompts": prompts}) for prompts in (4, 6))
    build_here(old, tmp_path / "before")
    listener = Listener()
    build(new, tmp_path / "run", tmp_path / "before", listener)
    assert any(line.startswith("8 of 12 samples") for line in listener.said)
    build_here(new, tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [({"seed": 3}, "seed"), ({"mode": "direct"}, "mode"), ({"backend": {"wrong": 0.1}}, "backend")],
)
def test_a_run_of_which_nothing_can_be_taken_is_refused(changes: dict[str, Any], differs: str, tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "before")
    with pytest.raises(RunError, match=f"none of its samples can be taken; other: {differs}"):
        build(small_recipe(**changes), tmp_path / "run", tmp_path / "before")


def test_a_run_that_cannot_be_compared_is_refused_in_one_line(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "before")
    notes = yaml.safe_load((tmp_path / "before" / "run.yaml").read_text())
    for changes, said in (
        ({"recipe": {**notes["recipe"], "version": 2}}, "version 2"),
        ({"recipe": {**notes["recipe"], "later": 1}}, "its recipe cannot be compared: .*later"),
        ({"makers": None}, "does not say which modules"),
        ({"growing": notes["marks"]}, "is being grown"),
    ):
        kept = {key: value for key, value in {**notes, **changes}.items() if value is not None}
        (tmp_path / "before" / "run.yaml").write_text(yaml.safe_dump(kept))
        with pytest.raises(RunError, match=said) as caught:
            build(small_recipe(prompts=14), tmp_path / "run", tmp_path / "before")
        assert "\n" not in caught.value.what
    with pytest.raises(RunError, match="is being grown"):
        create_run(small_recipe(), str(tmp_path / "before"))


def test_a_run_is_not_taken_from_itself(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    with pytest.raises(RunError, match="is the run itself"):
        build(small_recipe(), tmp_path / "run", tmp_path / "run")
    open_build(small_recipe(), "memory://run", "", Silent())
    with pytest.raises(RunError, match="is the run itself"):
        open_build(small_recipe(), "memory://run", "", Silent(), reuse="memory://run/")


def test_a_run_that_is_gone_before_it_was_taken_from_is_told(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "before")
    open_build(small_recipe(prompts=14), str(tmp_path / "run"), "", Silent(), reuse=str(tmp_path / "before"))
    shutil.rmtree(tmp_path / "before")
    with pytest.raises(RunError, match="is gone, and samples were to be taken from it"):
        build_here(small_recipe(prompts=14), tmp_path / "run")


def test_the_command_tells_what_it_takes(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    assert run_cli("build", recipe, "--run", tmp_path / "before").returncode == 0
    words = ("build", recipe, "--set", "prompts=7", "--run")
    refused = run_cli(*words, tmp_path / "before")
    assert refused.returncode == 1
    assert f"--reuse {tmp_path}/before" in "".join(refused.stderr.split("\n")).replace("│", "").replace(
        " ", ""
    ).replace("--reuse", "--reuse ")
    taken = run_cli(*words, tmp_path / "run", "--reuse", tmp_path / "before")
    assert taken.returncode == 0, taken.stderr
    assert "14 of 14 samples from" in taken.stderr


# ── Growing in place ───────────────────────────────────────────────────────────────────────────────────────────────


GROWTH: dict[str, dict[str, Any]] = {
    "prompts": {"prompts": 14},
    "candidates": {"candidates": 3},
    "a skill": {"taxonomy": ["counting", "attributes", "spatial"], "prompts": 20},
    "prompts with failures": {"prompts": 14, "backend": FAILING},
    "shards": {"shard_prompts": 3},
}


@pytest.mark.parametrize("changes", GROWTH.values(), ids=GROWTH)
def test_a_run_grows_in_its_folder(changes: dict[str, Any], tmp_path: Path) -> None:
    backend = {"backend": changes["backend"]} if "backend" in changes else {}
    build_here(small_recipe(**backend), tmp_path / "run")
    listener = Listener()
    build(small_recipe(**changes), tmp_path / "run", watch=listener)
    assert any(" samples from " in line for line in listener.said), listener.said
    build_here(small_recipe(**changes), tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *ALL) == hash_files(tmp_path / "fresh", *ALL)
    assert not (tmp_path / "run" / ".growing").exists()
    notes = [yaml.safe_load((tmp_path / name / "run.yaml").read_text()) for name in ("run", "fresh")]
    assert notes[0] == notes[1]


def test_a_run_that_would_lose_samples_does_not_grow(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    before = hash_files(tmp_path / "run", *ALL)
    with pytest.raises(RunError, match="growing would lose 3 of the 10 prompts with samples") as caught:
        build(small_recipe(prompts=7), tmp_path / "run")
    assert f"--run {tmp_path}/run-2 --reuse {tmp_path}/run" in caught.value.hint
    with pytest.raises(RunError, match="changed: candidates: 2 -> 1") as caught:
        build(small_recipe(candidates=1), tmp_path / "run")
    assert f"--reuse {tmp_path}/run --run {tmp_path}/run-2" in caught.value.hint
    assert hash_files(tmp_path / "run", *ALL) == before
    build(small_recipe(), tmp_path / "run")
    assert hash_files(tmp_path / "run", *ALL) == before
    assert not (tmp_path / "run" / ".growing").exists()


def test_an_export_that_was_added_to_a_run_grows_with_it(tmp_path: Path) -> None:
    from datagen.pipeline import reexport_run

    build_here(small_recipe(), tmp_path / "run")
    reexport_run(str(tmp_path / "run"), Silent(), view="pieces")
    build(small_recipe(prompts=14), tmp_path / "run")
    build_here(small_recipe(prompts=14), tmp_path / "fresh")
    reexport_run(str(tmp_path / "fresh"), Silent(), view="pieces")
    parts = (*SHARDS, "exports")
    assert hash_files(tmp_path / "run", *parts) == hash_files(tmp_path / "fresh", *parts)


def test_what_a_person_said_of_samples_stays_when_their_run_grows(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    first, second = [weight.sample_id for weight in read_weights(run).weights][:2]
    write_review(run, first, Review("rejected", "six fingers"), "")
    write_review(run, second, Review("", "odd"), "")
    write_review(run, second, Review(), Review("", "odd").version)
    for prompts in (14, 18):
        run = build(small_recipe(prompts=prompts), tmp_path / "run")
        assert read_reviews(run) == {first: Review("rejected", "six fingers")}
    assert next(weight for weight in read_weights(run).weights if weight.sample_id == first).image_weight == 0


def test_growth_that_dies_before_any_change_of_the_disk_goes_on(tmp_path: Path) -> None:
    folder, more = tmp_path / "run", small_recipe(prompts=6, shard_prompts=4)
    run, _ = build_here(small_recipe(prompts=4, shard_prompts=2), folder)
    said = {read_weights(run).weights[0].sample_id: Review("rejected", "six fingers")}
    for sample_id, review in said.items():
        write_review(run, sample_id, review, "")
    grown, told = grow_dying(more, str(folder))
    assert list(dict.fromkeys(told)) == ["4 prompts", "is being grown", "6 prompts"]
    assert told.count("is being grown") > 6
    assert not (folder / ".growing").exists()
    assert read_reviews(grown) == said
    build(more, folder)
    with pytest.raises(RunError, match="was removed while its files were taken"):
        grown.folder.replace_stage(RunFolder(tmp_path / "none"), "samples")
    build_here(more, tmp_path / "fresh")
    assert hash_files(folder, *SHARDS) == hash_files(tmp_path / "fresh", *SHARDS)


@pytest.mark.parametrize("way", ["reuse", "growth"])
def test_killed_in_the_middle_it_ends_the_same(way: str, tmp_path: Path) -> None:
    path, folder = tmp_path / "mine.yaml", tmp_path / "run"
    slow = {"prompts": 12, "candidates": 2, "backend": {"delay": 0.02, "fails": 0.1}}
    path.write_text(yaml.safe_dump(small_values(**slow)), encoding="utf-8")
    before = folder if way == "growth" else tmp_path / "before"
    assert run_cli("build", path, "--run", before).returncode == 0
    more = small_values(**{**slow, "prompts": 40})
    path.write_text(yaml.safe_dump(more), encoding="utf-8")
    words = ["build", path, "--run", folder, *(["--reuse", before] if way == "reuse" else [])]
    process = subprocess.Popen(command(*words), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while process.poll() is None and len(list(folder.glob("samples/*.parquet"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    last = run_cli(*words)
    assert last.returncode == 0, last.stderr
    build_here(small_recipe(**{**slow, "prompts": 40}), tmp_path / "fresh")
    assert hash_files(folder, *ALL) == hash_files(tmp_path / "fresh", *ALL)
    assert not list(folder.rglob("*.taken.jsonl"))
    assert not list(folder.glob("samples/*.parts"))
