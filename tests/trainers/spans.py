"""What a probe saw, in short: the spans of each example, in the marks of Qwen2-VL's template."""

from __future__ import annotations

import re
from typing import Any

SHOWN = "<|vision_start|><|image_pad|><|vision_end|>"
ASKED, ANSWERS, END = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"


def shorten(rows: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
    """The spans of each example as text and weight, a picture as one token."""
    once = re.compile(r"(<\|image_pad\|>)+")
    return [[(once.sub(r"\1", text), weight) for text, weight in row["spans"]] for row in rows]
