"""The runs of a project over HTTP: which may be asked for, what is answered, and that a run is only looked at."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from datagen import api
from datagen.pipeline import find_sample, mark_sample, open_run
from datagen.pipeline.marks import MARKED
from datagen.studio import Viewer, open_studio, open_view
from datagen.studio.runs import list_runs
from tests.helpers.runs import build_here, hash_files, small_recipe


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three shards, some of its pictures wrong."""
    folder = tmp_path_factory.mktemp("server") / "one"
    build_here(small_recipe(backend={"wrong": 0.5}), folder)
    return folder


@pytest.fixture
def run(project: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in the project, which is the working directory."""
    monkeypatch.chdir(project)
    shutil.copytree(built, project / "outputs/one")
    return project / "outputs/one"


@contextmanager
def serve(opened: Viewer) -> Iterator[Viewer]:
    with opened:
        thread = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield opened
        finally:
            opened.shutdown()
            thread.join()


@pytest.fixture
def studio(run: Path, project: Path) -> Iterator[Viewer]:
    with serve(open_studio(project)) as opened:
        yield opened


def get(server: Viewer, what: str, /, **values: Any) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", f"/{server.token}/{what}?{urlencode(values, doseq=True)}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(body) if is_json else body, answer.headers


def await_read(server: Viewer, name: str = "one", samples: int = 20) -> dict[str, Any]:
    """Wait until a number of samples has been read."""
    for _ in range(1200):
        status, about, _ = get(server, "run", run=name)
        if status == 200 and about["is_read"] and about["samples"] == samples:
            return dict(about)
        time.sleep(0.05)
    raise TimeoutError(str(about))


def test_the_list_has_the_runs_of_the_project_and_those_inside_loops(studio: Viewer, run: Path) -> None:
    shutil.copytree(run, run.parent / "loop/round-1")
    (run.parent / "notes").mkdir()
    assert {each["name"] for each in get(studio, "outputs")[1]["runs"]} == {"one", "loop/round-1"}


def test_a_link_out_of_the_outputs_is_no_run(run: Path, built: Path) -> None:
    (run.parent / "away").symlink_to(built)
    assert list(list_runs(run.parent)) == ["one"]


@pytest.mark.parametrize("name", ["two", "../outputs/one", "/etc", "", "one/../one", "./one"])
def test_a_name_that_is_not_in_the_list_is_no_run(studio: Viewer, name: str) -> None:
    for what, more in (("run", {}), ("rows", {}), ("picture", {"id": "x"})):
        status, body, _ = get(studio, what, run=name, **more)
        assert (status, body["error"]["what"]) == (422, "no such run here")


def test_samples_come_with_words_scores_weights_and_pictures(studio: Viewer, run: Path) -> None:
    await_read(studio)
    status, found, _ = get(studio, "rows", run="one", count=4)
    assert (status, found["total"], len(found["groups"])) == (200, 20, 4)
    for group, sample in zip(found["groups"], api.open_run(run).samples(), strict=False):
        (card,) = group["cards"]
        assert (card["id"], group["text"], card["verdict"]) == (sample.id, sample.prompt, sample.item.verdict)
        assert card["image_weight"] == pytest.approx(sample.image_weight)
        assert [score[0] for score in card["scores"]] == ["counting", "attribute", "plan"]
        assert card["pictures"][0]["thumb"].startswith("data:image/")
        picture, headers = get(studio, "picture", run="one", id=sample.id, number=0)[1:]
        assert picture == sample.item.sample.image
        assert headers["Content-Type"] == "image/png"


def test_pages_follow_each_other_without_a_gap_or_a_repetition(studio: Viewer, run: Path) -> None:
    await_read(studio)
    pages = [get(studio, "rows", run="one", sort="image_reward:down", start=k, count=7)[1] for k in (0, 7, 14, 21)]
    ids = [group["cards"][0]["id"] for page in pages for group in page["groups"]]
    assert sorted(ids) == sorted(sample.id for sample in api.open_run(run).samples())


@pytest.mark.parametrize("values", [{"start": "-1"}, {"count": "many"}, {"start": "1" * 30}])
def test_a_place_that_is_no_number_is_refused(studio: Viewer, values: dict[str, str]) -> None:
    assert get(studio, "rows", run="one", **values)[0] == 400


def test_a_picture_that_is_not_there_is_told(studio: Viewer, run: Path) -> None:
    sample = next(iter(api.open_run(run).samples()))
    await_read(studio)
    for values in ({"id": sample.id, "number": 7}, {"id": f"{sample.id[:-2]}77"}, {"id": "\x00"}):
        assert get(studio, "picture", run="one", **values)[0] == 422


def test_a_canary_is_marked_where_prompt_and_picture_are_those_of_the_mark(studio: Viewer, run: Path) -> None:
    ids = [sample.id for sample in api.open_run(run).samples()]
    await_read(studio)
    assert mark_sample(find_sample(open_run(str(run)), ids[3]), [], Path(MARKED)) is None
    for _ in range(400):
        if get(studio, "run", run="one")[1]["canaries"] == 1:
            break
        time.sleep(0.05)
    found = get(studio, "rows", run="one", mark="canary")[1]
    assert [(group["cards"][0]["id"], group["is_canary"]) for group in found["groups"]] == [(ids[3], True)]
    assert not any(group["is_canary"] for group in get(studio, "rows", run="one", count=3)[1]["groups"])


def test_a_broken_file_of_canaries_is_told_and_hides_no_sample(studio: Viewer, run: Path) -> None:
    Path(MARKED).parent.mkdir()
    Path(MARKED).write_text("{\n", encoding="utf-8")
    for _ in range(400):
        if trouble := get(studio, "run", run="one")[1]["trouble"]:
            break
        time.sleep(0.05)
    assert trouble["where"] == f"{MARKED}:1"
    assert get(studio, "rows", run="one")[1]["total"] == 20


def test_a_run_is_shown_while_another_process_makes_it(run: Path) -> None:
    late = run / "scores/00001.jsonl"
    content = late.read_bytes()
    late.unlink()
    with serve(open_view("one")) as viewer, open_run("one").folder.hold():
        about = await_read(viewer, samples=12)
        assert about["progress"]["shards"] == {"prompts": 3, "samples": 3, "scores": 2}
        assert (about["progress"]["planned_shards"], about["progress"]["planned_samples"]) == (3, 20)
        late.write_bytes(content)
        await_read(viewer, samples=20)
        shown = get(viewer, "rows", run="one", count=50)[1]["groups"]
    assert [group["cards"][0]["id"] for group in shown] == [sample.id for sample in api.open_run(run).samples()]


def test_answers_of_an_open_shard_are_counted(run: Path) -> None:
    opened = open_run("one")
    samples = opened.folder.read_samples(2)
    for name in ("samples/00002.parquet", "scores/00002.jsonl"):
        (run / name).unlink()
    opened.folder.write_part(2, 0, samples[:3], [])
    with serve(open_view("one")) as viewer:
        assert await_read(viewer, samples=16)["progress"]["kept"] == 3


def test_a_run_whose_prompts_are_not_planned_yet_has_no_samples(run: Path) -> None:
    opened = open_run("one")
    opened.folder.write_notes({key: value for key, value in opened.folder.read_notes().items() if key != "plan"})
    for path in (*run.glob("scores/*"), *run.glob("samples/*")):
        path.unlink()
    with serve(open_view("one")) as viewer:
        assert await_read(viewer, samples=0)["progress"]["planned_shards"] == 0
        assert get(viewer, "rows", run="one")[1]["groups"] == []


def test_a_run_that_was_scored_anew_is_read_anew(studio: Viewer, run: Path) -> None:
    await_read(studio)
    opened = open_run("one")
    scores = [replace(score, reason="seen again") for score in opened.folder.read_scores(0)]
    opened.folder.write_scores(0, scores)
    for _ in range(400):
        group = get(studio, "rows", run="one", count=1)[1]["groups"][:1]
        if group and group[0]["cards"][0]["scores"][0][2] == "seen again":
            break
        time.sleep(0.05)
    assert group[0]["cards"][0]["scores"][0][2] == "seen again"
    await_read(studio)


def test_a_damaged_shard_is_told_from_the_project_and_the_others_are_shown(studio: Viewer, run: Path) -> None:
    whole = (run / "scores/00001.jsonl").read_bytes()
    (run / "scores/00001.jsonl").write_text("{broken\n", encoding="utf-8")
    about = await_read(studio, samples=12)
    assert about["trouble"]["where"] == "outputs/one/scores/00001.jsonl:1"
    assert str(run.parent) not in json.dumps(about)
    assert get(studio, "rows", run="one", sort="image_weight:down")[1]["total"] == 12
    (run / "scores/00001.jsonl").write_bytes(whole)
    assert await_read(studio)["trouble"] is None


def test_a_search_in_what_the_model_wrote_joins_other_filters_and_tells_what_it_cannot_read(
    studio: Viewer, run: Path
) -> None:
    await_read(studio)
    samples = [each for each in api.open_run(run).samples() if each.passed and "moon" in each.text]
    (run / "samples/00001.parquet").write_bytes(b"broken")
    found = get(studio, "rows", run="one", said="moon", verdict="pass", count=50)[1]
    while found["looked"] < 20:
        found = get(studio, "rows", run="one", said="moon", verdict="pass", count=50)[1]
    lost = {score.sample_id for score in open_run("one").folder.read_scores(1)}
    ids = [group["cards"][0]["id"] for group in found["groups"]]
    assert ids == [each.id for each in samples if each.id not in lost]
    assert ids
    assert found["trouble"]["where"] == "outputs/one/samples/00001.parquet"


def test_looking_changes_nothing(run: Path) -> None:
    before = hash_files(run, ".")
    with serve(open_view("one")) as viewer:
        await_read(viewer)
        get(viewer, "rows", run="one", sort="image_weight:down", said="moon")
    assert hash_files(run, ".") == before


def test_who_looks_at_one_run_reaches_no_file_and_no_other_run(run: Path) -> None:
    shutil.copytree(run, run.parent / "two")
    with serve(open_view("one")) as viewer:
        for name in ("", "files", "file", "words", "studio.js", "editor.js"):
            assert get(viewer, name, name="taxonomies/shop.yaml")[0] == 404
        assert get(viewer, "run", run="two")[0] == 422
        assert get(viewer, "runs")[0] == 200


def test_the_page_allows_no_script_but_its_files(studio: Viewer) -> None:
    for name in ("runs", "runs.js", "cards.js", "samples.css", "gallery.css"):
        status, _, headers = get(studio, name)
        assert status == 200
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def post(server: Viewer, **values: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/{server.token}/review", json.dumps(values), headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def test_a_mark_is_in_the_run_shown_found_and_weighed_at_once(studio: Viewer, run: Path) -> None:
    await_read(studio)
    sample = next(sample for sample in api.open_run(run).samples() if sample.image_weight)
    status, said = post(studio, run="one", id=sample.id, mark="rejected", comment="no", base="")
    assert (status, said["mark"], said["comment"]) == (200, "rejected", "no")
    for mark in ("rejected", "commented"):
        (group,) = get(studio, "rows", run="one", mark=mark)[1]["groups"]
        assert (group["cards"][0]["id"], group["review"]) == (sample.id, said)
    assert get(studio, "rows", run="one", mark="accepted")[1]["total"] == 0
    for _ in range(400):
        (group,) = get(studio, "rows", run="one", mark="rejected")[1]["groups"]
        if not group["cards"][0]["kept"]:
            break
        time.sleep(0.05)
    assert group["cards"][0]["image_weight"] == 0
    assert "rejected by a person" in group["cards"][0]["why"]


def test_a_mark_on_what_another_tab_has_not_seen_is_answered_with_what_was_said(studio: Viewer, run: Path) -> None:
    await_read(studio)
    sample_id = next(api.open_run(run).samples()).id
    _, said = post(studio, run="one", id=sample_id, mark="", comment="theirs", base="")
    assert post(studio, run="one", id=sample_id, mark="", comment="mine", base="") == (409, said)
    assert post(studio, run="one", id=sample_id, mark="", comment="both", base=said["version"])[0] == 200


@pytest.mark.parametrize("change", [{"id": "0-00"}, {"run": "two"}, {"mark": "best"}, {"comment": "\ud800"}])
def test_what_is_no_mark_of_a_sample_is_refused_and_not_kept(studio: Viewer, run: Path, change: dict[str, str]) -> None:
    await_read(studio)
    sample_id = next(api.open_run(run).samples()).id
    values = {"run": "one", "id": sample_id, "mark": "accepted", "comment": "", "base": "", **change}
    assert post(studio, **values)[0] == 422
    assert not (run / "review.jsonl").exists()


def test_who_looks_at_one_run_cannot_mark(run: Path) -> None:
    sample_id = next(api.open_run(run).samples()).id
    with serve(open_view("one")) as viewer:
        await_read(viewer)
        assert post(viewer, run="one", id=sample_id, mark="accepted", comment="", base="")[0] == 404
    assert not (run / "review.jsonl").exists()
