"""The form of a reflection: three headed parts, as every backend writes them and every scorer reads them.

The parts are those of IRG (arXiv 2509.06945). Here the final prompt stands before the guidance, since a model that
draws goes on from the guidance to the image.
"""

from __future__ import annotations

HEADS = ("Required improvements", "Final prompt", "Step-by-step guidance")
"""The heads of a reflection, in order; each begins a line and is followed by a colon."""


def write_reflection(improvements: str, guidance: str, final_prompt: str) -> str:
    """Return the headed parts of a reflection as one text."""
    parts = (improvements, final_prompt, guidance)
    return "\n".join(f"{head}: {part}" for head, part in zip(HEADS, parts, strict=True))


def read_reflection(text: str) -> list[tuple[str, str]]:
    """Return the headed parts of a text as (head, words) in the order they stand; what no head begins is left out."""
    parts: list[tuple[str, str]] = []
    for line in text.split("\n"):
        head, colon, words = line.partition(":")
        if colon and head.strip() in HEADS:
            parts.append((head.strip(), words.strip()))
        elif parts:
            head, before = parts[-1]
            parts[-1] = (head, f"{before}\n{line}".strip())
    return parts
