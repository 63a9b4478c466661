"""The pipeline with the instant backend: what it writes, what it refuses, what it survives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from datagen.config import make_recipe
from datagen.errors import BackendError, ConfigError, DatagenError, PluginError, RunError, TooManyFailures
from datagen.expressions import normalise
from datagen.pipeline import (
    Silent,
    create_run,
    estimate_run,
    export_run,
    find_sample,
    make_again,
    open_run,
    plan_stage,
    read_status,
    rescore_run,
    run_jobs,
    run_shard,
    weigh_run,
)
from datagen.pipeline import find_jobs as look_for_jobs
from datagen.pipeline.shards import group_scores
from datagen.runners.local import make_runner
from datagen.scoring.verdicts import find_causes
from tests.helpers.runs import SHARDS, Listener, build_here, hash_files, small_recipe, small_values

HERE = make_runner(0)
BAD_SCORER = """
from datagen.records import Verdict
TARGET = "image"
JUDGES = frozenset()
CALLS = []
def score(prompt, sample, tools):
    CALLS.append(sample.id)
    if len(CALLS) == 1:
        raise ZeroDivisionError(f"this one {object()}\\nimage")
    if len(CALLS) == 2:
        return Verdict(1.5, "too good")
    if len(CALLS) == 3:
        return 0.5
    if len(CALLS) == 4:
        return Verdict(0.5, "odd", {"a": {1, 2}})
    if len(CALLS) == 5:
        return Verdict(float("nan"), "nan")
    return Verdict(1.0, "fine")
"""


def test_a_build_makes_every_file(tmp_path: Path) -> None:
    run, result = build_here(small_recipe(), tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    expected = [".lock", "dataset", "log.txt", "report.html", "run.yaml", "usage.json", *SHARDS]
    assert names == sorted(set(expected) - {".lock"})
    assert [run.folder.list_shards(stage) for stage in SHARDS] == [[0, 1, 2]] * 4
    assert len(result.weighed.rows) == 20
    assert sum(result.dataset.rows.values()) == 20
    status = read_status(run)
    assert (status.samples, status.planned_samples, status.failed, status.damaged) == (20, 20, 0, [])
    assert status.dataset
    assert status.report
    samples = [sample for shard in range(3) for sample in run.folder.read_samples(shard)]
    assert len({sample.seed for sample in samples}) == 20


def test_the_dataset_loads_without_our_code(tmp_path: Path) -> None:
    from datasets import load_dataset

    build_here(small_recipe(validation_share=0.5), tmp_path / "run")
    splits = load_dataset(str(tmp_path / "run/dataset"), cache_dir=str(tmp_path / "cache"))
    prompts = [set(split["prompt_id"]) for split in splits.values()]
    assert sum(len(split) for split in splits.values()) == 20
    assert set.intersection(*prompts) == set()


def test_the_dataset_says_why_images_fail(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path)
    scores = group_scores(score for shard in range(3) for score in run.folder.read_scores(shard))
    rows = [row for file in (tmp_path / "dataset").rglob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(rows) == 20
    for row in rows:
        assert row["causes"] == find_causes(scores[row["id"]])
        assert bool(row["causes"]) == (row["passed"] is False)
    assert {cause for row in rows for cause in row["causes"]} <= {"missing", "count", "color"}
    assert any(row["causes"] for row in rows)


def test_scorers_are_normalised_before_they_are_joined_if_the_recipe_says_so(tmp_path: Path) -> None:
    weights = {"policy": "advantage", "join": "before", "normalize": "none", "clip": None}
    recipe = small_recipe(candidates=4, aggregate={"image": "mean"}, weights=weights)
    build_here(recipe, tmp_path)
    rows = [row for file in (tmp_path / "dataset").rglob("*.parquet") for row in pq.read_table(file).to_pylist()]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["group_id"], []).append(row)
    assert sum(row["image_weight"] > 0 for row in rows) > 5
    for group in groups.values():
        columns = [normalise([row[f"reward_{name}"] for row in group]) for name in ("counting", "attribute")]
        for row, values in zip(group, zip(*columns, strict=True), strict=True):
            known = [value for value in values if value is not None]
            assert row["image_weight"] == pytest.approx(max(0.0, sum(known) / len(known)), abs=1e-8)
    assert json.loads(rows[0]["receipt"])["policy"]["join"] == "before"


def test_what_cannot_be_joined_before_is_said_before_anything_is_made(tmp_path: Path) -> None:
    recipe = small_recipe(weights={"policy": "advantage", "join": "before"})
    with pytest.raises(ConfigError, match="adds normalised rewards, and 'product' is no sum"):
        build_here(recipe, tmp_path)
    assert not list(tmp_path.rglob("samples/*"))


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path)
    before = {path: path.stat().st_mtime_ns for stage in SHARDS for path in (tmp_path / stage).iterdir()}
    build_here(small_recipe(), tmp_path)
    assert {path: path.stat().st_mtime_ns for stage in SHARDS for path in (tmp_path / stage).iterdir()} == before


def test_shards_do_not_depend_on_order_or_on_each_other(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "a")
    run = create_run(small_recipe(), str(tmp_path / "b"))
    plan_stage(run, Silent())
    for job in reversed(look_for_jobs(run, "both", Silent()).jobs):
        run_shard(run, job)
    assert hash_files(tmp_path / "a", *SHARDS) == hash_files(tmp_path / "b", *SHARDS)


def test_stages_one_by_one_give_what_build_gives(tmp_path: Path) -> None:
    build_here(small_recipe(backend={"fails": 0.2}), tmp_path / "a")
    run = create_run(small_recipe(backend={"fails": 0.2}), str(tmp_path / "b"))
    plan_stage(run, Silent())
    run_jobs(run, "generate", HERE, Silent())
    assert run.folder.list_shards("scores") == []
    with pytest.raises(RunError, match="3 of 3 shards have no scores"):
        weigh_run(run, Silent())
    run_jobs(run, "score", HERE, Silent())
    export_run(run, weigh_run(run, Silent()), Silent())
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "a", *parts) == hash_files(tmp_path / "b", *parts)


@pytest.mark.parametrize("stage", SHARDS)
def test_a_damaged_shard_is_made_again(tmp_path: Path, stage: str) -> None:
    run, _ = build_here(small_recipe(backend={"fails": 0.3}), tmp_path)
    before = hash_files(tmp_path, *SHARDS, "dataset")
    path = next(path for path in sorted((tmp_path / stage).iterdir()) if path.stat().st_size)
    path.write_bytes(path.read_bytes()[:-4])
    assert read_status(run).damaged == [f"{path}: {read_status(run).damaged[0].split(': ')[1]}"]
    listener = Listener()
    build_here(small_recipe(backend={"fails": 0.3}), tmp_path, listener)
    assert any(str(path) in line and "damaged" in line for line in listener.said)
    assert hash_files(tmp_path, *SHARDS, "dataset") == before


def test_a_missing_shard_alone_is_made_again(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path)
    before = hash_files(tmp_path, *SHARDS, "dataset")
    for name in ("prompts/00001.jsonl", "samples/00002.parquet", "scores/00000.jsonl"):
        (tmp_path / name).unlink()
    build_here(small_recipe(), tmp_path)
    assert hash_files(tmp_path, *SHARDS, "dataset") == before


def test_another_recipe_is_refused_with_a_command_that_works(tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    build_here(small_recipe(), folder)
    with pytest.raises(RunError) as caught:
        create_run(small_recipe(candidates=3, backend={"wrong": 0.9}), folder, "datagen build mine.yaml")
    assert "candidates: 2 -> 3" in caught.value.what
    assert "backend.wrong: None -> 0.9" in caught.value.what
    assert caught.value.hint == f"start another run:  datagen build mine.yaml --run {folder}-2"
    with pytest.raises(RunError, match=f"datagen score {folder}"):
        create_run(small_recipe(rewards=["counting"]), folder)


def test_a_changed_taxonomy_file_is_another_recipe(tmp_path: Path) -> None:
    from datagen.plugins import shipped_path

    own = tmp_path / "own.yaml"
    text = shipped_path("taxonomies", "counting.yaml").read_text(encoding="utf-8")
    own.write_text(text, encoding="utf-8")
    build_here(small_recipe(taxonomy=[str(own)]), tmp_path / "run")
    create_run(small_recipe(taxonomy=[str(own)]), str(tmp_path / "run"))
    own.write_text(text.replace("share: 0.5", "share: 0.4"), encoding="utf-8")
    with pytest.raises(RunError, match=r"the file .*own\.yaml"):
        create_run(small_recipe(taxonomy=[str(own)]), str(tmp_path / "run"))


def test_weights_change_in_place(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path)
    before = hash_files(tmp_path, *SHARDS)
    run, result = build_here(small_recipe(weights={"policy": "best"}), tmp_path)
    assert run.policy.policy == "best"
    assert any(weight.image_weight == 0 for weight in result.weighed.weights)
    assert hash_files(tmp_path, *SHARDS) == before
    weigh_run(open_run(str(tmp_path), ["weights.policy=uniform"]), Silent())
    assert open_run(str(tmp_path)).policy.policy == "uniform"
    halves = weigh_run(open_run(str(tmp_path), ["aggregate.image=0.5*counting + 0.5*attribute"]), Silent())
    alone = weigh_run(open_run(str(tmp_path), ["aggregate.by_weakness.attributes.image=attribute"]), Silent())
    assert {row.image for row in halves.rows} >= {0.5}
    assert [row.image for row in alone.rows] != [row.image for row in halves.rows]
    with pytest.raises(ConfigError, match="candidates cannot change"):
        open_run(str(tmp_path), ["candidates=9"])


def test_scoring_anew_with_other_scorers(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "a")
    run = rescore_run(str(tmp_path / "a"), ["rewards=[counting]"], False, HERE, Silent())
    assert {score.name for score in run.folder.read_scores(0)} == {"counting"}
    build_here(small_recipe(rewards=["counting"]), tmp_path / "a")
    build_here(small_recipe(rewards=["counting"]), tmp_path / "b")
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "a", *parts) == hash_files(tmp_path / "b", *parts)


def test_a_scorer_that_evaluates_is_scored_exported_and_reported_but_weighs_nothing(tmp_path: Path) -> None:
    _, alone = build_here(small_recipe(rewards=["counting", "plan"]), tmp_path / "a")
    run, held = build_here(small_recipe(rewards=["counting", "plan"], evaluate=["attribute"]), tmp_path / "b")
    assert list(held.weighed.weights) == list(alone.weighed.weights)
    assert {score.name for score in run.folder.read_scores(0)} == {"counting", "plan", "attribute"}
    rows = load_dataset(str(tmp_path / "b" / "dataset"), split="train")
    assert any(value is not None for value in rows["reward_attribute"])
    assert rows["passed"] == load_dataset(str(tmp_path / "a" / "dataset"), split="train")["passed"]
    pages = {name: (tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("a", "b")}
    said = {name: "evaluates only" in page.partition("<script")[0] for name, page in pages.items()}
    assert said == {"a": False, "b": True}


def test_a_judge_that_selects_and_evaluates_is_refused_unless_it_is_said(tmp_path: Path) -> None:
    both = {"rewards": ["counting"], "evaluate": ["counting"]}
    with pytest.raises(ConfigError, match="counting would both select and evaluate the samples"):
        small_recipe(**both)
    run, _ = build_here(small_recipe(**both, same_judge=True), tmp_path)
    assert {score.name for score in run.folder.read_scores(0)} == {"counting"}


def test_what_a_scorer_raises_is_recorded_and_counts_as_unscored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad_scorer_of_a_user.py").write_text(BAD_SCORER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = small_recipe(rewards=["counting", "bad_scorer_of_a_user.nothing"])
    with pytest.raises(PluginError, match="cannot be imported"):
        create_run(recipe, str(tmp_path / "run"))
    package = tmp_path / "userpkg"
    package.mkdir()
    (package / "bad.py").write_text(BAD_SCORER, encoding="utf-8")
    run, result = build_here(small_recipe(rewards=["counting", "userpkg.bad"]), tmp_path / "run")
    failures = [failure for shard in range(3) for failure in run.folder.read_failures(shard)]
    assert [failure.stage for failure in failures] == ["score"] * 5
    assert failures[0].error == "userpkg.bad: ZeroDivisionError: this one <object object>", "no place in memory"
    assert failures[0].detail.startswith("userpkg.bad:")
    assert "not in [0, 1]" in failures[1].error
    scores = [score for score in run.folder.read_scores(0) if score.name == "userpkg.bad"]
    assert [score.value for score in scores[:6]] == [None] * 5 + [1.0]
    assert "failed: ZeroDivisionError" in scores[0].reason
    assert len(result.weighed.rows) == 20


DAMAGES = """
from dataclasses import replace
from datagen.records import Sample
from tests.helpers import instant
class Damaging:
    name, lexicon = "damages", "pictograms"
    def __init__(self, options):
        self.engine = instant.build(options)
    def generate(self, requests):
        for number, sample in enumerate(self.engine.generate(requests)):
            *texts, picture = sample.segments
            image = [b"not an image", picture.image[:-40], b"", picture.image][number % 4]
            yield replace(sample, segments=(*texts, replace(picture, image=image)))
build = Damaging
"""


def test_an_image_that_is_none_is_a_failed_sample_and_stops_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "userbackends").mkdir()
    (tmp_path / "userbackends" / "damages.py").write_text(DAMAGES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    run, result = build_here(small_recipe(backend={"name": "userbackends.damages"}), tmp_path / "run")
    failures = [failure for shard in range(3) for failure in run.folder.read_failures(shard)]
    assert {failure.stage for failure in failures} == {"generate"}
    assert len(failures) == 15
    assert any("not a picture: it begins with b'not an image'" in failure.error for failure in failures)
    assert any("cut off" in failure.error for failure in failures)
    assert len(result.weighed.rows) == 5 == len(load_dataset(str(tmp_path / "run" / "dataset"))["train"])


def test_too_many_failures_stop_the_run_and_keep_its_shards(tmp_path: Path) -> None:
    recipe = small_recipe(prompts=40, candidates=5, backend={"fails": 0.6}, failure_limit=0.3)
    with pytest.raises(TooManyFailures, match=r"the recipe allows 30\.0%"):
        build_here(recipe, tmp_path)
    kept = hash_files(tmp_path, "samples")
    assert 0 < len(kept) < 10
    on = small_recipe(prompts=40, candidates=5, backend={"fails": 0.6}, failure_limit=1.0)
    run, _ = build_here(on, tmp_path)
    assert kept.items() <= hash_files(tmp_path, "samples").items()
    failure = run.folder.read_failures(0)[0]
    found = find_sample(run, f"{failure.prompt_id}-{failure.candidate:02d}")
    assert found.sample is None
    assert found.failures == [failure]
    with pytest.raises(RunError, match="does not switch"):
        make_again(run, found)


def test_a_model_that_breaks_down_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="RuntimeError: the device fell off the bus"):
        build_here(small_recipe(backend={"breaks": True}), tmp_path)
    with pytest.raises(PluginError, match=r"'tests\.helpers\.instant' cannot be built: TypeError"):
        build_here(small_recipe(backend={"nonsense": True}), tmp_path / "other")


def test_a_sample_is_found_and_made_again_bit_for_bit(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path)
    sample = run.folder.read_samples(1)[3]
    found = find_sample(run, sample.id)
    assert found.sample == sample
    assert len(found.scores) == 3
    assert make_again(run, found) == []
    assert make_again(open_run(str(tmp_path)), find_sample(run, f"{sample.prompt_id[:10]}-{sample.candidate}")) == []
    with pytest.raises(RunError, match=f"2 samples begin with .*\nchoose one: {sample.prompt_id}-00, "):
        find_sample(run, sample.prompt_id[:10])
    other = create_run(small_recipe(backend={"wrong": 1.0}), str(tmp_path / "other"))
    assert "settings" in " ".join(make_again(other, found))
    for word in ("zzzz", f"{sample.prompt_id}-99", f"{sample.prompt_id}-x"):
        with pytest.raises(RunError, match="no sample"):
            find_sample(run, word)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"backend": {"name": "embeded"}}, "did you mean 'embedded'"),
        ({"rewards": ["countin"]}, "did you mean 'counting'"),
        ({"detector": "pictogram"}, "did you mean 'pictograms'"),
        ({"weights": {"betta": 1}}, "did you mean 'beta'"),
        ({"weights": {"policy": "bestest"}}, "policy"),
        ({"aggregate": {"image": "0.5*countin"}}, "did you mean 'counting'"),
        ({"aggregate": {"by_weakness": {"countng": {"image": "counting"}}}}, "did you mean 'counting'"),
        ({"taxonomy": ["countin"]}, "did you mean 'counting'"),
        ({"lexicon": "pictogramz"}, "did you mean 'pictograms'"),
        ({"contamination": ["none.jsonl"]}, "none.jsonl"),
    ],
)
def test_words_that_name_nothing_are_refused_before_anything_is_made(
    tmp_path: Path, changes: dict[str, object], what: str
) -> None:
    with pytest.raises(DatagenError) as caught:
        create_run(make_recipe({**small_values(), **changes}), str(tmp_path / "run"))
    assert what in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_benchmark_prompts_are_refused_and_counted(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "a")
    refused = run.folder.read_prompts(0)[0].text
    (tmp_path / "bench.jsonl").write_text(json.dumps({"prompt": refused.upper()}) + "\n", encoding="utf-8")
    guarded, _ = build_here(small_recipe(contamination=[str(tmp_path / "bench.jsonl")]), tmp_path / "b")
    assert guarded.read_plan()["contaminated"] >= 1
    assert refused not in [prompt.text for shard in range(3) for prompt in guarded.folder.read_prompts(shard)]


def test_a_run_on_an_object_store(tmp_path: Path) -> None:
    import fsspec

    _, _ = build_here(small_recipe(), tmp_path / "run")
    build_here(small_recipe(), "memory://bucket/run")
    store = fsspec.filesystem("memory")
    for stage in SHARDS:
        for path in (tmp_path / "run" / stage).iterdir():
            assert store.cat_file(f"/bucket/run/{stage}/{path.name}") == path.read_bytes()
    assert store.exists("/bucket/run/dataset/README.md")
    assert store.exists("/bucket/run/report.html")


def test_an_estimate_counts_and_measures() -> None:
    plain = estimate_run(small_recipe(), probe=False, workers=1)
    assert (plain.prompts, plain.samples, plain.shards, plain.seconds) == (10, 20, 3, None)
    assert sum(plain.places.values()) == 10
    probed = estimate_run(small_recipe(), probe=True, workers=1)
    assert probed.probed == 20
    assert probed.seconds is not None
    assert probed.seconds > 0
    assert probed.disk_bytes is not None
    assert probed.disk_bytes > 20 * 500
