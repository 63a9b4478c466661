"""Where the files that ship with datagen are: taxonomies, templates and recipes.

In a checkout they stand beside the package, where people read and change them; an installed wheel carries a copy in
`datagen/_shipped/`.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped_path(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as `shipped_path("taxonomies", "counting.yaml")`.

    The path is not checked: who opens it says what is missing.
    """
    installed = _PACKAGE / "_shipped"
    return (installed if installed.is_dir() else _PACKAGE.parent).joinpath(*parts)
