"""Pictures that exist, through the whole pipeline: found, grouped, judged, weighed; refused when they changed."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from datagen.backends import dataset
from datagen.config import Recipe, make_recipe
from datagen.embedded.pictograms import render_scene
from datagen.embedded.world import lay_out
from datagen.errors import BackendError, ConfigError, RunError
from datagen.pictures import encode_png
from datagen.pipeline import Run, build_run, create_run, estimate_run, examine_recipe, list_warnings, open_build
from datagen.prompts.templated import plan_prompts
from datagen.records import Prompt, Request, seed_of
from datagen.runners.local import make_runner
from datagen.sources import find_places
from datagen.taxonomy import load_taxonomy
from tests.helpers.hub_server import HubServer
from tests.helpers.runs import SHARDS, Listener, build_here, command, environment, hash_files, run_cli

PROMPTS = list(plan_prompts(load_taxonomy(["counting", "attributes"], "pictograms"), 8, 3))


def paint(prompt: Prompt, turn: int = 0) -> bytes:
    """A true picture of what a prompt claims, drawn by the world and by no model."""
    return encode_png(render_scene(lay_out(prompt.claims, Random(seed_of(prompt.id, turn)))))


def list_rows(folder: Path) -> list[dict[str, Any]]:
    """Eight prompts with one to three pictures each, in no order; the first picture of the second prompt is wrong."""
    rows = []
    for k, prompt in enumerate(PROMPTS):
        for turn in range(1 + k % 3):
            name = f"{k}-{turn}.png"
            shown = PROMPTS[0] if (k, turn) == (1, 0) else prompt
            (folder / name).write_bytes(paint(shown, turn))
            claims = [claim.to_dict() for claim in prompt.claims]
            rows.append({"file_name": name, "text": prompt.text, "claims": claims, "skill": prompt.path})
    Random(1).shuffle(rows)
    return rows


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures with metadata.jsonl."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = map(json.dumps, list_rows(folder))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def recipe_of(source: Path | str, rewards: tuple[str, ...] = ("counting", "attribute"), **options: Any) -> Recipe:
    values = {"backend": {"name": "dataset", "source": str(source), **options}, "shard_prompts": 3}
    return make_recipe({**values, "rewards": list(rewards), "name": "found"})


def test_rows_of_one_prompt_are_its_candidates_and_are_judged(photos: Path, tmp_path: Path) -> None:
    run, built = build_here(recipe_of(photos), tmp_path / "run")
    prompts = [prompt for shard in range(3) for prompt in run.folder.read_prompts(shard)]
    assert {(p.text, p.claims, p.path) for p in prompts} == {(p.text, p.claims, p.path) for p in PROMPTS}
    assert sorted(len(find_places(prompt)) for prompt in prompts) == [1, 1, 1, 2, 2, 2, 3, 3]
    verdicts = {row.sample_id: row.passed for row in built.weighed.rows}
    wrong = next(prompt for prompt in prompts if prompt.text == PROMPTS[1].text)
    assert len(verdicts) == 15
    assert [verdicts[f"{wrong.id}-{k:02d}"] for k in range(2)].count(False) == 1
    assert sum(verdict is True for verdict in verdicts.values()) == 14
    weights = {weight.sample_id: weight.image_weight for weight in built.weighed.weights}
    assert min(weights, key=weights.__getitem__) in (f"{wrong.id}-00", f"{wrong.id}-01")
    stored = {sample.segments[-1].image for shard in range(3) for sample in run.folder.iter_samples(shard)}
    assert stored == {path.read_bytes() for path in photos.glob("*.png")}


def test_fewer_prompts_and_candidates_are_taken_if_the_recipe_says_so(photos: Path, tmp_path: Path) -> None:
    few = make_recipe({**recipe_of(photos).to_dict(), "prompts": 4, "candidates": 2})
    run, built = build_here(few, tmp_path / "run")
    assert run.read_plan()["prompts"] == 4
    assert all(row.sample_id.endswith(("-00", "-01")) for row in built.weighed.rows)
    estimate = estimate_run(few, probe=False, workers=1)
    assert (estimate.prompts, estimate.samples) == (4, len(built.weighed.rows))


def write_csv(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "claims": json.dumps(row["claims"])} for row in rows)
    return path


def write_parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "tables").mkdir()
    told = [
        {**row, "claims": json.dumps(row["claims"]), "image": {"bytes": (folder / row["file_name"]).read_bytes()}}
        for row in rows
    ]
    for number, part in enumerate((told[:6], told[6:])):
        pq.write_table(pa.Table.from_pylist(part), folder / f"tables/{number}.parquet", row_group_size=2)
    return folder / "tables"


def write_arrow(folder: Path, rows: list[dict[str, Any]]) -> Path:
    from datasets import Dataset, Features, Image, Value

    told = [
        {
            "caption": row["text"],
            "skill": row["skill"],
            "claims": json.dumps(row["claims"]),
            "image": str(folder / row["file_name"]),
        }
        for row in rows
    ]
    features = Features({name: Value("string") for name in ("caption", "skill", "claims")} | {"image": Image()})
    columns = {name: [row[name] for row in told] for name in told[0]}
    Dataset.from_dict(columns, features=features).save_to_disk(str(folder / "saved"))
    return folder / "saved"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_arrow])
def test_every_kind_of_source_makes_the_same_samples(photos: Path, tmp_path: Path, write: Any) -> None:
    rows = [json.loads(line) for line in (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    elsewhere = write(photos, rows)
    options = {"root": str(photos)} if write is write_arrow else {}

    def build(source: Path, name: str, **options: Any) -> dict[str, tuple[float | None, float]]:
        built = build_here(recipe_of(source, **options), tmp_path / name)[1].weighed
        pairs = zip(built.rows, built.weights, strict=True)
        return {row.sample_id: (row.image, weight.image_weight) for row, weight in pairs}

    assert build(elsewhere, "other", **options) == build(photos / "metadata.jsonl", "lines")


def test_a_dataset_that_was_exported_can_be_scored_anew(photos: Path, tmp_path: Path) -> None:
    _, first = build_here(recipe_of(photos), tmp_path / "run")
    _, second = build_here(recipe_of(tmp_path / "run/dataset"), tmp_path / "again")
    rewards = {(row.group, row.image) for row in first.weighed.rows}
    assert {(row.group, row.image) for row in second.weighed.rows} == rewards


def test_captions_beside_pictures_are_prompts_without_claims(photos: Path, tmp_path: Path) -> None:
    (photos / "metadata.jsonl").unlink()
    for k in range(3):
        (photos / f"{k}-0.txt").write_text(f"{PROMPTS[k].text}\n", encoding="utf-8")
    recipe = recipe_of(photos, rewards=("counting", "sharpness"))
    run, built = build_here(recipe, tmp_path / "run")
    prompts = [prompt for shard in range(run.read_plan()["shards"]) for prompt in run.folder.read_prompts(shard)]
    assert [(prompt.text, prompt.claims) for prompt in prompts] == [(prompt.text, ()) for prompt in PROMPTS[:3]]
    assert [row.image is not None for row in built.weighed.rows] == [True] * 3
    said = dict(list_warnings(run))["rewards"]
    assert said.startswith("100 % of prompts have no claims, so they get no value by counting; sharpness judge")
    blind = [what for _, what in list_warnings(Run(recipe_of(photos), "check"))]
    assert any("they weigh nothing: add a judge of the whole prompt, such as vqa" in what for what in blind)


def test_a_source_that_changed_is_refused_by_name(photos: Path, tmp_path: Path) -> None:
    recipe = recipe_of(photos)
    build_here(recipe, tmp_path / "run")
    (photos / "0-0.png").write_bytes(paint(PROMPTS[3]) + b"\0")
    with pytest.raises(RunError, match=r"holds a run of another recipe; changed: the file .*photos"):
        create_run(recipe, str(tmp_path / "run"))


def test_a_row_that_changed_under_a_run_stops_it(photos: Path, tmp_path: Path) -> None:
    run, _ = build_here(recipe_of(photos), tmp_path / "run")
    prompt = run.folder.read_prompts(0)[0]
    lines = (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    (photos / "metadata.jsonl").write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    backend = dataset.build({"source": str(photos)})
    with pytest.raises((BackendError, ConfigError)):
        list(backend.generate([Request(prompt, 0, 1, "direct")]))


def test_pictures_that_are_gone_damaged_or_outside_are_failures(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(paint(PROMPTS[0]))
    (photos / "inside.png").symlink_to(tmp_path / "secret.png")
    (photos / "bad.png").write_bytes(b"no picture")
    names = ["../secret.png", str(tmp_path / "secret.png"), "inside.png", "gone.png", "bad.png", "0-0.png", None]
    rows = [{"image": name, "prompt": f"picture number {k}"} for k, name in enumerate(names)]
    (tmp_path / "photos/rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = make_recipe({**recipe_of(photos / "rows.jsonl", ("sharpness",)).to_dict(), "failure_limit": 1.0})
    run, built = build_here(recipe, tmp_path / "run")
    failures = [each for shard in range(run.read_plan()["shards"]) for each in run.folder.read_failures(shard)]
    assert len(built.weighed.rows) == 1
    assert sum("is outside of its folder" in each.error for each in failures) == 3
    assert sum("there is no picture 'gone.png'" in each.error for each in failures) == 1
    assert sum("the row has no picture" in each.error for each in failures) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "a", "image": "b.png", "claims": [{"kind": "cuont"}]}', "rows.jsonl:2, claim 1: unknown kind"),
        ('{"prompt": "a", "image": "b.png", "claims": ["count(star)"]}', "rows.jsonl:2, claim 1"),
        ('{"prompt": "a", "image": "b.png", "claims": ["count(star, many)"]}', "rows.jsonl:2, claim 1"),
        ('{"prompt": "a", "image": "b.png", "claims": 3}', "rows.jsonl:2: claims are a list, not 3"),
        ('{"prompt": ["a"], "image": "b.png"}', "rows.jsonl:2: the prompt is no text"),
        ('{"prompt": "a", "image": "b.png"', "rows.jsonl:2: not JSON"),
        ('["a"]', "rows.jsonl:2: a line holds an object"),
    ],
)
def test_what_is_wrong_in_a_row_is_said_at_its_line(tmp_path: Path, line: str, said: str) -> None:
    good = '{"prompt": "three stars", "image": "a.png", "claims": ["count(star, 3)"]}'
    (tmp_path / "rows.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        estimate_run(recipe_of(tmp_path / "rows.jsonl"), probe=False, workers=1)
    assert str(caught.value).startswith(said)


def test_a_column_or_a_source_that_is_not_there_is_refused_before_the_run(photos: Path, tmp_path: Path) -> None:
    for options, said in (({"prompt": "capton"}, "has no column 'capton'"), ({"image": "picture"}, "for `image`")):
        with pytest.raises(ConfigError, match=said):
            create_run(recipe_of(photos, **options), str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="there is nothing"):
        create_run(recipe_of(tmp_path / "none"), str(tmp_path / "run"))


def test_a_dataset_and_a_taxonomy_do_not_go_together() -> None:
    values = {"backend": {"name": "dataset", "source": "photos"}}
    for key, value in (("taxonomy", ["counting"]), ("expand", {}), ("adapt", {"start": 2, "by": ["counting"]})):
        with pytest.raises(ConfigError, match=key):
            make_recipe({**values, key: value})


def test_killed_in_the_middle_it_ends_the_same(photos: Path, tmp_path: Path) -> None:
    values = {**recipe_of(photos).to_dict(), "shard_prompts": 1}
    (tmp_path / "found.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    words = ("build", tmp_path / "found.yaml", "--workers", "0", "--run")
    assert run_cli(*words, tmp_path / "whole").returncode == 0
    process = subprocess.Popen(command(*words, tmp_path / "torn"), env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "torn/scores").glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run_cli(*words, tmp_path / "torn").returncode == 0
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "torn", *parts) == hash_files(tmp_path / "whole", *parts)


def test_rows_that_were_added_let_a_run_grow_and_pictures_that_changed_do_not(photos: Path, tmp_path: Path) -> None:
    rows = (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    (photos / "metadata.jsonl").write_text("\n".join(rows[:9]) + "\n", encoding="utf-8")
    recipe, watch = recipe_of(photos), Listener()
    build_here(recipe, tmp_path / "run")
    (photos / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    build_run(open_build(recipe, str(tmp_path / "run"), "datagen build", watch), make_runner(0), watch)
    assert any(line.startswith("9 of 15 samples from") for line in watch.said), watch.said
    build_here(recipe, tmp_path / "fresh")
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "run", *parts) == hash_files(tmp_path / "fresh", *parts)
    (photos / "0-0.png").write_bytes(paint(PROMPTS[5]) + b" ")
    with pytest.raises(RunError, match="growing would lose 1 of its samples, whose pictures in the dataset are others"):
        open_build(recipe, str(tmp_path / "run"), "datagen build", watch)
    assert hash_files(tmp_path / "run", *parts) == hash_files(tmp_path / "fresh", *parts)


def test_of_rows_only_scores_of_the_same_pictures_are_taken_along(photos: Path, tmp_path: Path) -> None:
    (photos / "0-0.png").unlink()
    recipe, watch = recipe_of(photos), Listener()
    build_here(recipe, tmp_path / "before")
    (photos / "0-0.png").write_bytes(paint(PROMPTS[0]))
    (photos / "3-0.png").write_bytes(paint(PROMPTS[4]))
    run = open_build(recipe, str(tmp_path / "run"), "datagen build", watch, reuse=str(tmp_path / "before"))
    build_run(run, make_runner(0), watch)
    assert any(line.startswith("13 of 15 samples from") for line in watch.said), watch.said
    build_here(recipe, tmp_path / "fresh")
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "run", *parts) == hash_files(tmp_path / "fresh", *parts)


def test_a_folder_whose_name_looks_like_a_pattern_is_read(photos: Path, tmp_path: Path) -> None:
    recipe = recipe_of(photos.rename(tmp_path / "photös [1]? *"))
    assert estimate_run(recipe, probe=False, workers=1).samples == 15
    pattern = recipe_of(tmp_path / "phot*" / "metadata.json?")
    assert estimate_run(pattern, probe=False, workers=1).samples == 15


def test_the_doctor_asks_of_pictures_that_exist_only_what_scorers_make_of_them(photos: Path) -> None:
    found = [(finding.check, finding.verdict) for finding in examine_recipe(recipe_of(photos))]
    assert found == [("samples", "ok"), ("fit", "ok")]


def test_a_dataset_on_a_hub_is_read_in_place(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.loads(line) for line in (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    tables = write_parquet(photos, rows)
    build_here(recipe_of(tables), tmp_path / "here")
    with HubServer() as hub:
        hub.create("me/found", private=False)
        for path in sorted(tables.glob("*.parquet")):
            hub.edit("me/found", f"data/train-{path.name}", path.read_bytes())
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        (tmp_path / "hub.yaml").write_text(
            yaml.safe_dump(recipe_of("hf://datasets/me/found").to_dict()), encoding="utf-8"
        )
        built = run_cli("build", tmp_path / "hub.yaml", "--workers", "0", "--run", tmp_path / "there")
        assert built.returncode == 0, built.stderr
        again = run_cli("build", tmp_path / "hub.yaml", "--workers", "0", "--run", tmp_path / "there")
        assert again.returncode == 0, again.stderr
        hub.edit("me/found", "data/train-1.parquet", (tables / "0.parquet").read_bytes())
        other = run_cli("build", tmp_path / "hub.yaml", "--workers", "0", "--run", tmp_path / "there")
    assert other.returncode == 1
    assert "hf://datasets/me/found" in other.stderr
    read = [pq.read_table(tmp_path / name / "samples/00000.parquet").to_pylist() for name in ("here", "there")]
    pictures = [{(row["id"], str(row["segments"])) for row in rows} for rows in read]
    assert pictures[0] == pictures[1]
