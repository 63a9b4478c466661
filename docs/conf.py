"""The site that `make docs` builds from this folder. Pages are plain Markdown; their order is that of `index.md`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from pygments.lexers.special import TextLexer  # noqa: E402
from reference import write_reference  # noqa: E402

project = "datagen"
copyright = "the authors of datagen, Apache-2.0"
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
myst_disable_syntax = ["html_inline"]  # `outputs/<name>` is text
html_theme = "furo"
html_title = "datagen"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def add_navigation(app: Any, page: str, source: list[str]) -> None:
    """Add to the first page a tree of pages for each of its sections: what the section links to, in order."""
    if page != "index":
        return
    for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        pages = [f"{name} <{file}>" for name, file in re.findall(r"\[([^]]+)\]\(([\w/]+)\.md\)", text)]
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


def add_reference(app: Any, page: str, source: list[str]) -> None:
    """Add to the first page's section on the reference the pages that are generated."""
    if page == "index":
        listed = "".join(f"* [{title}](reference/{name}.md)\n" for name, title in app.config.reference_pages.items())
        source[0] = source[0].replace("## Reference\n\n", f"## Reference\n\n{listed}", 1)


def setup(app: Any) -> None:
    """Generate the reference, and connect what completes the first page."""
    app.add_config_value("reference_pages", write_reference(HERE / "reference"), "env")
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", add_reference)
    app.connect("source-read", add_navigation)
