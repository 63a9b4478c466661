"""Messages: each fault once, at its place, in a sentence that reads at once."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen import console
from datagen.amounts import count_of
from datagen.cli import app
from datagen.console import print_error
from datagen.errors import ConfigError, RunError, did_you_mean
from datagen.pipeline import open_run, read_status
from datagen.program import from_here
from datagen.project import init_project
from datagen.taxonomy import load_taxonomy
from tests.helpers.runs import build_here, run_cli, small_recipe


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    init_project(tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new), encoding="utf-8")


def check(*paths: str) -> list[str]:
    """Return the lines of `datagen check`."""
    return CliRunner().invoke(app, ["check", *paths]).output.splitlines()


@pytest.mark.parametrize(
    ("more", "place", "said"),
    [
        ("encoders: [transformrs]", "15:12", "did you mean 'transformers'?"),
        ("judge: embeded", "15:8", "did you mean 'embedded'?"),
        ("matchers: {clip: {name: transformrs}}", "15:25", "did you mean 'transformers'?"),
        ("exports: {a: {view: peices, format: jsonl}}", "15:21", "did you mean 'pieces'?"),
        ("allocate: {policy: by_failure, diagnosis: no.yaml}", "15:43", "cannot read the file"),
        ("contamination: [no.txt]", "15:17", "cannot read the benchmark list"),
        ("screen: {words: [no.txt]}", "15:18", "the word list cannot be read"),
        ("evaluate: [clipscore]", "15:11", "'clipscore' needs a text-image model"),
    ],
)
def test_what_a_recipe_names_wrongly_is_told_where_it_stands(project: Path, more: str, place: str, said: str) -> None:
    with Path("recipes/shop.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    line, count = check()
    assert line.startswith(f"recipes/shop.yaml:{place}  ")
    assert said in line
    assert count == "1 error, 0 warnings"


@pytest.mark.parametrize("line", ["{{ many(n, colour, object) }}", "{{ many(n, ", "{{ n | nofilter }}"])
def test_a_fault_in_a_template_is_told_once_and_there(project: Path, line: str) -> None:
    edit("templates/shop/few.j2", "a photo of {{ many(n, color, object) }}", line)
    for paths in ((), ("recipes/shop.yaml",)):
        first, *_ = told = check(*paths)
        assert first.startswith("templates/shop/few.j2:3:")
        assert told[1:] == ["1 error, 0 warnings"]


def test_twins_are_told_at_the_second(project: Path) -> None:
    Path("taxonomies/two.yaml").write_bytes(Path("taxonomies/shop.yaml").read_bytes())
    edit("recipes/shop.yaml", "shop.yaml]", "shop.yaml, ../taxonomies/two.yaml]")
    *lines, count = check()
    assert all(line.startswith("taxonomies/two.yaml:3:11  ") for line in lines)
    assert count == "1 error, 1 warning"


def test_a_word_of_a_claim_has_one_hint(project: Path) -> None:
    edit("taxonomies/shop.yaml", "count(other, 1)", "count(othr, 1)")
    line, _ = check("taxonomies/shop.yaml")
    assert line.endswith("did you mean 'other'? Else put a word that is not in the lexicon in quotes: \"…\"")
    assert did_you_mean("x", [], "give a file") == "give a file"
    assert did_you_mean("x", ["aaa"], "give a file") == "known: aaa; give a file"


def test_a_short_list_is_told_in_the_words_of_its_reader(project: Path) -> None:
    edit("taxonomies/shop.yaml", "range: [2, 4]", "range: [2]")
    line, _ = check("taxonomies/shop.yaml")
    assert line.endswith("skills[0].slots.n.range: must have at least 2 items, not 1")


@pytest.mark.parametrize("change", ["rewards=[countng]", "backend.temprature=1", "candidates=x", "candidat=3"])
def test_what_set_gave_wrongly_is_told_there(project: Path, change: str) -> None:
    told = run_cli("build", "--set", change, cwd=project).stderr
    assert told.startswith(f"ConfigError: --set {change.split('=')[0]}: ")


def test_paths_are_told_from_here(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = os.getcwd()
    print_error(RunError("x", where=f"{here}/outputs/a", hint=f"see {here}/b, file://{here}/c and {here}x/d"))
    assert capsys.readouterr().err == f"RunError: outputs/a: x\nsee b, file://{here}/c and {here}x/d\n"
    edit("templates/shop/few.j2", "a photo of {{ many(n, color, object) }}", "{{ many(")
    assert run_cli("build", cwd=project).stderr.startswith("ConfigError: templates/shop/few.j2:3: ")
    os.chdir("/")
    assert from_here("/usr/bin") == "/usr/bin"


def test_one_is_not_many() -> None:
    assert [count_of(n, "error") for n in (0, 1, 2000)] == ["0 errors", "1 error", "2,000 errors"]


def test_results_that_are_no_file_and_no_run_say_both(tmp_path: Path) -> None:
    done = run_cli("diagnose", "--results", "/nofile", cwd=tmp_path)
    assert "/nofile: no such file, and no such run" in done.stderr


def test_status_counts_what_can_be_used(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    file = tmp_path / "run/samples/00001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    now = read_status(open_run(str(tmp_path / "run")))
    assert now.shards == {"prompts": 3, "samples": 2, "scores": 3, "failures": 3}, "and nothing is rewritten here"
    assert now.planned_shards == 3
    file.unlink()
    with pytest.raises(RunError, match="missing") as raised:
        list(open_run(str(tmp_path / "run")).folder.read_samples(1))
    assert "delete" not in raised.value.hint


def test_a_taxonomy_that_is_not_there_is_told_with_its_key() -> None:
    with pytest.raises(ConfigError) as raised:
        load_taxonomy(["countin"], "pictograms")
    assert str(raised.value).startswith("taxonomy: no taxonomy named 'countin'\ndid you mean 'counting'?")


def test_the_speed_of_a_doctor_is_a_time() -> None:
    told = run_cli("doctor", "quickstart", "--set", "backend={name: tests.helpers.instant}").stdout
    assert re.search(r"samples/s: 800 samples in about \d+:\d\d", told)


def test_nothing_of_an_error_is_cut_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    narrow = console.PlainConsole(file=shown, force_terminal=True, width=30, soft_wrap=True, color_system=None)
    monkeypatch.setattr(console, "err", narrow)
    hint = f"start another run:  datagen build recipes/mine.yaml --run outputs/{'long' * 20}"
    print_error(RunError("holds a run of [another] recipe" * 3, where="outputs/mine", hint=hint))
    lines = shown.getvalue().splitlines()
    assert lines == ["RunError  outputs/mine", "holds a run of [another] recipe" * 3, hint]
