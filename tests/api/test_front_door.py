"""`import datagen`: every name is there, nothing is loaded before it is used, and packages do not take its names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import datagen
from datagen import api
from tests.helpers.runs import ROOT, environment

HEAVY = ("numpy", "pydantic", "yaml", "torch", "pyarrow", "datasets", "rich", "PIL", "typing", "importlib.metadata")


def say(code: str, cwd: Path = ROOT) -> str:
    """What a script prints, in a process of its own."""
    words = [sys.executable, "-c", code]
    return subprocess.run(
        words, capture_output=True, text=True, check=True, env=environment(), cwd=cwd, timeout=120
    ).stdout


def test_the_import_loads_nothing() -> None:
    code = f"import sys; old = {{*sys.modules}}; import datagen; print({{*sys.modules}} - old & {{*{HEAVY!r}}})"
    assert say(code).strip() == "set()"


def test_a_recipe_loads_no_model_library() -> None:
    load = "import sys, datagen as dg; dg.Recipe.load('quickstart')"
    code = f"{load}; print({{'torch', 'datasets', 'pyarrow'}} & {{*sys.modules}})"
    assert say(code).strip() == "set()"


def test_every_name_is_there() -> None:
    assert all(getattr(datagen, name) is not None for name in datagen.__all__)
    assert set(datagen.__all__) == set(dir(datagen))
    assert not hasattr(datagen, "biuld")


def test_functions_keep_their_names_after_the_packages_behind_them_are_imported() -> None:
    import datagen.audit
    import datagen.diagnose

    assert datagen.audit is api.audit
    assert datagen.diagnose is api.diagnose
    from datagen.audit import audit_scenes

    assert callable(audit_scenes)


def test_the_page_names_what_is_there() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bdg\.(\w+)", page))
    assert named <= set(datagen.__all__)
    assert set(re.findall(r"\brun\.(\w+)\(", page)) <= set(dir(api.Run))
    public = {name for name in dir(api.Run) if not name.startswith("_")}
    assert public <= set(re.findall(r"\brun\.(\w+)", page))
