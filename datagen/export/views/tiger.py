"""The image to show for a prompt, retrieved or generated: its candidates ranked together by likelihood.

TIGeR (arXiv 2406.05814) ranks images of a gallery and generated ones together, by log p(image | prompt) minus the
prior, and shows the first. Needs samples of the backend `gallery`. An example is the prompt with the chosen image, and
the best of the other source as `rejected`; `decision` is `gallery` or `generated`, and `ranking` has every candidate
with its `source`, its likelihoods and its score in nats per image token. Images have weight 1; a thought has weight 1
only if the chosen sample's text has a weight, so that a run that rewards images alone teaches no thought.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from datagen.export.examples import Example, NoOptions, Part, Row, facts_of, group_rows, parts_of

Options = NoOptions
NEEDS_LIKELIHOOD = True
NEEDS = "samples of the backend `gallery`, which stores the likelihood of each image"


def view(rows: Iterable[Row], options: NoOptions) -> Iterator[Example]:
    """Yield one example for each prompt whose candidates have a likelihood."""
    for group in group_rows(rows):
        ranked = [(row, candidate) for row in group if (candidate := _read(row)) is not None]
        if not ranked:
            continue
        ranked.sort(key=lambda each: -each[1]["score"])
        chosen, first = ranked[0]
        decision = first["source"]
        other = next(((row, candidate) for row, candidate in ranked if candidate["source"] != decision), None)
        facts = {
            **facts_of(chosen),
            "decision": decision,
            "margin": None if other is None else first["score"] - other[1]["score"],
            "ranking": [candidate for _, candidate in ranked],
        }
        thinks = bool(chosen["text_weight"])
        rejected = () if other is None else _weigh(other[0], thinks)[1:]
        parts = _weigh(chosen, thinks)
        yield Example(chosen["prompt_id"], "found or drawn", chosen["group_id"], parts, rejected, facts)


def _weigh(row: Row, thinks: bool) -> tuple[Part, ...]:
    """Return a row as parts of weight 1, texts only if the thought is taught."""
    return parts_of({**row, "text_weight": float(thinks), "image_weight": 1.0})


def _read(row: Row) -> dict[str, Any] | None:
    """Return the source and likelihood of a row, None if it has none."""
    noted = json.loads(row["settings"])
    if not {"source", "log_given", "log_prior", "tokens"} <= noted.keys():
        return None
    given, prior = noted["log_given"], noted["log_prior"]
    facts = {"id": row["id"], "source": noted["source"], "score": (given - prior) / noted["tokens"]}
    return {**facts, "log_given": given, "log_prior": prior, "picture": noted.get("picture")}
