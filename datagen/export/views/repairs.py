"""Repairs: a prompt and a failed image of it are read, what is wrong with it and a right image are learned.

    "three stars", wrong image -> "expected 3 stars, found 2", right image

Source: the reflection rows of UniCorn (arXiv 2601.03193): a failed candidate, why, a passed one of the same prompt.
Here the reasons are those of the scorers that select. Each candidate that fails for a reason in words is repaired once;
the passed ones of its prompt take turns. Both targets have the image weight of the passed candidate. The right image is
another sample, not an edit of the wrong one: it may differ in more than the fault.

Not covered: prompts of which no candidate passes, or none fails; failures that scorers deny only as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datagen.export.examples import Example, NoOptions, Part, Row, facts_of, group_rows
from datagen.export.repairs import pair_rows, tell_faults

NEEDS_CANDIDATES = 2
NEEDS = "a prompt with a candidate that fails for a reason and one that passes and has a weight"
Options = NoOptions


def view(rows: Iterable[Row], options: NoOptions) -> Iterator[Example]:
    """Yield the repairs of each prompt. Raises RunError for a dataset without the column `faults`."""
    for group in group_rows(rows):
        for wrong, right in pair_rows(group):
            loss = right["image_weight"]
            parts = (
                Part("text", "prompt", text=right["prompt"]),
                Part("image", "image", image=wrong["images"][-1], sees="vae+vit"),
                Part("text", "reflect", text=tell_faults(wrong), loss=loss),
                Part("image", "refined image", image=right["images"][-1], loss=loss),
            )
            facts = {**facts_of(right), "causes": wrong["causes"], "wrong_id": wrong["id"], "right_id": right["id"]}
            yield Example(f"{wrong['id']}-repair", "repair", right["group_id"], parts, facts=facts)
