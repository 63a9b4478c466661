"""Canaries: marked images that scorers must judge right, or no weights are made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from datagen.config import Recipe
from datagen.errors import ConfigError, RunError
from datagen.pipeline import (
    Silent,
    check_recipe,
    find_sample,
    list_scorable,
    mark_sample,
    open_run,
    rescore_run,
    weigh_run,
)
from datagen.pipeline.marks import read_canaries
from datagen.records import Segment
from datagen.runners.local import make_runner
from datagen.taxonomy.check import check_paths
from tests.helpers.faulty_server import png_of
from tests.helpers.runs import Listener, build_here, run_cli, small_recipe, small_values

BASE = {"rewards": ["counting", "attribute", "plan"]}


def mark_all(folder: Path, into: Path, *, lie: bool = False) -> Path:
    """Mark four samples of a run as the scorers judged them; with `lie`, the first of them the other way round."""
    run, _ = build_here(small_recipe(**BASE), folder)
    for k, row in enumerate(list(run.folder.read_samples(0))[:4]):
        found = find_sample(run, row.id)
        held = {name: ok for score in found.scores for name, ok in (score.evidence.get("claims") or {}).items()}
        wrong = [n for n, claim in enumerate(found.prompt.claims, 1) if held[str(claim)] == (lie and k == 0)]
        mark_sample(found, wrong, into)
    return into


def test_scorers_that_judge_them_right_make_weights(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks" / "four.jsonl")
    assert [len(canary.marks) for canary in read_canaries(file)]
    run, result = build_here(small_recipe(**BASE, canaries=str(file)), tmp_path / "b")
    assert len(result.weighed.rows) == 20
    noted = run.folder.read_notes()["canaries"]["scorers"]
    assert noted["counting"]["right"] == noted["counting"]["judged"] == 4
    assert "plan" not in noted, "the text is not judged on images"


def test_a_scorer_that_fails_stops_before_anything_is_drawn(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl", lie=True)
    with pytest.raises(RunError, match=r"counting is right on 3 of 4 \(wrong: .*marks\.jsonl:1\)"):
        build_here(small_recipe(**BASE, canaries=str(file)), tmp_path / "b")
    assert not (tmp_path / "b" / "samples").exists()
    _, result = build_here(small_recipe(**BASE, canaries=str(file), canary_limit=0.75), tmp_path / "b")
    assert result.weighed.weights


def test_weights_wait_until_the_scorers_have_been_asked(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl")
    with pytest.raises(RunError, match="have not judged these canaries yet"):
        weigh_run(open_run(str(tmp_path / "a"), [f"canaries={file}"]), Silent())
    build_here(small_recipe(**BASE, canaries=str(file)), tmp_path / "a")
    weigh_run(open_run(str(tmp_path / "a")), Silent())
    first, *rest = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([first.replace('"holds": true', '"holds": false'), *rest]), encoding="utf-8")
    with pytest.raises(RunError, match="have not judged"):
        weigh_run(open_run(str(tmp_path / "a")), Silent())
    with pytest.raises(RunError, match="fails its canaries"):
        rescore_run(str(tmp_path / "a"), [], False, make_runner(0), Silent())


def test_a_scorer_without_a_canary_is_named(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl")
    counts = [{**json.loads(line)} for line in file.read_text(encoding="utf-8").splitlines()]
    for line in counts:
        line["claims"] = [claim for claim in line["claims"] if claim["kind"] == "count"]
    file.write_text("\n".join(map(json.dumps, counts)), encoding="utf-8")
    listener = Listener()
    build_here(small_recipe(**BASE, canaries=str(file)), tmp_path / "b", listener)
    assert "no canary is judged by attribute" in listener.said


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("[1]", "marks.jsonl:2"),
        ('{"image": "x.png", "prompt": "a", "claims": []}', "claims"),
        ('{"image": "x.png", "prompt": "a", "claims": [{"kind": "counts", "holds": true}]}', "kind"),
        ('{"image": "none.png", "prompt": "a", "claims": [{"kind": "text", "value": "A", "holds": true}]}', "no image"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "marks.jsonl"
    file.write_text("\n" + line, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_canaries(file)
    assert what in str(caught.value)
    assert "marks.jsonl:2" in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "\n\n"])
def test_a_file_without_canaries_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "marks.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"marks\.jsonl"):
        read_canaries(tmp_path / "marks.jsonl")


def test_marking_from_the_command_line(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(**BASE), tmp_path / "run")
    sample = next(iter(run.folder.read_samples(0)))
    done = run_cli("mark", tmp_path / "run", sample.id, "--wrong", 1, "--into", tmp_path / "m" / "one.jsonl")
    assert done.returncode == 0, done.stderr
    (canary,) = read_canaries(tmp_path / "m" / "one.jsonl")
    assert canary.image == sample.image
    assert not next(iter(canary.marks.values()))
    done = run_cli("mark", tmp_path / "run", sample.id, "--wrong", 9, "--into", tmp_path / "m" / "one.jsonl")
    assert done.returncode == 1
    assert "no claim number 9" in done.stdout + done.stderr


def test_marks_of_two_runs_with_the_same_ids_keep_their_images(tmp_path: Path) -> None:
    first, _ = build_here(small_recipe(**BASE), tmp_path / "a")
    sample = next(iter(first.folder.read_samples(0)))
    found = find_sample(first, sample.id)
    into = tmp_path / "marks.jsonl"
    mark_sample(found, [], into)
    other = replace(sample, segments=(Segment("image", "image", image=png_of(7)),))
    mark_sample(replace(found, sample=other), [1], into)
    one, two = read_canaries(into)
    assert (one.image, two.image) == (sample.image, other.image)


def test_a_finished_run_does_not_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl")
    recipe = small_recipe(**BASE, canaries=str(file))
    build_here(recipe, tmp_path / "b")
    monkeypatch.setattr("datagen.pipeline.canaries.score_once", lambda *_: pytest.fail("asked again"))
    build_here(recipe, tmp_path / "b")


def test_marking_again_replaces_the_mark_before(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(**BASE), tmp_path / "run")
    first, second = list(run.folder.read_samples(0))[:2]
    into = tmp_path / "marks.jsonl"
    for sample, wrong, said in ((first, [], ""), (second, [], ""), (first, ["--wrong", 1], "the mark of line 1 is")):
        done = run_cli("mark", tmp_path / "run", sample.id, *map(str, wrong), "--into", into)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    canaries = read_canaries(into)
    assert [canary.image for canary in canaries] == [second.image, first.image]
    assert not next(iter(canaries[1].marks.values()))
    build_here(small_recipe(**BASE, canaries=str(into), canary_limit=0), tmp_path / "b")


def test_lines_that_say_the_opposite_are_refused_with_both_numbers(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl")
    lines = file.read_text(encoding="utf-8").splitlines()
    same = lines[1]
    other = json.loads(same)
    other["claims"][0]["holds"] = not other["claims"][0]["holds"]
    file.write_text("\n".join([*lines, same]), encoding="utf-8")
    assert len(read_canaries(file)) == len(lines) + 1, "the same twice is no contradiction"
    file.write_text("\n".join([*lines, json.dumps(other)]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"marks\.jsonl:2: this line and line 5 say the opposite of "):
        read_canaries(file)


@pytest.mark.parametrize("command", ["mark", "sample", "regen"])
def test_an_id_of_several_samples_is_refused_with_all_of_them(tmp_path: Path, command: str) -> None:
    run, _ = build_here(small_recipe(**BASE, prompts=2, candidates=4), tmp_path / "run")
    sample = run.folder.read_samples(0)[0]
    done = run_cli(command, tmp_path / "run", sample.prompt_id, cwd=tmp_path)
    assert done.returncode == 1
    said = done.stderr.replace("\n", " ")
    assert f"4 samples begin with {sample.prompt_id!r}" in said
    assert all(f"{sample.prompt_id}-0{k}" in said for k in range(4))
    assert not (tmp_path / "canaries").exists()
    assert run_cli(command, tmp_path / "run", f"{sample.prompt_id[:12]}-1", cwd=tmp_path).returncode == 0


def test_answers_of_a_scorer_that_changed_count_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "marked_project"
    package.mkdir()
    text = "from datagen.rewards.objects.counting import JUDGES, TARGET, score\nNOTE = 1\n"
    (package / "own.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl")
    recipe = small_recipe(rewards=["marked_project.own"], canaries=str(file))
    run, _ = build_here(recipe, tmp_path / "b")
    before = run.folder.read_notes()["canaries"]
    (package / "own.py").write_text(text.replace("1", "2"), encoding="utf-8")
    rescored = rescore_run(str(tmp_path / "b"), [], True, make_runner(0), Silent())
    after = rescored.folder.read_notes()["canaries"]
    assert after["key"] != before["key"]
    assert after["scorers"] == before["scorers"]


def test_a_wrong_file_of_canaries_is_found_by_check_at_its_place(tmp_path: Path) -> None:
    recipe, marks = tmp_path / "recipe.yaml", tmp_path / "marks.jsonl"
    recipe.write_text(yaml.safe_dump({**small_values(), "canaries": "marks.jsonl"}, sort_keys=False), encoding="utf-8")
    line = recipe.read_text(encoding="utf-8").splitlines().index("canaries: marks.jsonl") + 1

    def check() -> list[str]:
        found = check_paths([recipe], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
        return [f"{Path(each.file).name}:{each.line}: {each.what}" for each in found if each.severity == "error"]

    (said,) = check()
    assert said.startswith(f"recipe.yaml:{line}: ")
    assert "cannot be read" in said
    marks.write_text('{"image": "none.png", "prompt": "a", "claims": [{"kind": "count", "holds": true}]}\n')
    assert check() == ["marks.jsonl:1: no image 'none.png'"]
