"""The prompt rows of T2I-R1: each prompt of the run once, with the objects of its rewards and the run's advantages.

    {"prompt": "a cup left of a star", "nouns": ["cup", "star"], "task_type": "spatial",
     "spatial_info": {"obj1": "cup", "obj2": "star", "locality": "left of"}}

and `attr_nouns`, `numeracy_info: [{obj_name, num}]` where they apply, as in the data of github.com/CaraJ7/T2I-R1 at
2d9d4d1 (arXiv 2505.00703). A prompt with one kind of claim has that type (`spatial`, `numeracy`, `color`, `texture`,
`shape`; `object` if it only names objects); all others are `complex` and have all fields. Its reward of places knows
`above` only as `on the top of` (`above`, though in its own data, always gets 0), so that is written; a prompt with a
relation that it does not know is `complex`. `rewards` and `advantages`
are those of the run's samples: (r - mean) / (std + 1e-4) over the group, std with n - 1, null for a sample without a
reward.

Omitted: prompts whose claims name no object (rendered text alone) or claim that one is absent, for which T2I-R1's
rewards have no question. Its type `non` (actions) never occurs, since claims have no actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from datagen.export.examples import Example, NoOptions, Part, Row, group_rows, name_attributed, name_nouns, read_claims
from datagen.export.view import need_mode
from datagen.records import Claim

Options = NoOptions
NEEDS_MODE = "think"
NEEDS_WHOLE_GROUPS = True
FAMILIES = {"color": "color", "shape": "shape", "texture": "texture", "material": "texture", "pattern": "texture"}
"""Type of task by claimed attribute."""
LOCALITIES = {
    **{name: name for name in ("left of", "right of", "below", "next to", "near")},
    "above": "on the top of",
}
"""Relations in the words of `determine_position` in src/t2i-r1/src/utils/reward_gdino.py."""
STD_FLOOR = 1e-4


def view(rows: Iterable[Row], options: NoOptions) -> Iterator[Example]:
    """Yield one example without a target for each prompt. Raises RunError for a run without reasoning."""
    for group in group_rows(rows):
        first = group[0]
        need_mode(first, "t2i_r1", NEEDS_MODE)
        claims = read_claims(first)
        if not name_nouns(claims) or any(claim.kind == "count" and claim.value == 0 for claim in claims):
            continue
        rewards = [row["image_reward"] for row in group]
        facts = {
            **write_row(first["prompt"], claims),
            **{name: first[name] for name in ("weakness", "skill", "level")},
            "rewards": rewards,
            "advantages": measure_advantages(rewards),
        }
        prompt = Part("text", "prompt", text=first["prompt"])
        yield Example(first["prompt_id"], "t2i_r1", first["group_id"], (prompt,), facts=facts)


def write_row(prompt: str, claims: Sequence[Claim]) -> dict[str, Any]:
    """Return the row of a prompt, with optional keys only if they apply."""
    relations = [claim for claim in claims if claim.kind == "relation"]
    counts = [claim for claim in claims if claim.kind == "count"]
    row: dict[str, Any] = {"prompt": prompt, "nouns": name_nouns(claims), "task_type": find_task(claims)}
    if any(claim.kind == "attribute" for claim in claims):
        row["attr_nouns"] = name_attributed(claims)
    if len(relations) == 1 and (locality := LOCALITIES.get(relations[0].name)):
        (one,) = relations
        row["spatial_info"] = {"obj1": one.subject, "obj2": str(one.value), "locality": locality}
    if any(claim.value != 1 for claim in counts):
        row["numeracy_info"] = [{"obj_name": claim.subject, "num": claim.value} for claim in counts]
    return row


def find_task(claims: Sequence[Claim]) -> str:
    """Return the one type of all claims, `object` if they only name objects, else `complex`."""
    types = []
    for claim in claims:
        if claim.kind == "attribute":
            types.append(FAMILIES.get(claim.name, "complex"))
        elif claim.kind == "count":
            types += ["numeracy"] if claim.value != 1 else []
        else:
            types.append("spatial" if claim.kind == "relation" and claim.name in LOCALITIES else "complex")
    return "object" if not types else types[0] if len({*types}) == 1 and types.count("spatial") < 2 else "complex"


def measure_advantages(rewards: Sequence[float | None]) -> list[float | None]:
    """Return the advantage of each reward in its group: 0 in a group of equals, None for a single or missing reward."""
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2:
        return [None] * len(rewards)
    mean, spread = fmean(known), stdev(known) + STD_FLOOR
    return [None if reward is None else (reward - mean) / spread for reward in rewards]
