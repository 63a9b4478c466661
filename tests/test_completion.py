"""A press of Tab: bash, zsh and fish complete commands and words, in a shell with completion installed as people do."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from datagen.catalog import KINDS, complete_word, list_entries
from tests.helpers.runs import environment

PROMPT = "ready> "


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the program on its path, completion of three shells installed, and two runs."""
    folder = tmp_path_factory.mktemp("home")
    script = folder / "bin/datagen"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom datagen.__main__ import main\nmain()\n", encoding="utf-8")
    script.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        # the variable is typer's own, to name the shell where no shell is around
        env = {**settings(folder), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        done = subprocess.run([script, "--install-completion", shell], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for file in (".bashrc", ".zshrc"):
        with (folder / file).open("a", encoding="utf-8") as lines:
            lines.write(f"\nPS1='{PROMPT}'\n")
    for name in ("first_run", "second $(touch hacked)"):
        (folder / "outputs" / name).mkdir(parents=True)
        (folder / "outputs" / name / "run.yaml").touch()
    return folder


def settings(home: Path) -> Mapping[str, str]:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return {**environment(), "HOME": str(home), "ZDOTDIR": str(home), "PATH": path, "TERM": "dumb"}


def complete(home: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in ("datagen", *words))
    code = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _datagen_completion datagen"
    code += "; printf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(
        ["bash", "-ic", code], cwd=home, env=settings(home), capture_output=True, text=True, timeout=60
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("expl",), ["explain"]),
        (("bench", "g"), ["generate"]),
        (("build", "quick"), ["quickstart"]),
        (("status", "f"), ["first_run"]),
        (("explain", "near"), ["near_duplicate"]),
        (("list", "sc"), ["scorers"]),
        (("export", "first_run", "--view", "rep"), ["repairs"]),
        (("export", "first_run", "--format", "webd"), ["webdataset"]),
        (("preview", "count"), ["counting"]),
        (("preview", "--lexicon", "every"), ["everyday"]),
        (("new", "sc"), ["scorer"]),
        (("build", "--runner", "r"), ["ray"]),
        (("build", "--max-s"), ["--max-samples"]),
        (("build", "--set", "shard"), ["shard_prompts"]),
        (("weigh", "first_run", "--set", "weights.norm"), ["weights.normalize"]),
    ],
)
def test_bash_completes_a_word_by_its_place(home: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert complete(home, *words) == offered


def test_every_command_is_offered(home: Path) -> None:
    from datagen.program import GROUPS

    assert sorted(complete(home, "")) == sorted(word for words in GROUPS.values() for word in words)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_press_of_tab_in_a_shell_ends_the_word(home: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    seen = type_into(shell, home, "datagen explain near_dup\t\t\n")
    assert "Judges whether a candidate is nearly the same picture" in seen


def test_fish_offers_words(home: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    code = "complete --do-complete 'datagen build quick'"
    done = subprocess.run(
        ["fish", "-ic", code], cwd=home, env=settings(home), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["quickstart"], done.stderr


def type_into(shell: str, home: Path, *lines: str) -> str:
    """What an interactive shell shows in which these lines are typed, each when it asks for one."""
    running, terminal = pty.fork()
    if not running:
        os.chdir(home)
        os.execvpe(shell, [shell, "-i"], dict(settings(home)))
    seen = b""
    for line in (*lines, "exit\n"):
        begin = len(seen)
        while PROMPT.encode() not in seen[begin:] and select.select([terminal], [], [], 60)[0]:
            seen += os.read(terminal, 65536)
        os.write(terminal, line.encode())
    os.close(terminal)
    os.waitpid(running, 0)
    return seen.decode(errors="replace")


def test_a_name_that_would_act_in_a_shell_is_not_offered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert complete_word(("runs",), "") == ["first_run"]
    assert complete(home, "status", "s") == [""]
    assert not (home / "hacked").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_every_listed_word_is_offered(kind: str) -> None:
    assert complete_word((kind,), "") == sorted(entry.word for entry in list_entries(kind))


def test_completing_imports_nothing_heavy(home: Path) -> None:
    code = (
        "import atexit, sys\nfrom datagen.__main__ import main\n"
        "heavy = ('torch', 'numpy', 'datasets', 'pyarrow', 'PIL', 'datagen.rewards')\n"
        "sys.argv = ['datagen']\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\nmain()"
    )
    env = {**settings(home), "COMP_WORDS": "datagen explain ", "COMP_CWORD": "2", "_DATAGEN_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=env, capture_output=True, text=True, timeout=60)
    assert "near_duplicate" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
