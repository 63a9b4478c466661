"""A view and a format tried on a made-up prompt before anything is drawn: what cannot hold the samples of a run.

Two candidates as the recipe will make them, one right and one wrong, go through the view into the format, in a
temporary folder. Only what a format says of an example counts: what a view misses in a sample may be there in a run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError, RunError
from datagen.export.columns import column_of, pack_json
from datagen.export.examples import Example
from datagen.pictures import encode_png
from datagen.plugins import known_words, load_plugin
from datagen.records import write_reflection

if TYPE_CHECKING:
    from datagen.export.view import RunPlan, ViewPlan

THOUGHT = "gray background<|obj_start|>red star<|obj_end|><|box_start|>(0,0),(500,500)<|box_end|>"
SIDE_PX = 64


def rehearse(plan: ViewPlan, run: RunPlan, view_options: Any, format_options: Any) -> None:
    """Raise ConfigError if a format that ships cannot hold what a view that ships makes of a run's samples."""
    if plan.view not in known_words("export.views") or plan.format not in known_words("export.formats") or plan.skip:
        return
    view, format_ = load_plugin("export.views", plan.view, "view"), load_plugin("export.formats", plan.format, "write")
    made: Iterator[Example]
    made, again = tee(view.view(_make_rows(run), view_options))
    try:
        with tempfile.TemporaryDirectory(prefix="datagen-") as home:
            written = format_.write(made, Path(home), "train", format_options)
    except RunError as error:
        if error.where.startswith("example "):
            raise ConfigError(error.what, where=f"exports.{plan.name}", hint=error.hint) from error
        return
    except OSError:  # no place for temporary files
        return
    if not written and any(True for _ in again):
        what = f"the format {plan.format!r} holds nothing of what the view {plan.view!r} makes of this recipe's samples"
        hint = f"what {plan.format} loses: {format_.LOSES}"
        raise ConfigError(what, where=f"exports.{plan.name}", hint=hint)


def _make_rows(run: RunPlan) -> list[dict[str, Any]]:
    """Return rows as `columns.dataset_features` has them, of as many candidates as matter."""
    return [_make_row(run, candidate) for candidate in range(min(2, run.candidates))]


def _make_row(run: RunPlan, candidate: int) -> dict[str, Any]:
    right = 1.0 - candidate
    segments: list[dict[str, Any]] = []

    def add(role: str, text: str | None = None) -> None:
        image = sum(each["image"] is not None for each in segments) if text is None else None
        segments.append({"kind": "image" if text is None else "text", "role": role, "text": text, "image": image})

    if run.mode != "direct":
        add("think", THOUGHT)
    add("image")
    for _ in range(run.rounds if run.mode == "reflect" else 0):
        add("look", "a red star")
        add("reflect", write_reflection("none", THOUGHT, "a star"))
        add("refined image")
    count = sum(each["image"] is not None for each in segments)
    drawn = {"source": ("gallery", "generated")[candidate], "log_given": -1.0, "log_prior": -2.0, "tokens": 9}
    return {
        "id": f"rehearsal-{candidate:02d}",
        "prompt": "a star",
        "prompt_id": "rehearsal",
        "group_id": "rehearsal",
        "source": "template",
        **{"weakness": "counting", "skill": "one", "level": "easy"},
        "claims": [{"kind": "count", "subject": "star", "name": "", "value": "1"}],
        "segments": segments,
        "images": [_draw(right)] * count,
        "image_sha256": ["0" * 64] * count,
        "caption": "a red star",
        "regions": [{"object": "star", "color": "red", "box": [0, 0, 500, 500], "score": right}],
        **{f"reward_{column_of(name)}": right for name in run.scorers},
        **{f"reason_{column_of(name)}": "" for name in run.scorers},
        **{"text_reward": None if run.mode == "direct" else right, "image_reward": right, "gain": 0.0},
        **{"text_weight": None if run.mode == "direct" else 1.0, "image_weight": 1.0, "kept": True},
        "left_out": None,
        "causes": [] if right else ["count"],
        "faults": [] if right else ["expected 1 star, found 0 stars"],
        "claims_hold": [right],
        "gap": None,
        **{"passed": right == 1.0, "candidate": candidate, "seed": candidate},
        **{"mode": run.mode, "switch": "autonomous", "finish": "stop", "engine": "rehearsal"},
        "settings": pack_json(drawn if run.likelihood else {}),
        **{"receipt": "{}", "provenance": "{}"},
    }


@cache
def _draw(shade: float) -> bytes:
    import numpy as np

    return encode_png(np.full((SIDE_PX, SIDE_PX, 3), int(255 * shade), np.uint8))
