"""What a run gives to a notebook: samples that show themselves, tables, and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import datagen as dg
from datagen.report import ReportItem, render_sample
from tests.helpers.runs import build_here, hash_files, small_recipe

HOSTILE = '<script>alert(1)</script>" onload="x \x1b[2J'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dg.Run:
    folder = tmp_path_factory.mktemp("api") / "run"
    build_here(small_recipe(validation_share=0.4), folder)
    return dg.open_run(folder)


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_samples_come_with_all_that_is_known(run: dg.Run) -> None:
    samples = list(run.samples())
    assert len(samples) == run.status().samples
    for sample in samples:
        assert sample.image is not None
        assert sample.image.size == (96, 96)
        assert list(sample.scores) == run.recipe.selecting
    assert {sample.passed for sample in samples} == {True, False}


def test_filters_choose_by_value(run: dg.Run) -> None:
    samples = list(run.samples())
    chosen = [sample.id for sample in run.samples(weakness="counting", passed=False)]
    assert chosen == [each.id for each in samples if each.weakness == "counting" and each.passed is False]
    assert chosen
    skill = samples[0].skill
    same = [sample.id for sample in run.samples(skill=skill)]
    assert same == [sample.id for sample in run.samples(skill=f"{samples[0].weakness}/{skill}")]
    assert same == [each.id for each in samples if each.skill == skill]
    with pytest.raises(dg.ConfigError, match="did you mean 'counting'"):
        run.samples(weakness="countng")


def test_looking_changes_nothing(run: dg.Run) -> None:
    folder = Path(run.folder)
    before = hash_files(folder, "."), (folder / "run.yaml").stat().st_mtime_ns
    list(run.samples())
    run.status()
    run.to_pandas()
    assert (hash_files(folder, "."), (folder / "run.yaml").stat().st_mtime_ns) == before


def test_a_sample_shows_its_boxes(run: dg.Run) -> None:
    for sample in run.samples():
        page = Tags(sample._repr_html_())
        found = [box for score in sample.scores.values() for box in score.evidence.get("detections", ())]
        labels = {" ".join(filter(None, (box["color"], box["label"]))) for box in found}
        shown = {tag["title"] for name, tag in page.tags if name == "div" and "title" in tag}
        assert labels <= shown
        assert sample.prompt in page.words
        assert all(score.reason in page.words for score in sample.scores.values())


def hostile_items(run: dg.Run) -> Iterator[ReportItem]:
    for sample in run.samples():
        item = sample.item
        scores = tuple(
            replace(score, reason=HOSTILE, evidence={"detections": [{"label": HOSTILE, "box": [1, 2, 300, 400]}]})
            for score in item.scores
        )
        segments = tuple(replace(each, text=HOSTILE if each.kind == "text" else "") for each in item.sample.segments)
        yield replace(
            item,
            prompt=replace(item.prompt, text=HOSTILE, level=HOSTILE),
            sample=replace(item.sample, segments=segments, finish=HOSTILE),
            scores=scores,
            kept=False,
            weight_reason=HOSTILE,
        )


def test_nothing_that_a_model_wrote_acts_in_a_notebook(run: dg.Run) -> None:
    for item in hostile_items(run):
        html = render_sample(item)
        page = Tags(html)
        assert {name for name, _ in page.tags} <= {"article", "div", "bdi", "b", "code", "img", "span"}
        assert not any(key.startswith("on") for _, given in page.tags for key in given)
        assert page.words.count("<script>") >= 5
        assert "\x1b" not in html


def test_a_picture_that_is_none_is_told(run: dg.Run) -> None:
    item = next(run.samples()).item
    broken = tuple(replace(each, image=b"no picture" if each.image else b"") for each in item.sample.segments)
    assert "These bytes are no image." in render_sample(replace(item, sample=replace(item.sample, segments=broken)))
    words = tuple(each for each in item.sample.segments if each.kind == "text")
    assert "No image was generated." in render_sample(replace(item, sample=replace(item.sample, segments=words)))


def test_the_table_has_the_rows_of_the_dataset(run: dg.Run) -> None:
    table, data = run.to_pandas(), run.to_dataset()
    assert list(table["id"]) == [row for split in data for row in data[split]["id"]]
    assert set(table["split"]) == set(data) == {"train", "validation"}
    assert set(table.columns) == {"split", *data["train"].column_names} - {"images"}


def test_a_dataset_of_other_weights_is_refused_until_it_is_exported(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    run = dg.open_run(tmp_path / "run")
    before = {sample.id: sample.image_weight for sample in run.samples()}
    weighed = run.weigh(policy="softmax", beta=0.05)
    assert (run.recipe.weights.policy, run.recipe.weights.beta) == ("softmax", 0.05)
    assert {weight.sample_id: weight.image_weight for weight in weighed.weights} != before
    for read in (run.to_pandas, run.to_dataset):
        with pytest.raises(dg.RunError, match="is stale"):
            read()
    assert run.export() == Path(run.folder) / "dataset"
    assert list(run.to_pandas()["image_weight"])
    with pytest.raises(dg.ConfigError, match="has no effect under the policy"):
        run.weigh(policy="best", beta=0.1)


def test_a_run_without_scores_says_so(tmp_path: Path) -> None:
    with pytest.raises(dg.Paused):
        dg.build(small_recipe(), run=tmp_path / "run", workers=0, max_samples=2)
    with pytest.raises(dg.RunError, match="have no scores"):
        dg.open_run(tmp_path / "run").samples()
    with pytest.raises(dg.RunError, match="has no dataset"):
        dg.open_run(tmp_path / "run").to_pandas()


def test_a_run_is_pushed(run: dg.Run, tmp_path: Path) -> None:
    pushed = run.push(f"file://{tmp_path}/there")
    assert pushed.destination == f"file://{tmp_path}/there"
    assert (tmp_path / "there" / "README.md").is_file()
