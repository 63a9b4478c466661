"""Scorers and models of one's own as functions and classes: in modules, in scripts, and what cannot work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datagen as dg
from tests.helpers.runs import environment, hash_records, run_cli, small_values

LOOKS = '''
from pydantic import BaseModel

from datagen import Verdict


def light(prompt, sample, tools):
    """Judges by the number of bytes."""
    return Verdict(len(sample.image) % 7 / 7, f"{len(sample.image)} bytes")


def thought(prompt, sample, tools):
    return Verdict(float("text" in prompt.text), sample.text[:10])


thought.TARGET = "text"


class Steady:
    """Counts how often it was made."""

    made = 0

    class Options(BaseModel):
        least: float = 0.5

    def __init__(self):
        Steady.made += 1

    def score(self, prompt, sample, tools, options):
        return Verdict(options.least if Steady.made == 1 else 0.0, f"made {Steady.made} times")
'''
SCRIPT = '''
import datagen as dg
from tests.helpers.instant import Instant
from tests.helpers.runs import small_values


def even(prompt, sample, tools):
    """Judges by the seed."""
    return dg.Verdict(float(sample.seed % 2 == 0), "VALUE")


class Mine(Instant):
    def generate(self, requests):
        yield from super().generate(requests)


recipe = dg.Recipe.load(small_values(rewards=["counting"]))
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "looks.py").write_text(LOOKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("looks", None)
    return tmp_path


def run_script(here: Path, last: str, value: str = "even") -> subprocess.CompletedProcess[str]:
    (here / "script.py").write_text(SCRIPT.replace("VALUE", value) + last, encoding="utf-8")
    words = [sys.executable, "script.py"]
    return subprocess.run(words, capture_output=True, text=True, env=environment(), cwd=here, timeout=300)


def test_functions_and_classes_of_a_module_are_scored_in_workers(here: Path) -> None:
    from looks import Steady, light, thought  # type: ignore[import-not-found]

    rewards = ["counting", light, thought, {"name": Steady, "least": 0.75, "as": "steady"}]
    recipe = dg.Recipe.load(small_values()).set(rewards=rewards)
    assert recipe.selecting == ["counting", "light", "thought", "steady"]
    one = dg.build(recipe, run="one", workers=2)
    two = dg.build(recipe, run="two", workers=0)
    assert hash_records(here / "one", "scores") == hash_records(here / "two", "scores")
    for sample in one.samples():
        scores = sample.scores
        size = len(sample.item.sample.image or b"")
        assert (scores["light"].value, scores["light"].reason) == (size % 7 / 7, f"{size} bytes")
        assert scores["thought"].target == "text"
        assert scores["steady"].value == 0.75
    assert two.status().samples == 20


def test_a_detector_may_be_a_class(here: Path) -> None:
    code = """
from datagen import Verdict
from datagen.records import Detection


class Stars:
    def __init__(self, many):
        self.many = many

    def __call__(self, image):
        return [Detection("star", "red", (100 * k, 0, 100 * k + 90, 90), 0.9) for k in range(self.many)]
"""
    (here / "stars.py").write_text(code, encoding="utf-8")
    from stars import Stars  # type: ignore[import-not-found]

    recipe = dg.Recipe.load(small_values()).set(rewards=["counting"], detector={"name": Stars, "many": 3})
    run = dg.build(recipe, run="one", workers=1)
    assert all(len(sample.scores["counting"].evidence["detections"]) == 3 for sample in run.samples())


def test_a_shell_goes_on_with_a_function_of_a_module(here: Path) -> None:
    from looks import light

    recipe = dg.Recipe.load(small_values()).set(rewards=["counting", light])
    recipe.save("mine.yaml")
    with pytest.raises(dg.Paused):
        dg.build(recipe, run="one", workers=0, max_samples=3)
    done = run_cli("build", "mine.yaml", "--run", "one", "--workers", 1, cwd=here)
    assert done.returncode == 0, done.stderr
    dg.build(recipe, run="two", workers=0)
    assert hash_records(here / "one", "scores", "samples") == hash_records(here / "two", "scores", "samples")


def test_a_changed_module_is_noticed(here: Path) -> None:
    from looks import light

    recipe = dg.Recipe.load(small_values()).set(rewards=["counting", light])
    dg.build(recipe, run="one", workers=0)
    (here / "looks.py").write_text(LOOKS.replace("% 7 / 7", "% 5 / 5"), encoding="utf-8")
    with pytest.raises(dg.RunError, match=r"changed: looks\.py"):
        dg.build(recipe, run="one", workers=0)


def test_a_script_without_a_main_guard_builds_once_and_in_workers(here: Path) -> None:
    done = run_script(here, 'print("begun")\ndg.build(recipe, run="one", workers=2)\n')
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begun\n"
    assert dg.open_run("one").status().samples == 20


def test_what_a_script_defines_stays_in_its_process_and_says_so(here: Path) -> None:
    change = 'recipe.set(rewards=["counting", even], backend={"name": Mine, "wrong": 0.2})'
    done = run_script(here, f'dg.build({change}, run="one", workers=2)\n')
    assert done.returncode == 0, done.stderr
    assert "all in one process, since no other can import even, Mine" in done.stderr
    status = run_cli("weigh", "one", cwd=here)
    assert status.returncode == 1
    told = " ".join(status.stderr.split())
    assert "the scorer 'even' was defined in a notebook or script, and is known only where it runs" in told
    assert "datagen score RUN --set rewards=[…]" in told.replace(f"{sys.executable} -m ", "")


def test_a_shell_goes_on_when_the_function_has_moved_to_a_module(here: Path) -> None:
    run_script(here, 'dg.build(recipe.set(rewards=["counting", even]), run="one", workers=0)\n')
    done = run_cli("score", "one", "--set", "rewards=[counting, looks:light]", "--workers", 0, cwd=here)
    assert done.returncode == 0, done.stderr
    assert run_cli("weigh", "one", cwd=here).returncode == 0
    assert list(next(dg.open_run("one").samples()).scores) == ["counting", "light"]


def test_a_function_of_a_script_that_changed_is_noticed(here: Path) -> None:
    build = 'dg.build(recipe.set(rewards=["counting", even]), run="one", workers=0)\n'
    assert run_script(here, build).returncode == 0
    assert run_script(here, f"# another line\n{build}").returncode == 0
    changed = run_script(here, build, value="odd")
    assert changed.returncode == 1
    assert "changed: __main__:even" in changed.stderr
    again = (
        'run = dg.open_run("one").score(again=True)\nrun.weigh()\nprint(next(run.samples()).scores["even"].reason)\n'
    )
    done = run_script(here, again, value="odd")
    assert done.stdout == "odd\n", done.stderr


def test_a_function_that_was_defined_again_is_refused(here: Path) -> None:
    again = """
first = even
def even(prompt, sample, tools):
    return dg.Verdict(1.0, "")
try:
    recipe.set(rewards=[first])
except dg.ConfigError as error:
    print(error)
"""
    assert "`even` was defined again since: give the newest" in run_script(here, again).stdout


def test_what_has_no_source_is_refused(here: Path) -> None:
    code = SCRIPT + "recipe.set(rewards=[even])\n"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), cwd=here, timeout=120)
    assert "the source of 'even' is not known, so its changes could not be seen" in done.stderr


def test_a_function_that_answers_no_verdict_is_a_failure_with_its_reason(here: Path) -> None:
    (here / "sloppy.py").write_text("def number(prompt, sample, tools):\n    return 0.5\n", encoding="utf-8")
    from sloppy import number  # type: ignore[import-not-found]

    run = dg.build(dg.Recipe.load(small_values()).set(rewards=["counting", number]), run="one", workers=0)
    assert "answered a float, not a Verdict" in next(run.samples()).scores["number"].reason
