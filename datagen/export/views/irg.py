"""Interleaved reasoning (IRG): the six learning modes of a sample that reflected, in the mix of stage 1 or 2.

    initial_thinking_understanding    prompt, I1 -> T1
    initial_thinking_generation       prompt -> T1
    initial_full                      prompt -> T1, I1
    improving_thinking_understanding  prompt, I1, I2 -> T2
    improving_thinking_generation     prompt, T1, I1 -> T2
    improving_full                    prompt, T1, I1 -> T2, I2

T1 is the thought, I1 the first image, T2 the reflection with its heads, I2 the refined image. An image that is only
read uses the ViT if a text about it is learned, VAE and ViT if an improvement follows. Source: arXiv 2509.06945; the
settings and the reader of github.com/Osilly/Interleaving-Reasoning-Generation at 3eee315, without published data that
would show the encoders of each mode.

With `repairs` a failed candidate (its thought is T1, its last image I1) and a passed one of the same prompt (I2) give
the improving modes as well, also in a run of mode `think`. T2 then has the scorers' reasons as the improvements, the
prompt as the final one, and the passed candidate's plan as the guidance. These modes are rare otherwise: a model seldom
improves its own image. See `views.repairs`.

The published mix, full modes 1.0 and the others 0.5, is how often the trainer samples each mode, not a weight in the
loss. So `share` thins out the other modes, by a hash of sample and mode: the same in every export.

Not covered: more than one reflection. The description before a reflection (`look`) is not part of IRG.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import RunError
from datagen.export.examples import Encoder, Example, Part, Row, facts_of, group_rows, parts_of
from datagen.export.repairs import pair_rows, tell_faults
from datagen.export.view import need_mode
from datagen.expressions import EQUAL
from datagen.records import HEADS, hash_of, read_reflection, write_reflection

MOST_ROUNDS = 1
Use = Encoder | Literal["learn"]
"""Use of a part: learned, or read through encoders (`""` for text, which has none)."""
TURNS = {"prompt": "prompt", "T1": "think", "I1": "image", "T2": "reflect", "I2": "refined image"}
"""The roles of a sample's parts by their names in IRG."""
MODES: Mapping[str, Mapping[str, Use]] = {
    "initial_thinking_understanding": {"prompt": "", "I1": "vit", "T1": "learn"},
    "initial_thinking_generation": {"prompt": "", "T1": "learn"},
    "initial_full": {"prompt": "", "T1": "learn", "I1": "learn"},
    "improving_thinking_understanding": {"prompt": "", "I1": "vit", "I2": "vit", "T2": "learn"},
    "improving_thinking_generation": {"prompt": "", "T1": "", "I1": "vae+vit", "T2": "learn"},
    "improving_full": {"prompt": "", "T1": "", "I1": "vae+vit", "T2": "learn", "I2": "learn"},
}
FULL = ("initial_full", "improving_full")
"""The modes that end in an image, which are all of stage 2."""


class Options(BaseModel):
    """The modes to export, and the samples for each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Literal[1, 2] = Field(1, description="1: all six modes; 2: the two full ones")
    share: float = Field(0.5, ge=0, le=1, description="of the four other modes in stage 1; 1 if the trainer mixes")
    judged: bool = Field(
        True,
        description="improving modes only if the refined image beats the first, and a first image as a target only if "
        "it does not, since a sample's weight is that of its last image. false: every sample gives every mode",
    )
    repairs: bool = Field(False, description="improving modes also from failed and passed candidates of one prompt")


def find_mode(options: Options, mode: str) -> str:
    """Return the mode of samples that the view needs, for a run of mode `mode`."""
    return "think" if options.repairs and mode == "think" else "reflect"


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the chosen modes of each kept sample; a mode whose targets all have weight 0 is omitted.

    Raises RunError for a run that does not reflect (with `repairs`, nor think), or reflects more than once.
    """
    for group in group_rows(rows):
        for row in group:
            need_mode(row, "irg", find_mode(options, row["mode"]))
            if row["kept"]:
                modes = [mode for mode in list_modes(row, options) if not options.judged or _is_fair(mode, row)]
                yield from _make_examples(row, row["id"], read_turns(row), modes, row["gain"])
        for wrong, right in pair_rows(group) if options.repairs else ():
            modes = [mode for mode in list_modes(wrong, options) if mode.startswith("improving")]
            gain = None if wrong["image_reward"] is None else right["image_reward"] - wrong["image_reward"]
            yield from _make_examples(right, f"{wrong['id']}-repair", repair_turns(wrong, right), modes, gain)


def _make_examples(
    row: Row, name: str, turns: Mapping[str, Part], modes: Iterable[str], gain: float | None
) -> Iterator[Example]:
    for mode in modes:
        parts = make_mode(mode, turns)
        if any(part.learned for part in parts):
            facts = {**facts_of(row), "gain": gain}
            yield Example(f"{name}-{mode}", mode, row["group_id"], parts, facts=facts)


def read_turns(row: Row) -> dict[str, Part]:
    """Return the parts of a sample by their names in IRG, without missing ones. Raises RunError for two rounds."""
    by_role: dict[str, Part] = {}
    for part in parts_of(row, all_images=True):
        if part.role in by_role and part.role in TURNS.values():
            hint = "build it with one round: --set backend.rounds=1"
            raise RunError("the view 'irg' knows one reflection a sample", where=f"sample {row['id']}", hint=hint)
        by_role[part.role] = part
    return {name: by_role[role] for name, role in TURNS.items() if role in by_role}


def repair_turns(wrong: Row, right: Row) -> dict[str, Part]:
    """Return the parts of a repair by their names in IRG; what is learned has the image weight of the passed one."""
    before, after, loss = read_turns(wrong), read_turns(right), right["image_weight"]
    plan = after["T1"].text if "T1" in after else ""
    if "T2" in after:
        plan = dict(read_reflection(after["T2"].text)).get(HEADS[2], plan)
    text = write_reflection(tell_faults(wrong), plan, right["prompt"])
    turns = {
        **before,
        "I1": Part("image", "image", image=wrong["images"][-1]),
        "T2": Part("text", "reflect", text=text, loss=loss),
        "I2": Part("image", "refined image", image=right["images"][-1], loss=loss),
    }
    return turns if plan else {}


def list_modes(row: Row, options: Options) -> list[str]:
    """Return the modes that the stage and the share leave a sample, in the order of `MODES`."""
    return [
        mode for mode in MODES if mode in FULL or (options.stage == 1 and _draw_share(row["id"], mode) < options.share)
    ]


def make_mode(mode: str, turns: Mapping[str, Part]) -> tuple[Part, ...]:
    """Return the parts of one mode with their flags; none if the sample lacks one of them.

    A text opens an image (`switch`) only if that image is learned next.
    """
    if not MODES[mode].keys() <= turns.keys():
        return ()
    parts = []
    for name, use in MODES[mode].items():
        if use == "learn":
            parts.append(turns[name] if mode in FULL else replace(turns[name], switch=0.0))
        else:
            parts.append(replace(turns[name], loss=0.0, switch=0.0, sees=use))
    return tuple(parts)


def _is_fair(mode: str, row: Row) -> bool:
    """Tell whether a sample may teach a mode, by the gain of its second image over the first."""
    gain = row["gain"]
    if mode.startswith("improving"):
        return gain is not None and gain > EQUAL
    return mode != "initial_full" or row["mode"] == "think" or (gain is not None and gain <= EQUAL)


def _draw_share(sample_id: str, mode: str) -> float:
    """Return a number in [0, 1) that depends on sample and mode alone."""
    return int(hash_of("irg", sample_id, mode), 16) / 2**64
