"""`datagen diagnose` from end to end with the instant backend: what it writes, that it resumes, and what follows."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.diagnose import dump_diagnosis, load_diagnosis
from datagen.errors import ConfigError, RunError
from datagen.pipeline import Silent, create_run, diagnose_run, estimate_run, open_run, plan_stage, probe_recipe
from datagen.records import Score
from tests.helpers.runs import SHARDS, build_here, hash_files, run_cli, small_recipe, small_values

LEVELS = {
    "counting/one_kind/easy", "counting/one_kind/medium", "counting/one_kind/hard",
    "counting/one_kind_colored/easy", "counting/one_kind_colored/medium", "counting/one_kind_colored/hard",
    "counting/two_kinds/medium", "counting/two_kinds/hard",
    "attributes/one_color/easy", "attributes/two_colors/medium", "attributes/three_colors/hard",
}  # fmt: skip


def write_recipe(folder: Path, **changes: object) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**small_values(**changes), "name": "tiny"}), encoding="utf-8")
    return path


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def diagnose(folder: Path, recipe: Path, *more: str) -> bytes:
    """Probe with 4 prompts of 3 candidates a level, and return the bytes of the diagnosis."""
    words = ("--prompts", "4", "--candidates", "3", "--run", str(folder / "probe"), *more)
    call("diagnose", recipe, *words, "--out", folder / "d.yaml")
    return (folder / "d.yaml").read_bytes()


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a probe and its diagnosis `d.yaml`."""
    folder = tmp_path_factory.mktemp("probed")
    diagnose(folder, write_recipe(folder, backend={"fails": 0.1}), "--workers", "0")
    return folder


def test_every_level_is_probed_alike(probed: Path) -> None:
    found = load_diagnosis(probed / "d.yaml")
    rows = {row.path: row for row in found.rows}
    assert {path for path in rows if path.count("/") == 2} == LEVELS
    assert set(rows) - LEVELS == {"counting/one_kind", "counting/one_kind_colored", "counting/two_kinds"}
    prompts = [prompt for shard in range(11) for prompt in open_run(str(probed / "probe")).folder.read_prompts(shard)]
    assert Counter(f"{prompt.path}/{prompt.level}" for prompt in prompts) == dict.fromkeys(LEVELS, 4)
    assert all(row.samples + row.unjudged == 12 for path, row in rows.items() if path in LEVELS)
    assert sum(row.unjudged for path, row in rows.items() if path in LEVELS) > 0
    made = found.made
    assert (made.source, made.prompts, made.candidates, made.recipe) == ("probe", 44, 3, "tiny-diagnosis")
    assert made.model == {"name": "tests.helpers.instant", "fails": 0.1}
    assert made.fingerprint == open_run(str(probed / "probe")).folder.read_notes()["fingerprint"]


def test_the_rates_are_those_of_the_stored_scores(probed: Path) -> None:
    run = open_run(str(probed / "probe"))
    shares: dict[str, list[float]] = {}
    for shard in range(11):
        prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard)}
        verdicts: dict[str, dict[str, list[bool]]] = {}
        for score in run.folder.read_scores(shard):
            if score.target == "image" and score.value is not None:
                prompt_id, _, candidate = score.sample_id.partition("-")
                verdicts.setdefault(prompt_id, {}).setdefault(candidate, []).append(bool(score.evidence["passed"]))
        for prompt_id, of_prompt in verdicts.items():
            path = f"{prompts[prompt_id].path}/{prompts[prompt_id].level}"
            shares.setdefault(path, []).append(sum(map(all, of_prompt.values())) / len(of_prompt))
    for row in load_diagnosis(probed / "d.yaml").rows:
        if row.path in LEVELS:
            assert row.pass_1 is not None
            assert row.pass_1.value == pytest.approx(sum(shares[row.path]) / len(shares[row.path]), abs=6e-5)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_torn_probe_goes_on_and_ends_the_same(probed: Path, tmp_path: Path, workers: str) -> None:
    recipe, rng = write_recipe(tmp_path, backend={"fails": 0.1}), random.Random(int(workers))
    first = diagnose(tmp_path, recipe, "--workers", workers)
    for shard in rng.sample(range(11), 4):
        (tmp_path / f"probe/scores/{shard:05d}.jsonl").unlink()
        (tmp_path / f"probe/samples/{shard:05d}.parquet").unlink()
    assert diagnose(tmp_path, recipe, "--workers", "0") == first
    assert hash_files(tmp_path / "probe", *SHARDS) == hash_files(probed / "probe", *SHARDS)
    mine, other = (yaml.safe_load((folder / "d.yaml").read_text()) for folder in (tmp_path, probed))
    assert {**mine["made"], "run": ""} == {**other["made"], "run": ""}
    assert mine["rows"] == other["rows"]


def test_a_scored_run_can_be_diagnosed_for_nothing(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    shown = call("diagnose", "--results", tmp_path / "run")
    assert "attributes/one_color/easy" in shown
    made = load_diagnosis(tmp_path / "run/diagnosis.yaml").made
    assert (made.source, made.prompts, made.candidates, made.run) == ("run", 10, 2, str(run.folder))


def test_a_probe_is_drawn_apart_from_the_run_itself() -> None:
    recipe = small_recipe(seed=7)
    probe = probe_recipe(recipe, 4, 3)
    assert (probe.prompts, probe.candidates, probe.name) == (44, 3, "small-diagnosis")
    assert probe.seed not in (0, 7)
    assert probe.seed != probe_recipe(small_recipe(seed=8), 4).seed
    assert probe_recipe(small_recipe(allocate={"policy": "manual", "shares": {"counting": 1}}), 4, 3).prompts == 44
    with pytest.raises(ConfigError, match="at least two candidates per prompt"):
        probe_recipe(small_recipe(candidates=1), 4)


def test_another_probe_in_the_same_folder_is_refused(probed: Path) -> None:
    recipe = write_recipe(probed, backend={"fails": 0.1})
    with pytest.raises(RunError, match="prompts: 44 -> 55"):
        call("diagnose", recipe, "--prompts", "5", "--candidates", "3", "--run", probed / "probe")


def count_levels(folder: Path) -> Counter[str]:
    run = open_run(str(folder))
    prompts = [prompt for shard in run.folder.list_shards("prompts") for prompt in run.folder.read_prompts(shard)]
    return Counter(f"{prompt.path}/{prompt.level}" for prompt in prompts)


def test_a_diagnosis_becomes_the_shares_of_a_run(probed: Path, tmp_path: Path) -> None:
    allocate = {"policy": "by_failure", "diagnosis": str(probed / "d.yaml"), "floor": 0.03, "cap": 0.2}
    recipe = small_recipe(allocate=allocate, prompts=200)
    allotment = estimate_run(recipe, probe=False, workers=0).allotment
    assert allotment is not None
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    counts = count_levels(tmp_path / "run")
    assert sum(counts.values()) == 200
    for share in allotment.shares:
        assert 0.03 <= share.share <= 0.2
        assert abs(counts[share.path] - share.share * 200) < 1.0001, share
    again = create_run(recipe, str(tmp_path / "again"))
    plan_stage(again, Silent())
    assert hash_files(tmp_path / "run", "prompts") == hash_files(tmp_path / "again", "prompts")


def test_a_share_of_nothing_is_no_prompt(tmp_path: Path) -> None:
    shares = {"counting/two_kinds/hard": 3, "attributes/one_color": 1}
    recipe = small_recipe(allocate={"policy": "manual", "shares": shares}, prompts=40)
    plan_stage(create_run(recipe, str(tmp_path)), Silent())
    assert count_levels(tmp_path) == {"counting/two_kinds/hard": 30, "attributes/one_color/easy": 10}


def test_causes_are_shares_of_the_judged_samples(probed: Path) -> None:
    run = open_run(str(probed / "probe"))
    shares: dict[str, list[float]] = {}
    for shard in range(11):
        prompts = {prompt.id: prompt for prompt in run.folder.read_prompts(shard)}
        found: dict[str, list[list[Score]]] = {}
        for _, scores in groupby(run.folder.read_scores(shard), key=lambda score: score.sample_id):
            given = list(scores)
            found.setdefault(given[0].sample_id.partition("-")[0], []).append(given)
        for name, samples in found.items():
            fails = [any("missing" in score.evidence.get("causes", {}).values() for score in each) for each in samples]
            shares.setdefault(f"{prompts[name].path}/{prompts[name].level}", []).append(sum(fails) / len(fails))
    rows = {row.path: row.causes for row in load_diagnosis(probed / "d.yaml").rows}
    for path, each in shares.items():
        assert (rows[path] or {}).get("missing", 0.0) == pytest.approx(sum(each) / len(each), abs=1e-4)
    assert any(rows.values())


def test_causes_of_samples_that_were_not_judged_do_not_count(tmp_path: Path) -> None:
    """A judge denies every image; of half of them another scorer fails, so that they have no reward and no verdict."""
    judge = {"name": "tests.helpers.judge", "says": "No"}
    rewards = ["vqa", "tests.helpers.breaks_on_odd"]
    recipe = small_recipe(taxonomy=["counting"], rewards=rewards, judge=judge, prompts=4, candidates=4)
    run, _ = build_here(recipe, tmp_path)
    rows = diagnose_run(run).rows
    assert [row.causes for row in rows] == [{"denied": 1.0}] * len(rows)
    assert [row.samples for row in rows] == [row.unjudged for row in rows]


def test_two_diagnoses_show_how_causes_moved(probed: Path, tmp_path: Path) -> None:
    now = load_diagnosis(probed / "d.yaml")
    row = next(row for row in now.rows if row.causes)
    cause, share = next(iter((row.causes or {}).items()))
    earlier = row.model_copy(update={"causes": {cause: max(0.0, share - 0.25)}})
    older = now.model_copy(update={"rows": [earlier if each is row else each for each in now.rows]})
    (tmp_path / "before.yaml").write_text(dump_diagnosis(older), encoding="utf-8")
    words = ("--results", probed / "probe", "--out", tmp_path / "now.yaml", "--before", tmp_path / "before.yaml")
    told = call("diagnose", *words)
    assert f"{share:.2f} ({min(0.25, share):+.2f})" in told
    assert (tmp_path / "now.yaml").read_bytes() != b""


def test_a_run_of_before_there_were_causes_still_gives_a_diagnosis(probed: Path, tmp_path: Path) -> None:
    shutil.copytree(probed / "probe", tmp_path / "old")
    for file in (tmp_path / "old/scores").glob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            line["evidence"].pop("causes", None)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    told = call("diagnose", "--results", tmp_path / "old", "--out", tmp_path / "d.yaml")
    assert "why images fail was not recorded" in told
    rows = load_diagnosis(tmp_path / "d.yaml").rows
    assert all(row.causes is None or row.causes == {} for row in rows)


def test_prompts_are_the_same_ones_with_and_without_shares(tmp_path: Path) -> None:
    found = []
    for name, more in (("plain", {}), ("shared", {"allocate": {"policy": "uniform"}})):
        run = create_run(small_recipe(prompts=30, **more), str(tmp_path / name))
        plan_stage(run, Silent())
        found.append({prompt.id for k in run.folder.list_shards("prompts") for prompt in run.folder.read_prompts(k)})
    plain, shared = found
    assert len(plain & shared) >= 15  # each level begins with the same items; only how many differs


def test_a_run_follows_the_file_that_it_began_with(probed: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    file.write_bytes((probed / "d.yaml").read_bytes())
    recipe = small_recipe(allocate={"policy": "by_failure", "diagnosis": str(file)})
    build_here(recipe, tmp_path / "run")
    create_run(recipe, str(tmp_path / "run"))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("verdict: weak", "verdict: unclear") + "\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"the file .*d\.yaml"):
        create_run(recipe, str(tmp_path / "run"))


def test_from_a_shell(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    done = run_cli("diagnose", recipe, "--prompts", "3", "--workers", "0", "--set", "candidates=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = "outputs/tiny-diagnosis/diagnosis.yaml"
    assert f"written to {file}" in done.stdout
    assert "unclear: " in done.stdout
    change = f"allocate={{policy: by_learnability, diagnosis: {file}, floor: 0.01}}"
    plan = run_cli("plan", recipe, "--no-probe", "--set", change, cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert "allocate: by_learnability" in plan.stdout
    assert "counting/two_kinds/hard" in plan.stdout
    built = run_cli("build", recipe, "--workers", "0", "--set", change, cwd=tmp_path)
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["diagnose", "{recipe}", "--results", "no_such_run"], "no such run"),
        (["diagnose", "--results", "gone.csv"], "gone.csv: no such file"),
        (["diagnose", "--results", "{empty}"], "the file is empty"),
        (["diagnose", "{recipe}", "--set", "candidates=1"], "add --candidates 4"),
        (["plan", "{recipe}", "--no-probe", "--set", "allocate.policy=by_failure"], "needs `diagnosis:`"),
        (["plan", "{recipe}", "--no-probe", "--set", "allocate={policy: uniform, floor: 0.5}"], "at most 1/11"),
    ],
)
def test_what_stops_it_is_one_message(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty.csv").touch()
    names = {"recipe": str(write_recipe(tmp_path)), "empty": str(tmp_path / "empty.csv")}
    done = run_cli(*(word.format(**names) if "policy" not in word else word for word in words), cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_path_of_a_diagnosis_is_looked_for_beside_the_recipe(probed: Path, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/d.yaml").write_bytes((probed / "d.yaml").read_bytes())
    recipe = write_recipe(tmp_path / "recipes", allocate={"policy": "by_failure", "diagnosis": "./d.yaml"})
    done = run_cli("plan", recipe, "--no-probe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "allocate: by_failure" in done.stdout
