"""What a person says of samples: it is kept, heeded by weights and exports, and taken back."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from datagen import api
from datagen.cli import app
from datagen.config import Policy
from datagen.errors import ConfigError, RunError
from datagen.pipeline import Run, find_stale, open_run, read_weights
from datagen.pipeline.review import FILE, Review, ReviewedError, read_reviews, rejected_of, write_review
from datagen.pipeline.views import read_scored
from datagen.studio.table import SampleTable
from datagen.weighting import RewardRow, weigh
from datagen.weighting.weights import describe_reasons
from tests.helpers.runs import build_here, hash_files, small_recipe

REJECT = Review("rejected", "six fingers")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "run"
    build_here(small_recipe(candidates=3, backend={"wrong": 0.4}, weights={"policy": "best"}), folder)
    return folder


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Run:
    shutil.copytree(built, tmp_path / "run")
    return open_run(str(tmp_path / "run"))


def weights_of(run: Run) -> dict[str, float]:
    return {weight.sample_id: weight.image_weight for weight in read_weights(run).weights}


def winner(run: Run) -> str:
    return next(sample_id for sample_id, weight in weights_of(run).items() if weight > 0)


COLUMNS = ["id", "kept", "left_out", "image_weight", "image_reward", "receipt"]


def exported(run: Run) -> dict[str, dict[str, object]]:
    api.open_run(run.folder.address).export()
    rows = [
        row
        for file in (run.folder.local_path / "dataset/data").glob("*.parquet")
        for row in pq.read_table(file, columns=COLUMNS).to_pylist()
    ]
    return {row["id"]: row for row in rows}


def test_a_rejected_sample_weighs_nothing_keeps_its_reward_and_the_next_best_takes_its_place(run: Run) -> None:
    rows = [
        RewardRow(f"p-{k:02d}", "p", "w", "s", 1.0, reward, passed=True) for k, reward in enumerate((0.9, 0.8, 0.1))
    ]
    policy = Policy(policy="best")
    before, after = (weigh(rows, policy, rejected) for rejected in ((), {"p-00"}))
    assert [weight.image_weight > 0 for weight in before] == [True, False, False]
    assert [weight.image_weight > 0 for weight in after] == [False, True, False]
    assert after[0].reason == "text: rejected by a person; image: rejected by a person"
    assert not after[0].kept
    assert [weight.left_out for weight in after] == ["rejected by a person", "", ""]


def test_joined_before_or_after_what_is_left_out_is_in_no_mean_of_its_group(tmp_path: Path) -> None:
    """Of one scorer both are the same advantage, also where shards are read in another order."""
    policy = {"policy": "advantage", "normalize": "none", "clip": None}
    repeats = {"images": None, "texts": 0.3}
    values = {"rewards": ["counting"], "aggregate": {"image": "mean"}, "weights": policy, "deduplicate": repeats}
    run, _ = build_here(small_recipe(candidates=4, **values), tmp_path)
    write_review(run, winner(run), REJECT, "")
    after = read_weights(run).weights
    run = open_run(run.folder.address, ["weights.join=before"])
    before = {weight.sample_id: weight for weight in read_weights(run).weights}
    assert {weight.left_out for weight in after} == {"", *describe_reasons(run.policy)[-2:]}
    groups = {weight.sample_id[:-3] for weight in after if weight.left_out}
    assert any(weight.kept and weight.sample_id[:-3] in groups for weight in after)
    wanted = pytest.approx([weight.image_weight for weight in after])
    assert [before[weight.sample_id].image_weight for weight in after] == wanted
    table = SampleTable(list(run.recipe.scorers))
    for shard in (2, 0, 1):
        table.add(run, shard, read_scored(run, shard))
    table.weigh(run, rejected_of(read_reviews(run)))
    assert {weight.sample_id: weight for weight in table.snapshot().weights or ()} == before


@pytest.mark.parametrize("policy", ["uniform", "best", "advantage", "rwr", "rank", "threshold"])
@pytest.mark.parametrize("modalities", ["separate", "shared"])
def test_no_policy_gives_a_rejected_sample_a_weight(policy: str, modalities: str) -> None:
    rows = [RewardRow(f"p-{k:02d}", "p", "w", "s", 1.0, k / 4, passed=True) for k in range(4)]
    made = weigh(rows, Policy.model_validate({"policy": policy, "modalities": modalities}), {"p-03"})
    assert (made[3].text_weight, made[3].image_weight, made[3].kept) == (0.0, 0.0, False)


def test_the_dataset_heeds_it_and_the_card_counts_it(run: Run) -> None:
    sample_id = winner(run)
    reward = exported(run)[sample_id]["image_reward"]
    write_review(run, sample_id, REJECT, "")
    row = exported(run)[sample_id]
    assert (row["kept"], row["image_weight"], row["image_reward"]) == (False, 0.0, reward)
    assert "rejected by a person" in str(row["receipt"])
    assert [each["id"] for each in exported(run).values() if each["left_out"]] == [sample_id]
    assert row["left_out"] == "rejected by a person"
    card = (run.folder.local_path / "dataset/README.md").read_text(encoding="utf-8")
    assert "Reviewed by a person: 1 rejected, 1 commented." in card


VIEWS = ("pairs", "graded", "trajectories", "pieces", "directions", "repairs", "judgements", "t2i_r1")


def test_no_view_has_a_rejected_sample_nor_its_reward(run: Run) -> None:
    def export(view: str) -> list[str]:
        folder = api.open_run(run.folder.address).export(view=view)
        return [line for file in sorted(folder.glob("*.jsonl")) for line in file.open(encoding="utf-8")]

    def count_rewards(lines: list[str]) -> int:
        return sum(len(json.loads(json.loads(line)["facts"])["rewards"]) for line in lines)

    before = {view: export(view) for view in VIEWS}
    sample_id = json.loads(json.loads(before["pairs"][0])["facts"])["chosen_id"]
    assert all(any(sample_id in line for line in before[view]) for view in VIEWS[:6])
    write_review(run, sample_id, REJECT, "")
    exported(run)
    after = {view: export(view) for view in VIEWS}
    assert not [line for lines in after.values() for line in lines if sample_id in line]
    assert count_rewards(after["t2i_r1"]) == count_rewards(before["t2i_r1"]) - 1


def test_what_was_made_before_is_stale_and_taking_it_back_gives_the_same_bytes(run: Run) -> None:
    exported(run)
    before = hash_files(run.folder.local_path, "dataset")
    sample_id = winner(run)
    write_review(run, sample_id, REJECT, "")
    assert "reviewed" in find_stale(run)["dataset"]
    exported(run)
    assert find_stale(run)["dataset"] == ""
    write_review(run, sample_id, Review(), REJECT.version)
    assert read_reviews(run) == {}
    exported(run)
    assert hash_files(run.folder.local_path, "dataset") == before


def test_the_order_of_marks_and_their_times_leave_no_trace(run: Run) -> None:
    first, second = list(weights_of(run))[:2]
    write_review(run, first, REJECT, "")
    write_review(run, second, Review("accepted"), "")
    exported(run)
    before = hash_files(run.folder.local_path, "dataset")
    (run.folder.local_path / FILE).unlink()
    write_review(run, second, Review("accepted"), "")
    write_review(run, first, REJECT, "")
    exported(run)
    assert hash_files(run.folder.local_path, "dataset") == before


def test_an_accepted_sample_weighs_what_its_scores_say(run: Run) -> None:
    before = weights_of(run)
    write_review(run, next(iter(before)), Review("accepted", "fine"), "")
    assert weights_of(run) == before


def test_what_another_tab_said_meanwhile_is_not_lost(run: Run) -> None:
    sample_id = winner(run)
    write_review(run, sample_id, Review("", "theirs"), "")
    with pytest.raises(ReviewedError) as raised:
        write_review(run, sample_id, Review("", "mine"), "")
    assert raised.value.now == Review("", "theirs")
    assert read_reviews(run) == {sample_id: Review("", "theirs")}


def test_marks_from_many_sides_at_once_are_all_kept(run: Run) -> None:
    ids = list(weights_of(run))
    sides = [
        threading.Thread(target=write_review, args=(open_run(run.folder.address), key, Review("", key), ""))
        for key in ids
    ]
    for side in sides:
        side.start()
    for side in sides:
        side.join()
    assert read_reviews(run) == {key: Review("", key) for key in ids}


def test_marks_on_the_samples_of_another_recipe_do_not_count(run: Run) -> None:
    write_review(run, winner(run), REJECT, "")
    file = run.folder.local_path / FILE
    line = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**line, "made_by": "0" * 16}) + "\n", encoding="utf-8")
    assert read_reviews(run) == {}


@pytest.mark.parametrize(
    "damage", ['{"id": "x"', '{"id": "x"}\n', "[]\n", "\n", '{"id":1,"mark":"","comment":"","made_by":""}\n']
)
def test_a_damaged_line_is_named_and_nothing_is_weighed(run: Run, damage: str) -> None:
    write_review(run, winner(run), REJECT, "")
    with (run.folder.local_path / FILE).open("a", encoding="utf-8") as file:
        file.write(damage)
    with pytest.raises(RunError) as raised:
        read_weights(run)
    assert raised.value.where.endswith(f"{FILE}:2")


def test_a_damaged_line_is_named_before_a_run_grows(run: Run) -> None:
    folder = run.folder.local_path
    (folder / FILE).write_text("no review\n", encoding="utf-8")
    before = hash_files(folder, "run.yaml", "prompts", "samples", "scores")
    with pytest.raises(RunError, match=rf"{FILE}:1: damaged"):
        api.build(run.recipe.set(candidates=4), run=folder, workers=0)
    assert hash_files(folder, "run.yaml", "prompts", "samples", "scores") == before
    assert not (folder / ".growing").exists()


@pytest.mark.parametrize("review", [Review("perfect"), Review("", "x" * 5000)])
def test_what_is_no_review_is_refused(run: Run, review: Review) -> None:
    with pytest.raises(ConfigError):
        write_review(run, winner(run), review, "")
    assert not (run.folder.local_path / FILE).exists()


def test_status_counts_it(run: Run) -> None:
    write_review(run, winner(run), REJECT, "")
    result = CliRunner().invoke(app, ["status", run.folder.address, "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["review"] == {"accepted": 0, "rejected": 1, "commented": 1}
    assert "1 rejected, 1 commented" in CliRunner().invoke(app, ["status", run.folder.address]).stdout
