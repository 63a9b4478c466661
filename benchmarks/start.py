"""How long a person waits for `datagen --help`, and at a press of Tab, beside a Python that does nothing.

    python benchmarks/start.py [--rounds 20]

Each round starts every command once, in turn; the medians and their ratio to `python -c pass` are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-c", "from datagen.__main__ import main; import sys; sys.argv[0] = 'datagen'; main()")
TAB = {"_DATAGEN_COMPLETE": "complete_bash", "COMP_WORDS": "datagen explain ne", "COMP_CWORD": "2"}
COMMANDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "python -c pass": ((sys.executable, "-c", "pass"), {}),
    "datagen --help": ((*PROGRAM, "--help"), {}),
    "a press of Tab": (PROGRAM, TAB),
    "datagen list": ((*PROGRAM, "list"), {}),
    "datagen explain text": ((*PROGRAM, "explain", "text"), {}),
}


def main() -> None:
    """Time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # the first one warms the file cache
        for name, (command, more) in COMMANDS.items():
            env = {**os.environ, "PYTHONPATH": str(ROOT), **more}
            begin = time.perf_counter()
            subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
            taken[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}
    for name, seconds in medians.items():
        print(f"{name:<22}{seconds * 1000:>7.0f} ms{seconds / medians['python -c pass']:>7.1f} x")


if __name__ == "__main__":
    main()
