"""What makes samples and scores beside the recipe: a changed module or model file stops a run and is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.errors import RunError
from datagen.pipeline import Silent, create_run, open_run, weigh_run
from datagen.pipeline.makers import list_makers
from datagen.plugins import list_sources
from tests.helpers.runs import Listener, build_here, small_recipe, small_values

SCORER = """
from datagen.records import Verdict
from own_project import shared
TARGET = "image"
JUDGES = frozenset({"count"})
def score(prompt, sample, tools):
    from own_project.deep import late
    return Verdict(shared.VALUE, "as the project says")
"""
BACKEND = "from tests.helpers import instant\nNOTE = 1\nbuild = instant.build\n"
DETECTOR = """
from datagen.vision.detectors import pictograms
def build(options):
    return pictograms.build({})
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a scorer that takes its value from another module, a backend and a detector with a model file."""
    root = tmp_path / "project"
    package = root / "own_project"
    (package / "deep").mkdir(parents=True)
    (package / "scorer.py").write_text(SCORER, encoding="utf-8")
    (package / "shared.py").write_text("VALUE = 0.5\n", encoding="utf-8")
    (package / "deep" / "late.py").write_text("import json, os.path\n", encoding="utf-8")
    (package / "unused.py").write_text("", encoding="utf-8")
    (package / "backend.py").write_text(BACKEND, encoding="utf-8")
    (package / "detector.py").write_text(DETECTOR, encoding="utf-8")
    (root / "model.onnx").write_bytes(b"weights")
    (root / "model.yaml").write_text("[star]", encoding="utf-8")
    (root / "checkpoint").mkdir()
    (root / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == "own_project"]:
        del sys.modules[name]


def write_recipe(project: Path) -> Path:
    values = small_values(
        prompts=4,
        rewards=["counting", "own_project.scorer"],
        backend={"name": "own_project.backend"},
        detector={"name": "own_project.detector", "file": str(project / "model.onnx"),
                  "model": str(project / "checkpoint")},
    )  # fmt: skip
    path = project / "own.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def call(*words: str | Path) -> str:
    """Run a command as a new process would: with the project's modules read anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == "own_project"]:
        del sys.modules[name]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def read_values(run: Path) -> set[float | None]:
    return {
        score.value
        for score in open_run(str(run)).folder.read_scores(0)
        if score.name == "own_project.scorer"
    }  # fmt: skip


def test_a_changed_scorer_is_named_and_the_command_works(project: Path, tmp_path: Path) -> None:
    recipe, run = write_recipe(project), tmp_path / "run"
    call("build", recipe, "--run", run, "--workers", "0")
    call("build", recipe, "--run", run, "--workers", "0")
    assert read_values(run) == {0.5}
    (project / "own_project" / "shared.py").write_text("VALUE = 0.9\n", encoding="utf-8")
    for words in (("build", recipe, "--run", run), ("score", run)):
        with pytest.raises(RunError) as caught:
            call(*words, "--workers", "0")
        assert "code or models of its scores changed: own_project/shared.py" in str(caught.value)
        assert f"datagen score {run} --again" in caught.value.hint
    assert "own_project/shared.py" in call("status", run)
    watch = Listener()
    weigh_run(open_run(str(run)), watch)
    assert any("own_project/shared.py" in line and "--again" in line for line in watch.said)
    assert read_values(run) == {0.5}
    call("score", run, "--again", "--workers", "0")
    assert read_values(run) == {0.9}
    call("build", recipe, "--run", run, "--workers", "0")
    assert "changed since" not in call("status", run)


def test_scores_that_stay_are_kept_by_word(project: Path, tmp_path: Path) -> None:
    recipe, run = write_recipe(project), tmp_path / "run"
    call("build", recipe, "--run", run, "--workers", "0")
    with (project / "own_project" / "scorer.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    with pytest.raises(RunError) as caught:
        call("build", recipe, "--run", run, "--workers", "0")
    go_on = caught.value.hint.splitlines()[1].split(":  ")[1].split()[1:]
    before = (run / "scores/00000.jsonl").read_bytes()
    call(*go_on, "--workers", "0")
    assert (run / "scores/00000.jsonl").read_bytes() == before
    assert "kept what was made before this changed: own_project/scorer.py" in (run / "log.txt").read_text("utf-8")
    call("build", recipe, "--run", run, "--workers", "0")
    (run / "scores/00000.jsonl").unlink()
    call("score", run, "--workers", "0")
    assert (run / "scores/00000.jsonl").read_bytes() != before, "each says which module made it"


def test_a_changed_backend_or_model_file_is_named(project: Path, tmp_path: Path) -> None:
    recipe, run = write_recipe(project), tmp_path / "run"
    call("build", recipe, "--run", run, "--workers", "0")
    backend, names = project / "own_project" / "backend.py", project / "model.yaml"
    backend.write_text(BACKEND.replace("1", "2"), encoding="utf-8")
    with pytest.raises(RunError) as caught:
        call("build", recipe, "--run", run, "--workers", "0")
    assert "code or models of its samples changed: own_project/backend.py" in str(caught.value)
    assert f"--run {run}-2" in caught.value.hint
    call("score", run, "--set", "rewards=[counting]", "--workers", "0")
    with pytest.raises(RunError, match=r"datagen generate .* --keep"):
        call("generate", run, "--workers", "0")
    call("generate", run, "--keep", "--workers", "0")
    for path in (names, project / "model.onnx", project / "checkpoint" / "model.safetensors"):
        path.write_bytes(path.read_bytes() + b"!")
        with pytest.raises(RunError, match=r"changed: detector\.(file|model): "):
            call("score", run, "--workers", "0")
        call("score", run, "--again", "--workers", "0")


def test_modules_are_followed_within_their_project_alone(project: Path) -> None:
    found = list_sources("own_project.scorer")
    assert list(found) == ["own_project/deep/late.py", "own_project/scorer.py", "own_project/shared.py"]
    assert list_sources("counting") == {}
    assert list_sources("no_such.module") == {}
    assert list(list_sources("tests.helpers.instant")) == ["tests/helpers/instant.py"], "datagen has a version instead"
    assert all(path.parts[0] == "yaml" for path in map(Path, list_sources("yaml.loader"))), "an installed package"
    makers = list_makers(small_recipe(adapt={"start": 2, "by": ["own_project.scorer"]}, candidates=4))
    assert "own_project/shared.py" in makers["samples"]


@pytest.mark.parametrize("value", ["x" * 5000, "a\nb", "", "/proc/no such", "."])
def test_options_that_are_no_paths_are_left_alone(value: str) -> None:
    makers = list_makers(small_recipe(detector={"name": "own", "template": value, "more": {"cache_dir": "/tmp"}}))
    assert makers["scores"] == {}


def test_a_huge_file_is_read_in_blocks(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"\0" * (40 * 2**20))
    recipe = small_recipe(detector={"name": "onnx", "model": str(model)})
    before = list_makers(recipe)
    assert list_makers(recipe) == before
    with model.open("r+b") as file:
        file.seek(23 * 2**20)
        file.write(b"\1" * (40 * 2**20 // 256))
    assert list_makers(recipe) != before


def test_another_version_of_a_package_is_told_and_noted(tmp_path: Path) -> None:
    recipe, run = small_recipe(), tmp_path / "run"
    build_here(recipe, run)
    notes = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    here, reader = notes["versions"]["pillow"], notes["versions"]["rapidocr"]
    notes["versions"] |= {"pillow": "1.0", "rapidocr": "0.1"}
    (run / "run.yaml").write_text(yaml.safe_dump(notes), encoding="utf-8")
    quiet, watch = Listener(), Listener()
    build_here(recipe, run, quiet)
    assert not any("pillow" in line for line in quiet.said), "nothing is made anew"
    (run / "scores/00001.jsonl").unlink()
    build_here(recipe, run, watch)
    assert any(f"made with pillow 1.0, but {here} is installed now" in line for line in watch.said)
    noted = create_run(recipe, str(run)).folder.read_notes()["versions"]
    assert (noted["pillow"], noted["rapidocr"]) == (f"1.0, {here}", f"0.1, {reader}")
    assert f"pillow 1.0, {here}" in call("status", run)
    again = Listener()
    (run / "scores/00002.jsonl").unlink()
    build_here(recipe, run, again)
    assert not any("pillow" in line for line in again.said), "told once"
    call("score", run, "--again", "--workers", "0")
    assert create_run(recipe, str(run)).folder.read_notes()["versions"]["rapidocr"] == reader
    weigh_run(open_run(str(run)), Silent())
