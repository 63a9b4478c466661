"""The command line as a person meets it: help at once, one clear error, exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from datagen.amounts import format_bytes, format_seconds
from datagen.cli import app
from datagen.console import describe_progress
from datagen.errors import ConfigError
from datagen.pipeline import Progress
from datagen.prompts.contamination import Contamination
from datagen.prompts.geneval_forms import FORM_COUNTS
from tests.helpers.runs import build_here, command, environment, run_cli, small_recipe, small_values

COMMANDS = (
    "build", "prompts", "generate", "score", "weigh", "export", "report", "status", "sample", "regen", "plan",
    "check", "schema", "init", "preview", "geneval", "doctor", "bench", "diagnose",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    build_here(small_recipe(backend={"fails": 0.1}), path)
    return path


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_help_names_every_command() -> None:
    shown = call("--help")
    assert all(name in shown for name in COMMANDS)


def test_help_begins_with_what_one_does_first() -> None:
    lines = call("--help").splitlines()
    assert [line for line in lines if line in ("Make:", "Look:", "Share:", "Train:", "Measure:")] == [
        "Make:", "Look:", "Share:", "Train:", "Measure:",
    ]  # fmt: skip
    assert lines[lines.index("Make:") + 1].split()[0] == "init"
    assert len([line for line in lines if re.match(r"  [a-z]+  +\S", line)]) == len(app.registered_commands) + 1


def test_weigh_refuses_a_key_that_its_policy_does_not_read(folder: Path) -> None:
    before = (folder / "run.yaml").read_bytes()
    for words in (("--policy", "best", "--set", "weights.beta=0.1"), ("--set", "weights.threshold=0.1")):
        result = CliRunner().invoke(app, ["weigh", str(folder), *words])
        assert isinstance(result.exception, ConfigError)
        assert "has no effect under the policy" in str(result.exception)
    assert (folder / "run.yaml").read_bytes() == before
    assert "policy softmax" in call("weigh", folder, "--policy", "softmax", "--set", "weights.beta=0.1")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom datagen.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'datasets', 'pyarrow', 'pydantic', 'fsspec', 'yaml', 'PIL')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_build_from_a_shell(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({**small_values(), "name": "tiny"}), encoding="utf-8")
    done = run_cli("build", recipe, "--set", "candidates=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for stage in ("prompts", "generate", "score", "weigh", "export", "report"):
        assert any(line.startswith(stage) for line in done.stderr.splitlines()), stage
    assert "mean reward" in done.stderr
    assert (tmp_path / "outputs/tiny/dataset/README.md").is_file()
    assert "outputs/tiny/report.html" in done.stdout
    again = run_cli("build", recipe, cwd=tmp_path)
    assert again.returncode == 1
    assert "candidates: 3 -> 2" in again.stderr
    assert "datagen build tiny.yaml --reuse outputs/tiny --run outputs/tiny-2" in again.stderr
    assert "Traceback" not in again.stderr


def test_status_shows_what_is_there(folder: Path) -> None:
    shown = call("status", folder)
    assert "3 of 3" in shown
    assert "20, " in shown
    assert "counting" in shown


def test_a_sample_is_shown_and_made_again(folder: Path, tmp_path: Path) -> None:
    stored = json.loads((folder / "scores/00001.jsonl").read_text(encoding="utf-8").splitlines()[0])
    shown = call("sample", folder, stored["sample_id"], "--out", tmp_path / "a.png")
    assert stored["reason"] in shown
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "identical, bit for bit" in call("regen", folder, stored["sample_id"])


def test_regen_says_when_a_sample_differs(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    notes = yaml.safe_load((copy / "run.yaml").read_text(encoding="utf-8"))
    notes["recipe"]["backend"]["wrong"] = 1.0
    (copy / "run.yaml").write_text(yaml.safe_dump(notes), encoding="utf-8")
    stored = json.loads((folder / "scores/00000.jsonl").read_text(encoding="utf-8").splitlines()[0])
    result = CliRunner().invoke(app, ["regen", str(copy), stored["sample_id"]])
    assert result.exit_code == 1
    assert "differs" in result.output


def test_weigh_export_report_follow_each_other(folder: Path) -> None:
    assert "policy best" in call("weigh", folder, "--policy", "best")
    assert "dataset" in call("export", folder)
    assert "report.html" in call("report", folder)
    assert '"policy": "best"' in (folder / "dataset/README.md").read_text(encoding="utf-8")


def test_prompts_generate_score_from_the_shell_of_one_process(tmp_path: Path) -> None:
    recipe = tmp_path / "steps.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    run = tmp_path / "run"
    assert "written to" in call("prompts", recipe, "--run", run)
    call("generate", run, "--workers", "0")
    assert not (run / "scores").exists()
    assert "datagen weigh" in call("score", run, "--workers", "0")
    assert len(list((run / "scores").iterdir())) == 3


def test_plan_preview_check_schema_init(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    assert "not measured" in call("plan", recipe, "--no-probe")
    assert "samples/s" in call("plan", recipe)
    assert "counting/one_kind" in call("preview", "counting", "-n", "1")
    assert "recipe.schema.json" in call("schema", tmp_path / "schemas")
    call("init", tmp_path / "project")
    call("check", tmp_path / "project")
    broken = tmp_path / "project/recipes/project.yaml"
    broken.write_text(broken.read_text(encoding="utf-8").replace("candidates", "candidatos"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "project"), "--format", "github"])
    assert result.exit_code == 1
    assert "::error file=" in result.output


def test_check_without_a_path_reads_the_project_that_it_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("init", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    call("check")
    broken = Path("taxonomies/project.yaml")
    broken.write_text(broken.read_text(encoding="utf-8").replace("claims:", "clams:"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 1
    assert "did you mean 'claims'" in result.output


def test_the_recipe_of_a_new_project_can_be_planned(tmp_path: Path) -> None:
    call("init", tmp_path / "project")
    assert "project/few" in call("plan", tmp_path / "project/recipes/project.yaml", "--no-probe")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "no_such_run"], "no such run"),
        (["build", "quikstart"], "did you mean 'quickstart'"),
        (["build", "quickstart", "--set", "prompts=1000000000", "--run", "x"], "less than or equal to 10000000"),
        (["build", "--set", "backend.checkpoint=/nowhere", "--run", "x"], "/nowhere"),
        (["build", "quickstart", "--run", "/proc/nowhere"], "cannot be written"),
        (["build", "--runner", "rya", "--run", "x"], "did you mean 'ray'"),
        (["build", "--address", "auto", "--run", "x"], "those of a cluster"),
        (["build", "--models", "65", "--run", "x"], "more than 64 models are those of a cluster"),
    ],
)
def test_what_stops_a_command_is_one_message_and_exit_1(tmp_path: Path, words: list[str], said: str) -> None:
    done = run_cli(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_in_a_folder_that_goes_with_a_ray_job_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "session/runtime_resources/working_dir_files/_ray_pkg_0"
    folder.mkdir(parents=True)
    done = run_cli("build", "quickstart", cwd=folder)
    assert done.returncode == 1
    assert "a Ray job's and goes with it" in done.stderr
    assert not list(folder.iterdir())


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run_cli("status", "no_such_run", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_a_wrong_option_is_a_usage_error() -> None:
    assert run_cli("build", "--nonsense").returncode == 2


@pytest.mark.parametrize(
    "words",
    [("bench", "model", "--mode", "foo"), ("bench", "model", "--mode", "reflect"), ("check", "--format", "xml")],
)
def test_a_word_that_an_option_does_not_take_is_a_usage_error(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"'{words[-1]}' is not one of" in result.output


def test_a_full_disk_stops_with_one_message_and_keeps_what_is_there(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user namespaces, to mount a disk small enough to fill")
    recipe, disk = tmp_path / "big.yaml", tmp_path / "disk"
    disk.mkdir()
    recipe.write_text(yaml.safe_dump(small_values(prompts=400, candidates=4)), encoding="utf-8")
    build = " ".join(command("build", str(recipe), "--run", str(disk / "run")))
    script = f"mount -t tmpfs -o size=1m tmpfs {disk} && {{ {build}; code=$?; ls {disk}/run/samples; exit $code; }}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=environment(), timeout=300
    )
    if "mount:" in done.stderr:
        pytest.skip(f"no mount in a user namespace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "finished shards are kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert "00000.par" in done.stdout, "a shard or its parts"


def test_progress_in_one_line() -> None:
    rest = ["1.0%", "failed", "mean", "reward", "0.500"]
    line = describe_progress(Progress("score", 300, 1000, before=100, failed=3, reward=0.5), 10.0)
    assert line.split() == ["score", "300/1,000", "30%", *["20.0", "samples/s", "0:35", "left"], *rest]
    assert "was there already" in describe_progress(Progress("generate", 5, 5, before=5), 0.0)
    assert "/s" not in describe_progress(Progress("generate", 0, 5), 0.0)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (7e13, "70.0 TB")])
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_geneval_prints_metadata_lines_that_can_be_kept_away_from(tmp_path: Path) -> None:
    lines = call("geneval").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 553
    assert {row["tag"] for row in rows} == set(FORM_COUNTS)
    assert all({"tag", "include", "prompt"} <= set(row) for row in rows)
    assert call("geneval", "--seed", "1").splitlines() != lines
    file = tmp_path / "forms.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert Contamination.from_files([file]).match(rows[0]["prompt"])
