#!/usr/bin/env bash
# typer 0.29.2: in every new zsh, the first press of Tab after an installed program does nothing.
#
# Guess: once `--install-completion` has run, Tab completes in zsh as it does in bash and fish.
# Seen: the first Tab leaves the word as it is, the second one completes it. The installed file in ~/.zfunc is loaded by
# zsh at the first Tab; it defines the function that completes and registers it, and does not call it.
# Who meets it: every user of a typer program on zsh, once in each shell: completion seems not to work.
set -euo pipefail
command -v zsh >/dev/null || { echo "needs zsh" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check typer==0.29.2 2>/dev/null
mkdir "$folder/bin"
cat >"$folder/bin/demo" <<PY
#!$folder/venv/bin/python
import typer

app = typer.Typer()


@app.command()
def hello():
    print("RAN hello")


@app.command()
def other():
    print("RAN other")


app()
PY
chmod +x "$folder/bin/demo"
export HOME="$folder" ZDOTDIR="$folder" PATH="$folder/bin:$PATH" TERM=dumb
_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 demo --install-completion zsh >/dev/null
echo "PS1='ready> '" >>"$folder/.zshrc"
cat >"$folder/type.py" <<'PY'
import os
import pty
import select


def type_line(keys):
    """What a new zsh shows after these keys."""
    running, terminal = pty.fork()
    if not running:
        os.execvp("zsh", ["zsh", "-i"])
    seen = b""
    for line in (keys, "exit\n"):
        begin = len(seen)
        while b"ready> " not in seen[begin:] and select.select([terminal], [], [], 60)[0]:
            seen += os.read(terminal, 65536)
        os.write(terminal, line.encode())
    os.close(terminal)
    os.waitpid(running, 0)
    return seen.decode(errors="replace")


once, twice = "RAN hello" in type_line("demo hel\t\n"), "RAN hello" in type_line("demo hel\t\t\n")
print("RESULT one Tab completes:", once, "two Tabs complete:", twice)
assert not once and twice
PY
"$folder/venv/bin/python" "$folder/type.py"
