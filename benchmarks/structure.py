"""How the code is laid out: files, the fullest folder, private imports, circles, lines of tests to lines of source.

    python benchmarks/structure.py [CHECKOUT ...]

A module is private if its name begins with `_`; an import of one counts where another package does it, tests included
in a line of their own. Circles count imports inside functions too, and leave out what only types need.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402


def name_modules(checkout: Path) -> dict[str, Path]:
    """Return the modules of the package by their dotted names."""
    paths = (checkout / "datagen").rglob("*.py")
    return {
        ".".join(path.relative_to(checkout).with_suffix("").parts).removesuffix(".__init__"): path for path in paths
    }


def list_imports(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in block.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules and id(node) not in typed:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def count_circles(needs: dict[str, set[str]]) -> int:
    """Return how many modules import themselves by way of others."""
    waiting = dict(needs)
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    while free := [name for name in waiting if not any(name in others for others in waiting.values())]:
        for name in free:
            del waiting[name]
    return len(waiting)


def is_private(module: str) -> bool:
    """Say whether a module, or a package around it, has a name that begins with `_`."""
    return any(part.startswith("_") and not part.startswith("__") for part in module.split("."))


def count_lines(folder: Path) -> int:
    """Return the lines of all Python files below a folder."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def measure(checkout: Path) -> dict[str, Any]:
    """Return the figures of one checkout."""
    modules = name_modules(checkout)
    needs = {name: {*list_imports(path, modules)} - {name} for name, path in modules.items()}
    folders = Counter(path.parent for path in modules.values())
    across = sum(
        is_private(other) and name.split(".")[1:2] != other.split(".")[1:2]
        for name, others in needs.items()
        for other in others
    )
    tests = list((checkout / "tests").rglob("test_*.py"))
    return {
        "files": len(modules),
        "lines": (source := count_lines(checkout / "datagen")),
        "fullest folder": max(folders.values()),
        "private imports": across,
        "in circles": count_circles(needs),
        "test files on private modules": sum(any(map(is_private, list_imports(path, modules))) for path in tests),
        "test files": len(tests),
        "tests / source": round(count_lines(checkout / "tests") / source, 2),
    }


def main(
    checkouts: Annotated[list[Path] | None, typer.Argument(help="Checkouts [this one].")] = None,
    file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to FILE.")] = None,
) -> None:
    """Print the figures of each checkout side by side."""
    rows = {str(checkout): measure(checkout) for checkout in checkouts or [ROOT]}
    names = list(next(iter(rows.values())))
    print_table(["", *rows], [[name, *(row[name] for row in rows.values())] for name in names])
    if file:
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
