"""What the trainers are asked: examples with losses that differ, and a probe in the environment of a trainer.

`make test-trainers` makes the environments below `.venv-trainers/`; without them the tests that need one are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.runs import ROOT

sys.path.insert(0, str(ROOT / "tests" / "export"))  # its examples and readers are used here too
PROBE = Path(__file__).with_name("probe.py")


def python_of(environment: str) -> Path:
    """The interpreter of an environment; skips the test if there is none."""
    python = ROOT / ".venv-trainers" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{environment} is not installed: make test-trainers")
    return python


def run_there(environment: str, *words: str | Path) -> None:
    """Run a script in the environment of a trainer, without network. Fails with the end of what it said."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    alone |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "USE_HF": "1"}
    done = subprocess.run(
        [python_of(environment), *words], capture_output=True, text=True, env=alone, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny Qwen2-VL, saved by the libraries of an environment."""
    made: dict[str, Path] = {}

    def make(environment: str) -> Path:
        if environment not in made:
            made[environment] = tmp_path_factory.mktemp(environment)
            run_there(environment, ROOT / "tests" / "helpers" / "tiny_qwen_vl.py", made[environment])
        return made[environment]

    return make


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the probe in an environment, and return what it saw."""

    def run(environment: str, entry: str, **job: Any) -> dict[str, Any]:
        out = tmp_path / "seen.json"
        described = {key: str(value) if isinstance(value, Path) else value for key, value in job.items()}
        (tmp_path / "job.json").write_text(json.dumps({"entry": entry, "out": str(out), **described}))
        run_there(environment, PROBE, tmp_path / "job.json")
        seen: dict[str, Any] = json.loads(out.read_text())
        return seen

    return run
