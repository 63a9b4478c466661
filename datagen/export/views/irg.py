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
from datagen.export.examples import Encoder, Example, Part, Row, facts_of, parts_of
from datagen.export.view import need_mode
from datagen.records import hash_of

NEEDS_MODE = "reflect"
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
EQUAL = 1e-9
"""Largest gain that counts as none: rewards of equal scores may differ in their last bits."""


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


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the chosen modes of each kept sample; a mode whose targets all have weight 0 is omitted.

    Raises RunError for a run that does not reflect, or reflects more than once.
    """
    for row in rows:
        need_mode(row, "irg", NEEDS_MODE)
        if not row["kept"]:
            continue
        turns = read_turns(row)
        for mode in list_modes(row, options):
            parts = make_mode(mode, turns)
            if any(part.learned for part in parts):
                facts = {**facts_of(row), "gain": row["gain"]}
                yield Example(f"{row['id']}-{mode}", mode, row["group_id"], parts, facts=facts)


def read_turns(row: Row) -> dict[str, Part]:
    """Return the parts of a sample by their names in IRG, without missing ones. Raises RunError for two rounds."""
    by_role: dict[str, Part] = {}
    for part in parts_of(row):
        if part.role in by_role and part.role in TURNS.values():
            hint = "build it with one round: --set backend.rounds=1"
            raise RunError("the view 'irg' knows one reflection a sample", where=f"sample {row['id']}", hint=hint)
        by_role[part.role] = part
    return {name: by_role[role] for name, role in TURNS.items() if role in by_role}


def list_modes(row: Row, options: Options) -> list[str]:
    """Return the modes of a sample, in the order of `MODES`."""
    return [
        mode
        for mode in MODES
        if (not options.judged or _is_fair(mode, row["gain"]))
        and (mode in FULL or (options.stage == 1 and _draw_share(row["id"], mode) < options.share))
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


def _is_fair(mode: str, gain: float | None) -> bool:
    """Tell whether a sample may teach a mode, by the gain of its second image over the first."""
    if mode.startswith("improving"):
        return gain is not None and gain > EQUAL
    return mode != "initial_full" or (gain is not None and gain <= EQUAL)


def _draw_share(sample_id: str, mode: str) -> float:
    """Return a number in [0, 1) that depends on sample and mode alone."""
    return int(hash_of("irg", sample_id, mode), 16) / 2**64
