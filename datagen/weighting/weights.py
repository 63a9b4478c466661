"""The function `weigh`, from rows of rewards to weights with reasons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from datagen.config import Policy
from datagen.weighting.rows import RewardRow
from datagen.weighting.tables import RewardTable, WeightTable, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from datagen.weighting.formulas import Floats, Ints


UNSCORED, WEIGHTED, EQUAL_GROUP, REFUSED, CAPPED, LIFTED, FAILED, REJECTED, REPEATED = range(9)


def weigh(
    rows: Iterable[RewardRow],
    policy: Policy,
    rejected: Collection[str] = (),
    repeated: NDArray[np.bool_] | None = None,
) -> WeightTable:
    """Return one weight per row, in the order of the rows.

    Samples that a person `rejected`, by their ids, and rows that are `repeated` (n,) weigh nothing, and count in their
    groups as if they were unscored: they are left out (`Weight.left_out`). Raises RunError for a reward that is NaN,
    infinite or outside [0, 1].
    """
    import numpy as np

    table = RewardTable.of(rows)
    text, image = modality_rewards(table, policy)
    out = table.find(rejected)
    left_out = out if repeated is None else out | repeated
    text, image = np.where(left_out, np.nan, text), np.where(left_out, np.nan, image)
    ahead = _join_advantages(table, policy) if policy.join == "before" else (None, None)
    shared = policy.modalities == "shared"
    text_policy, image_policy = (_narrow(policy, part) for part in ("text", "image"))
    text_weight, text_why = _weigh_modality(text, ahead[0], table, text_policy)
    image_weight, image_why = (
        (text_weight, text_why) if shared else _weigh_modality(image, ahead[1], table, image_policy)
    )
    text_why, image_why = (np.where(out, REJECTED, np.where(left_out, REPEATED, why)) for why in (text_why, image_why))
    words = describe_reasons(policy)
    phrases = [f"text: {a}; image: {b}" for a in words for b in words]
    gapped = has_gap(table)
    reason, away = Words(), Words()
    for k, code in enumerate((text_why * len(words) + image_why).tolist()):
        away.append(words[text_why[k]] if left_out[k] else "")
        if gapped[k] and not out[k]:
            reason.append(_explain(table[k], policy, words[text_why[k]], words[image_why[k]]))
        else:
            reason.append(phrases[code])
    return WeightTable(table, np.asarray(text_weight), np.asarray(image_weight), reason, away)


def _narrow(policy: Policy, modality: str) -> Policy:
    """Return the policy of one modality: with `only`, the other one's parts weigh 1."""
    return policy if policy.only in (None, modality) else Policy(policy="uniform", unjudged=policy.unjudged)


def has_gap(rows: RewardTable) -> list[bool]:
    """Return for each row whether something was not judged."""
    text, image = ([bool(word) for word in column.words] for column in (rows.text_gap, rows.image_gap))
    return [
        text[a] or image[b] for a, b in zip(rows.text_gap.codes.tolist(), rows.image_gap.codes.tolist(), strict=True)
    ]


def _explain(row: RewardRow, policy: Policy, text: str, image: str) -> str:
    """Return the reason of the weights of a sample with a gap: the unjudged part replaces `unscored`."""
    gaps = find_gaps(row, policy)
    said = [f"unjudged, {gap}" if gap else word for gap, word in zip(gaps, (text, image), strict=True)]
    return f"text: {said[0]}; image: {said[1]}"


def find_gaps(row: RewardRow, policy: Policy) -> tuple[str, str]:
    """Return what was not judged for a sample's text weight and image weight, `""` if nothing is missing.

    A shared weight depends on both rewards, or on the one that `joint` names, so a gap there concerns both weights.
    """
    if policy.modalities == "separate":
        return row.text_gap, row.image_gap
    parts = {"text": (row.text_gap,), "image": (row.image_gap,)}.get(policy.joint, (row.text_gap, row.image_gap))
    gap = "; ".join(dict.fromkeys(part for part in parts if part))
    return gap, gap


def modality_rewards(rows: RewardTable, policy: Policy) -> tuple[Floats, Floats]:
    """Return the rewards that determine the text and the image weight, float64 (n,) each, NaN where unscored."""
    import numpy as np

    text, image = rows.text, rows.image
    if policy.modalities == "separate":
        return text, image
    joint = _join(text, image, policy.joint)
    found = has_gap(rows)
    gaps = np.fromiter(
        (found[k] and bool(find_gaps(rows[k], policy)[0]) for k in range(len(rows))), np.bool_, len(rows)
    )
    joint = np.where(gaps, np.nan, joint)
    return joint, joint


def _join(text: Floats, image: Floats, how: str) -> Floats:
    import numpy as np

    if how == "text":
        return text
    if how == "image":
        return image
    ways: dict[str, Callable[[], Floats]] = {
        "genmean": lambda: np.sqrt(text * image),
        "mean": lambda: (text + image) / 2,
        "product": lambda: text * image,
        "min": lambda: np.minimum(text, image),
    }
    both = ways[how]()
    # An absent part is left out: the joint reward is then that of the other part.
    return np.where(np.isnan(text), image, np.where(np.isnan(image), text, both))


def _join_advantages(rows: RewardTable, policy: Policy) -> tuple[Floats, Floats]:
    """Return the advantages of text and image, float64 (n,) each; a shared one is their mean, or as `joint` says."""
    text, image = rows.text_advantage, rows.image_advantage
    if policy.modalities == "separate":
        return text, image
    joint = _join(text, image, policy.joint)
    return joint, joint


def _weigh_modality(reward: Floats, advantage: Floats | None, rows: RewardTable, policy: Policy) -> tuple[Floats, Ints]:
    """Return weights float64 (n,) and reason codes int64 (n,) of one modality; `reward` is NaN if unscored.

    An `advantage` that is known before replaces the one of the rewards, but under `uniform`.
    """
    import numpy as np

    from datagen.weighting import formulas as formulas

    weight = np.zeros(len(rows))
    why = np.full(len(rows), UNSCORED, dtype=np.int64)
    scored = np.flatnonzero(~np.isnan(reward))
    group = formulas.number(rows.group.codes[scored])
    if advantage is None or policy.policy == "uniform":
        raw = formulas.FORMULAS[policy.policy](reward[scored], group, policy)
    else:
        raw = np.where(advantage[scored] > formulas.EQUAL, advantage[scored], 0.0)
    if policy.gap:
        raw = raw * (1 + policy.gap * np.abs(np.nan_to_num(rows.misjudged[scored])))
    dropped = formulas.find_equal((reward if advantage is None else advantage)[scored], group) & policy.drop_equal
    failed = formulas.find_failed(reward[scored], group) & (policy.policy != "uniform")
    keep = (raw > 0) & ~dropped & ~failed
    kept = scored[keep]
    scopes = {"weakness": rows.weakness.codes, "group": rows.group.codes}
    scope = formulas.number(scopes.get(policy.normalize, np.zeros(len(rows), np.int64))[kept])
    weight[kept] = formulas.scale(raw[keep], scope, policy)
    why[scored] = np.where(failed, FAILED, np.where(dropped, EQUAL_GROUP, np.where(keep, WEIGHTED, REFUSED)))
    if policy.clip is not None:
        low, high = policy.clip
        why[kept] = np.where(weight[kept] >= high, CAPPED, np.where(weight[kept] <= low, LIFTED, WEIGHTED))
    return weight, why


def describe_reasons(policy: Policy) -> list[str]:
    """Return the text of each reason code for a policy."""
    refused = {
        "best": "not the best of its group",
        "advantage": "not better than the mean of its group",
        "threshold": f"below the threshold {policy.threshold:g}",
    }
    low, high = policy.clip or (0.0, 0.0)
    return [
        "unscored",
        "weighted",
        "dropped, all rewards of its group are equal",
        refused.get(policy.policy, "refused"),
        f"clipped to {high:g}",
        f"lifted to {low:g}",
        "fails all that was asked, as does its whole group",
        "rejected by a person",
        "repeats a sample of another prompt",
    ]
