"""The shape of the house: imports go down only, heavy libraries load late, every plugin conforms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.structure import count_circles, list_imports, name_modules
from datagen.plugins import known_words, load_plugin
from datagen.records import ClaimKind
from tests.helpers.scorers import NAMES, find_scorer

PACKAGE = Path(__file__).parent.parent / "datagen"
FLOORS = [
    {"errors"},
    {
        "records",
        "plugins",
        "documents",
        "chat",
        "amounts",
        "notices",
        "program",
        "addresses",
        "filesystems",
        "interrupts",
        "pictures",
        "picture_files",
        "usage",
        "streams",
        "web",
    }
    | {"control_tokens", "markup", "expressions"},
    {"sample_files"},
    {"taxonomy", "config", "store"},
    {"generation", "sources", "tracking"},
    {"embedded"},
    {"vision"},
    {"scoring"},
    {"prompts", "backends", "rewards", "weighting", "diagnose", "trackers"},
    {"export", "report", "project", "catalog"},
    {"pipeline", "scaffold"},
    {"training", "push", "audit"},
    {"loop"},
    {"experiment", "diff"},
    {"checking"},
    {"workshop", "runners", "console", "studio"},
    {"api"},
    {"cli", "__main__"},
]
HEAVY = ["torch", "transformers", "datasets", "vllm", "ray", "pyarrow", "rapidocr", "onnxruntime", "scipy", "cv2"]


def floor_of(name: str) -> int:
    return next(k for k, names in enumerate(FLOORS) if name in names)


def package_imports() -> list[tuple[str, str, str]]:
    """Every (file, its unit, imported unit) inside the package."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        unit = relative.parts[0].removesuffix(".py")
        if unit == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module] if node.module != "datagen" else [f"datagen.{n.name}" for n in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            found += [
                (str(relative), unit, module.split(".")[1])
                for module in modules
                if module.startswith("datagen.") and module.split(".")[1] != "__version__"
            ]
    return found


def test_every_unit_has_a_floor() -> None:
    units = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert units - {"__init__"} <= set().union(*FLOORS)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{file}: {unit} (floor {floor_of(unit)}) imports {other} (floor {floor_of(other)})"
        for file, unit, other in package_imports()
        if unit != other
        and (unit, other) != ("__main__", "cli")
        and (floor_of(other) > floor_of(unit) or (floor_of(other) == floor_of(unit) and floor_of(unit) > 1))
    ]
    assert not wrong, "\n".join(wrong)


def module_imports() -> dict[str, set[str]]:
    """Every module of the package with those that it imports, in functions too; what only types need is left out."""
    modules = name_modules(PACKAGE.parent)
    return {name: {*list_imports(path, modules)} - {name} for name, path in modules.items()}


def test_there_is_no_import_circle() -> None:
    assert count_circles(module_imports()) == 0
    assert count_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == 2, "b and c are seen, and a hangs on them"


def test_a_name_that_begins_with_an_underscore_stays_in_its_package() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, needs in module_imports().items()
        for other in needs
        if other.rpartition(".")[2].startswith("_") and other.rpartition(".")[0] != name.rpartition(".")[0]
    ]
    assert not wrong, wrong


def test_tests_use_public_names() -> None:
    tests = Path(__file__).parent
    wrong = [
        f"{path.relative_to(tests)}:{node.lineno}"
        for path in sorted(tests.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("datagen")
        and any(
            part.startswith("_") and part != "__main__"
            for name in node.names
            for part in [*str(node.module).split("."), name.name]
        )
    ]
    assert not wrong, wrong


def test_scorers_are_reached_by_their_words() -> None:
    users = {unit for _, unit, other in package_imports() if other == "rewards"}
    assert users <= {"rewards", "audit", "workshop"}


def test_heavy_libraries_load_late() -> None:
    code = f"import sys, datagen.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_rich_is_used_by_the_console_alone() -> None:
    users = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and any(
            name.split(".")[0] == "rich"
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        )
    }
    assert users <= {"console.py", "cli.py"}


def test_broad_except_stands_in_two_places() -> None:
    broad = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert len(broad) <= 2, broad


@pytest.mark.parametrize("word", NAMES)
def test_every_reward_conforms(word: str) -> None:
    module = find_scorer(word)
    assert module.TARGET in ("text", "image")
    assert set(module.JUDGES) <= set(get_args(ClaimKind))


@pytest.mark.parametrize("word", known_words("backends"))
def test_every_backend_conforms(word: str) -> None:
    assert callable(load_plugin("backends", word, "build").build)


def test_every_shipped_taxonomy_loads_renders_and_is_scorable() -> None:
    from datagen.plugins import shipped_path
    from datagen.prompts.templated import sample_prompt
    from datagen.taxonomy import load_taxonomy

    judged = set().union(*(find_scorer(word).JUDGES for word in NAMES))
    files = sorted(shipped_path("taxonomies").glob("*.yaml"))
    assert len(files) >= 4
    for lexicon in ("pictograms", "everyday"):
        for skill in load_taxonomy(files, lexicon).skills:
            prompt = sample_prompt(skill, 0, 0)
            assert prompt.claims, skill.path
            assert {claim.kind for claim in prompt.claims} <= judged
