"""Six task scores and the overall score, against a slow reading; results.jsonl as the evaluator writes it."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path

import pytest

from datagen.documents.geneval_lines import TASKS, Result, read_results, score_tasks
from datagen.errors import ConfigError

LINE = {
    "filename": "images/00000/samples/0000.png",
    "tag": "counting",
    "prompt": "a photo of two cats",
    "correct": False,
    "reason": "expected cat>=2, found 1",
    "metadata": '{"tag": "counting"}',
    "details": "{}",
}


def test_task_scores_agree_with_the_definition() -> None:
    rng = random.Random(6)
    whole = 0
    for _ in range(250):
        tasks = rng.sample(TASKS, rng.choice((3, 6, 6)))
        results = [(rng.choice(tasks), rng.random() < rng.random()) for _ in range(rng.randint(1, 80))]
        scores = score_tasks(results)
        expected = {}
        for task in TASKS:
            mine = [correct for tag, correct in results if tag == task]
            if mine:
                expected[task] = Fraction(sum(mine), len(mine))
        assert {task: score.share for task, score in scores.tasks.items()} == {t: float(s) for t, s in expected.items()}
        assert set(scores.missing) == set(TASKS) - set(expected)
        if len(expected) == 6:
            whole += 1
            assert scores.overall == pytest.approx(float(sum(expected.values()) / 6), abs=1e-12)
        else:
            assert scores.overall is None
    assert whole >= 100


def test_each_task_weighs_the_same_however_many_images_it_has() -> None:
    results = [(task, False) for task in TASKS[1:]] + [(TASKS[0], True)] * 95
    assert score_tasks(results).overall == pytest.approx(1 / 6)


def test_no_result_and_a_tag_that_is_no_task() -> None:
    assert score_tasks([]).overall is None
    assert score_tasks([]).missing == TASKS
    with pytest.raises(ValueError, match="no task 'color'; did you mean 'colors'"):
        score_tasks([("color", True)])


def test_results_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    right = {**LINE, "tag": "colors", "correct": True, "reason": ""}
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(right) + "\n")
    first, second = read_results(path)
    assert first == Result("counting", "a photo of two cats", False, "expected cat>=2, found 1")
    assert (second.tag, second.correct, second.reason) == ("colors", True, "")
    assert score_tasks((result.tag, result.correct) for result in (first, second)).tasks["colors"].images == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "the file has no results"),
        ('{"item_id": 3, "score": 0.5}', "the tag None is not a task"),
        (json.dumps({**LINE, "tag": "global"}), "the tag 'global' is not a task"),
        (json.dumps({**LINE, "correct": 0.5}), "`correct` is 0.5"),
        (json.dumps({**LINE, "correct": "yes"}), "`correct` is 'yes'"),
        ("not json", "not JSON"),
    ],
)
def test_the_file_of_another_benchmark_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(lines + "\n")
    with pytest.raises(ConfigError) as caught:
        read_results(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
