"""Filters and sorts over all samples of a run, held against the samples themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from datagen import api
from datagen.api import RunSample
from datagen.errors import ConfigError
from datagen.pipeline import open_run
from datagen.pipeline.views import read_scored
from datagen.records import Sample, Segment
from datagen.sample_files import join_texts, sample_schema, to_table
from datagen.studio.search import Search
from datagen.studio.table import Query, SampleTable, match_words
from tests.helpers.runs import build_here, small_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three shards with right and wrong pictures."""
    folder = tmp_path_factory.mktemp("table") / "run"
    build_here(small_recipe(prompts=24, shard_prompts=8, backend={"wrong": 0.5}, weights={"policy": "rwr"}), folder)
    return folder


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[RunSample]:
    return list(api.open_run(folder).samples())


@pytest.fixture(scope="module")
def table(folder: Path) -> SampleTable:
    run = open_run(str(folder))
    made = SampleTable(list(run.recipe.scorers))
    for shard in (2, 0, 1):  # as they were finished
        made.add(run, shard, read_scored(run, shard))
    made.weigh(run)
    return made


def test_weights_are_those_of_the_dataset_where_repeats_are_dropped(tmp_path: Path) -> None:
    values = {"backend": {"same": True}, "rewards": ["counting"], "weights": {"policy": "uniform"}}
    run, result = build_here(small_recipe(**values, deduplicate={"texts": None}), tmp_path)
    table = SampleTable(list(run.recipe.scorers))
    for shard in (2, 1, 0):
        table.add(run, shard, read_scored(run, shard))
        table.weigh(run)
        assert (table.snapshot().weights is None) == (shard > 0)
    weights = table.snapshot().weights
    assert weights is not None
    wanted = {weight.sample_id: weight for weight in result.weighed.weights}
    assert {weight.sample_id: weight for weight in weights} == wanted
    assert not all(weight.kept for weight in weights)


def find(table: SampleTable, query: Query) -> list[str]:
    now = table.snapshot()
    return [now.id_of(row) for row in now.select(query).tolist()]


def test_without_a_query_they_come_in_the_order_of_the_run(table: SampleTable, samples: list[RunSample]) -> None:
    assert find(table, Query()) == [sample.id for sample in samples]


FILTERS: dict[str, tuple[Query, Callable[[RunSample], bool]]] = {
    "weakness": (Query(path="counting"), lambda s: s.weakness == "counting"),
    "skill": (Query(path="attributes/color_of_one"), lambda s: f"{s.weakness}/{s.skill}" == "attributes/color_of_one"),
    "level": (Query(level="easy"), lambda s: s.level == "easy"),
    "passed": (Query(verdict="pass"), lambda s: s.passed is True),
    "failed": (Query(verdict="fail"), lambda s: s.passed is False),
    "cause": (Query(cause="count"), lambda s: s.passed is False and "count" in (s.item.causes or ())),
    "reward": (
        Query(ranges=(("image_reward", 0.0, 0.5),)),
        lambda s: s.image_reward is not None and s.image_reward <= 0.5,
    ),
    "scorer": (
        Query(ranges=(("score:counting", 1.0, math.inf),)),
        lambda s: s.scores["counting"].value is not None and s.scores["counting"].value >= 1.0,
    ),
    "weight": (Query(ranges=(("image_weight", 0.01, 9.0),)), lambda s: 0.01 <= (s.image_weight or 0.0) <= 9.0),
    "words": (Query(words="A PHOTO"), lambda s: "a" in s.prompt.lower() and "photo" in s.prompt.lower()),
    "a phrase and a verdict": (
        Query(words='"photo of"', verdict="pass"),
        lambda s: "photo of" in s.prompt.lower() and s.passed is True,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_the_samples_say(table: SampleTable, samples: list[RunSample], name: str) -> None:
    query, fits = FILTERS[name]
    assert find(table, query) == [sample.id for sample in samples if fits(sample)]


def test_a_search_in_what_the_model_wrote_goes_on_where_it_was_and_when_shards_are_added(
    folder: Path, samples: list[RunSample]
) -> None:
    wanted = {s.id for s in samples if "moon" in s.text.lower() and "background<" in s.text.lower()}
    assert 0 < len(wanted) < len(samples)
    run, search = open_run(str(folder)), Search('MOON "background<"')
    table = SampleTable(list(run.recipe.scorers))
    for shards in ([2], [0, 1]):
        for shard in shards:
            table.add(run, shard, read_scored(run, shard))
        table.weigh(run)
        now = table.snapshot()
        for _ in shards:  # without patience it is a shard at a time
            found = search.go_on(run, now, 0)
            there = {now.id_of(row) for row in range(found.looked)}
            assert {now.id_of(row) for row in now.select(Query(), said=found.rows)} == wanted & there
        assert found.looked == len(now)
    assert found.trouble is None


def test_words_are_found_in_all_texts_of_a_sample_and_a_phrase_in_one() -> None:
    def write(*texts: str) -> Sample:
        parts = (
            Segment("text", "think", text=text) if text else Segment("image", "image", image=b"1") for text in texts
        )
        return Sample("a-00", "a", 0, 1, "reflect", "m", "forced", "stop", tuple(parts))

    rows = [write("a red car", "", "one moon"), write(""), write(), write("one red car")]
    texts = join_texts(to_table(rows, sample_schema()))
    assert match_words(texts, "car one").tolist() == [True, False, False, True]
    assert match_words(texts, '"car one"').tolist() == [False] * 4
    assert match_words(texts, '"red car"').tolist() == [True, False, False, True]


def test_the_filters_of_this_file_find_some_and_not_all(samples: list[RunSample]) -> None:
    counts = {name: sum(map(fits, samples)) for name, (_, fits) in FILTERS.items()}
    assert sum(0 < count < len(samples) for count in counts.values()) >= 8, counts


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(
    "column", ["image_reward", "text_reward", "image_weight", "plan_over_image", "score:attribute"]
)
def test_a_sort_is_that_of_the_values_with_the_unknown_last(
    table: SampleTable, samples: list[RunSample], column: str, up: bool
) -> None:
    def value(sample: RunSample) -> float | None:
        if column == "plan_over_image":
            text, image = sample.scores["plan"].value, sample.image_reward
            return None if text is None or image is None else text - image
        known = column.removeprefix("score:")
        return getattr(sample, column) if known == column else sample.scores[known].value

    known = [sample for sample in samples if value(sample) is not None]
    unknown = [sample for sample in samples if value(sample) is None]
    order = sorted(known, key=lambda sample: round(value(sample) or 0.0, 6) * (1 if up else -1))
    assert find(table, Query(sort=column, up=up)) == [sample.id for sample in order + unknown]


def test_what_is_not_there_is_told_with_what_is(table: SampleTable) -> None:
    for query in (Query(sort="beauty"), Query(ranges=(("beauty", 0, 1),)), Query(verdict="good"), Query(cause="luck")):
        with pytest.raises(ConfigError, match="there is no") as raised:
            table.snapshot().select(query)
        assert raised.value.hint


@pytest.mark.parametrize(
    "given", [{"range": ["image_reward"]}, {"range": ["a:b:c:d"]}, {"range": ["x:1:-"]}, {"sort": ["x:away"]}]
)
def test_an_address_that_no_page_writes_is_refused(given: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError):
        Query.of(given)


def test_an_address_is_read_as_the_page_writes_it() -> None:
    given = {
        "q": ["two cats"],
        "said": ["a "],
        "range": ["score:text:0.25:", "image_weight::2"],
        "sort": ["score:text:up"],
    }
    ranges = (("score:text", 0.25, math.inf), ("image_weight", -math.inf, 2.0))
    assert Query.of(given) == Query(words="two cats", said="a", ranges=ranges, sort="score:text", up=True)
