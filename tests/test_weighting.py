from __future__ import annotations

import itertools
import json
import math
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datagen.errors import RunError
from datagen.weighting import Policy, RewardRow, RewardTable, Weight, diagnose_weights, receipt_of, weigh

POLICIES = ["rwr", "softmax", "advantage", "rank", "best", "threshold", "uniform"]


def make_rows(*groups: list[float | None], weakness: str = "counting", skill: str = "one_kind") -> list[RewardRow]:
    """One row per reward, which stands for the image; the text reward is absent."""
    return [
        RewardRow(f"{g}-{k}", f"{weakness}{g}", weakness, skill, None, reward)
        for g, group in enumerate(groups)
        for k, reward in enumerate(group)
    ]


def image_weights(rows: list[RewardRow], **fields: Any) -> list[float]:
    fields = {"normalize": "none", "clip": None, **fields}
    return [weight.image_weight for weight in weigh(rows, Policy(**fields))]


def test_rwr_is_the_exponential_of_the_reward() -> None:
    assert image_weights(make_rows([0.0, 0.5, 1.0]), policy="rwr", beta=0.5) == pytest.approx([1, math.e, math.e**2])


def test_softmax_sums_to_the_size_of_each_group() -> None:
    found = image_weights(make_rows([0.0, 1.0], [0.3, 0.3, 0.3]), policy="softmax", beta=1.0)
    share = math.e / (1 + math.e)
    assert found == pytest.approx([2 * (1 - share), 2 * share, 1, 1, 1])


def test_advantage_is_the_positive_part_of_the_z_score() -> None:
    # mean 0.5, off by -0.5, 0, 0.5; variance with n - 1: (0.25 + 0 + 0.25) / 2 = 0.25, std 0.5
    found = image_weights(make_rows([0.0, 0.5, 1.0]), policy="advantage")
    assert found == pytest.approx([0, 0, 0.5 / (0.5 + 1e-4)])


def test_rank_shares_the_mean_rank_among_ties() -> None:
    # ranks 1, 2.5, 2.5, 4 of 4: twice the rank over 5
    assert image_weights(make_rows([0.1, 0.4, 0.4, 0.9]), policy="rank") == pytest.approx([0.4, 1, 1, 1.6])


def test_rank_does_not_mix_groups() -> None:
    rows = make_rows([0.9, 0.1], [0.2, 0.3])
    rows = [rows[0], rows[2], rows[1], rows[3]]
    assert image_weights(rows, policy="rank") == pytest.approx([4 / 3, 2 / 3, 2 / 3, 4 / 3])


def test_best_gives_ties_equal_parts_of_one() -> None:
    assert image_weights(make_rows([0.1, 0.9, 0.9], [0.2]), policy="best") == [0, 0.5, 0.5, 1]


def test_threshold_keeps_the_threshold_itself() -> None:
    assert image_weights(make_rows([0.49, 0.5, 0.51]), policy="threshold", threshold=0.5) == [0, 1, 1]


def test_uniform_ignores_rewards() -> None:
    assert image_weights(make_rows([0.0, None, 1.0]), policy="uniform") == [1, 0, 1]


@pytest.mark.parametrize(
    ("policy", "alone"),
    [("rwr", math.exp(0.25 / 0.25)), ("softmax", 1), ("advantage", 0), ("rank", 1), ("best", 1), ("uniform", 1)],
)
def test_a_group_of_one(policy: str, alone: float) -> None:
    assert image_weights(make_rows([0.25]), policy=policy, beta=0.25) == pytest.approx([alone])


def test_clip_and_mean_one_hold_together() -> None:
    # raw 1, e^2, e^4 with upper bound 2: the largest sits at 2, the others share 1 in the ratio 1 : e^2
    found = image_weights(make_rows([0.0, 0.5, 1.0]), policy="rwr", beta=0.25, normalize="weakness", clip=(0.0, 2.0))
    assert found == pytest.approx([1 / (1 + math.e**2), math.e**2 / (1 + math.e**2), 2])


def test_clip_does_not_bring_back_losers() -> None:
    assert image_weights(make_rows([0.0, 1.0]), policy="best", clip=(0.5, 2.0)) == [0, 1]


def test_mean_is_one_over_the_kept_of_each_weakness() -> None:
    rows = make_rows([0.1, 0.9]) + make_rows([0.2, 0.4, 0.8], weakness="spatial")
    found = image_weights(rows, policy="rwr", normalize="weakness")
    assert sum(found[:2]) == pytest.approx(2)
    assert sum(found[2:]) == pytest.approx(3)


def test_the_run_as_scope_lets_the_better_weakness_weigh_more() -> None:
    rows = make_rows([0.25, 0.25]) + make_rows([1.0, 1.0], weakness="spatial")
    found = image_weights(rows, policy="rwr", normalize="run")
    assert sum(found) == pytest.approx(4)
    assert found[2] / found[0] == pytest.approx(math.exp(3))


def test_equal_groups_can_be_dropped_and_a_group_of_one_is_not_equal() -> None:
    rows = make_rows([0.5, 0.5], [0.1, 0.2], [0.7])
    kept, dropped = (weigh(rows, Policy(policy="rank", drop_equal=drop)) for drop in (False, True))
    assert all(weight.kept for weight in kept)
    assert [weight.kept for weight in dropped] == [False, False, True, True, True]
    assert "all rewards of its group are equal" in dropped[0].reason


def test_none_is_unscored_and_takes_no_part_in_its_group() -> None:
    with_gap = weigh(make_rows([None, 0.2, 0.8]), Policy(policy="rank"))
    without = weigh(make_rows([0.2, 0.8]), Policy(policy="rank"))
    assert with_gap[0] == Weight("0-0", 0.0, 0.0, False, "text: unscored; image: unscored")
    assert [w.image_weight for w in with_gap[1:]] == [w.image_weight for w in without]


def test_text_and_image_are_weighed_apart() -> None:
    rows = [RewardRow("a", "g", "w", "s", 1.0, 0.0), RewardRow("b", "g", "w", "s", 0.0, 1.0)]
    first, second = weigh(rows, Policy(policy="best"))
    assert (first.text_weight, first.image_weight) == (1, 0)
    assert (second.text_weight, second.image_weight) == (0, 1)
    assert first.kept
    assert second.kept
    assert first.reason == "text: weighted; image: not the best of its group"


@pytest.mark.parametrize(
    ("joint", "expected"),
    [("genmean", 0.4), ("mean", 0.5), ("product", 0.16), ("min", 0.2), ("text", 0.2), ("image", 0.8)],
)
def test_shared_is_one_weight_by_one_reward(joint: Any, expected: float) -> None:
    rows = [RewardRow("a", "g", "w", "s", 0.2, 0.8)]
    policy = Policy(policy="rwr", beta=1, normalize="none", modalities="shared", joint=joint)
    (weight,) = weigh(rows, policy)
    assert weight.text_weight == weight.image_weight == pytest.approx(math.exp(expected))


def test_shared_leaves_an_absent_part_out() -> None:
    rows = [RewardRow("a", "g", "w", "s", None, 0.8), RewardRow("b", "g", "w", "s", 0.8, 0.8)]
    first, second = weigh(rows, Policy(policy="rwr", modalities="shared"))
    assert first.text_weight == pytest.approx(second.text_weight)


def test_nothing_in_nothing_out() -> None:
    assert list(weigh([], Policy())) == []
    assert diagnose_weights([], [], Policy()).to_dict() == {"rows": [], "warnings": [], "idle": []}


@pytest.mark.parametrize("reward", [math.nan, math.inf, -0.1, 1.1])
def test_a_number_that_is_no_reward_is_refused_with_its_sample(reward: float) -> None:
    with pytest.raises(RunError, match="sample 0-1"):
        weigh(make_rows([0.5, reward]), Policy())


@pytest.mark.parametrize(
    "fields",
    [
        {"policy": "greedy"},
        {"betta": 1},
        {"beta": 0},
        {"beta": math.nan},
        {"clip": (2.0, 1.0)},
        {"clip": (-1.0, 2.0)},
        {"clip": (2.0, 5.0)},
        {"clip": (0.0, 0.5)},
        {"threshold": 1.5},
    ],
)
def test_a_policy_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**fields)


def test_receipt_holds_raw_rewards_and_every_parameter_but_those_of_always() -> None:
    (row,) = make_rows([0.5])
    receipt = json.loads(json.dumps(receipt_of(row, Policy(beta=0.3), "why")))
    assert receipt["rewards"] == {"text": None, "image": 0.5}
    assert receipt["policy"].keys() == Policy.model_fields.keys() - {"join", "gap", "only"}
    assert receipt["policy"]["beta"] == 0.3
    assert Policy(**receipt["policy"]) == Policy(beta=0.3)


rewards = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
groups = st.lists(st.lists(rewards, min_size=1, max_size=6), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    groups=groups,
    policy=st.sampled_from(POLICIES),
    beta=st.floats(0.01, 2),
    clip=st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(1, 50))),
    scope=st.sampled_from(["weakness", "run", "group"]),
    drop=st.booleans(),
)
def test_properties(groups: Any, policy: Any, beta: float, clip: Any, scope: Any, drop: bool) -> None:
    rows = make_rows(*groups[: len(groups) // 2]) + make_rows(*groups[len(groups) // 2 :], weakness="spatial")
    chosen = Policy(policy=policy, beta=beta, clip=clip, normalize=scope, drop_equal=drop)
    weights = weigh(rows, chosen)
    assert [weight.sample_id for weight in weights] == [row.sample_id for row in rows]
    scopes: dict[str, list[float]] = {}
    by_group: dict[str, list[tuple[float, float]]] = {}
    for row, weight in zip(rows, weights, strict=True):
        assert math.isfinite(weight.image_weight)
        assert weight.text_weight == 0
        assert weight.kept == (weight.image_weight > 0)
        if row.image is None:
            assert weight.image_weight == 0
            continue
        by_group.setdefault(row.group, []).append((row.image, weight.image_weight))
        if weight.kept:
            if clip is not None:
                assert clip[0] <= weight.image_weight <= clip[1]
            key = {"weakness": row.weakness, "run": "", "group": row.group}[scope]
            scopes.setdefault(key, []).append(weight.image_weight)
    for values in scopes.values():
        assert sum(values) / len(values) == pytest.approx(1, abs=1e-6)
    for pairs in by_group.values():
        ordered = [weight for _, weight in sorted(pairs)]
        assert all(low <= high * (1 + 1e-9) + 1e-12 for low, high in itertools.pairwise(ordered))


@settings(max_examples=50, deadline=None)
@given(groups=groups, policy=st.sampled_from(POLICIES), seed=st.integers(0, 99))
def test_order_of_rows_does_not_matter(groups: Any, policy: Any, seed: int) -> None:
    rows = make_rows(*groups)
    shuffled = random.Random(seed).sample(rows, len(rows))
    one, two = ({w.sample_id: w for w in weigh(part, Policy(policy=policy))} for part in (rows, shuffled))
    for name, weight in one.items():
        assert weight.image_weight == pytest.approx(two[name].image_weight, rel=1e-6, abs=1e-9)
        assert weight.kept == two[name].kept


def test_effective_sample_size_and_top_share_by_hand() -> None:
    rows = make_rows([0.1, 0.2, 0.3, None])
    weights = [Weight(row.sample_id, 0.0, value, value > 0, "") for row, value in zip(rows, [1, 1, 2, 0], strict=True)]
    report = diagnose_weights(rows, weights, Policy(clip=(0.0, 2.0)))
    found = {row.modality: row for row in report.rows}["image"]
    assert (found.samples, found.scored, found.kept) == (4, 3, 3)
    assert found.effective == pytest.approx(16 / 6)
    assert found.effective_share == pytest.approx(16 / 18)
    assert found.top_share == pytest.approx(0.5)
    assert found.clipped_share == pytest.approx(1 / 3)
    assert found.mean_reward == pytest.approx(0.2)


def test_top_one_percent_of_two_hundred_are_two() -> None:
    rows = make_rows([0.5] * 200)
    values = [50.0, 48.0] + [1.0] * 198
    weights = [Weight(row.sample_id, 0.0, value, True, "") for row, value in zip(rows, values, strict=True)]
    report = diagnose_weights(rows, weights, Policy(clip=None))
    assert report.rows[0].top_share == pytest.approx(98 / 296)


@pytest.mark.parametrize(("contrary", "warns"), [(7, False), (8, True)])
def test_texts_that_weigh_more_than_those_of_better_images_are_told(contrary: int, warns: bool) -> None:
    """Each of ten prompts has one good image and three others, which makes 30 pairs; in 8 of them it is too often."""
    rows, weights = [], []
    for group in range(10):
        for k in range(4):
            name = f"{group}-{k}"
            rows.append(RewardRow(name, str(group), "w", "s", 0.5, 1.0 if k == 0 else 0.2))
            heavy = 2.0 if k == 1 and group < contrary else 0.5
            weights.append(Weight(name, 1.0 if k == 0 else heavy, 1.0, True, ""))
    (told,) = [each for each in diagnose_weights(rows, weights, Policy()).warnings if "worse image" in each] or [""]
    start = "w/s, text: of 30 pairs of candidates whose images differ, in 27% the text of the worse image weighs more; "
    assert told.startswith(start) if warns else not told


def test_degenerate_groups_are_counted() -> None:
    rows = make_rows([0.5, 0.5], [0.1, 0.2], [0.7, None], [None, None])
    report = diagnose_weights(rows, weigh(rows, Policy()), Policy())
    found = {row.modality: row for row in report.rows}["image"]
    assert (found.groups, found.equal_groups, found.single_groups, found.degenerate_groups) == (3, 1, 1, 2)
    assert {row["modality"]: row["degenerate_groups"] for row in report.to_dict()["rows"]} == {"image": 2, "text": 0}


def test_a_dominant_skill_is_named_and_an_even_mix_is_not() -> None:
    easy = make_rows(*[[1.0, 0.0]] * 5, skill="easy")
    hard = make_rows(*[[0.1, 0.0]] * 5, skill="hard")
    policy = Policy(policy="threshold")
    report = diagnose_weights(easy + hard, weigh(easy + hard, policy), policy)
    (warning,) = report.warnings
    assert warning == "counting, image: counting/easy dominates with 100% of the weight from 50% of the samples"
    even = Policy(policy="uniform")
    assert diagnose_weights(easy + hard, weigh(easy + hard, even), even).warnings == ()


def test_a_large_skill_does_not_dominate_by_size_alone() -> None:
    rows = make_rows(*[[1.0, 0.0]] * 9, skill="large") + make_rows([1.0, 0.0], skill="small")
    policy = Policy(policy="best")
    assert diagnose_weights(rows, weigh(rows, policy), policy).warnings == ()


def test_thin_and_empty_weights_are_warned_of() -> None:
    rows = make_rows([1.0] + [0.0] * 29)
    policy = Policy(policy="best")
    (thin,) = diagnose_weights(rows, weigh(rows, policy), policy).warnings
    assert "rests on 1.0 of 30 samples" in thin
    none = Policy(policy="threshold", threshold=0.9)
    rows = make_rows([0.1, 0.2])
    (empty,) = diagnose_weights(rows, weigh(rows, none), none).warnings
    assert "no sample of 2 keeps a weight" in empty


def many_rows(count: int) -> list[RewardRow]:
    rng = random.Random(count)
    return [
        RewardRow(
            f"prompt-{k // 4:08d}-{k % 4:02d}",
            f"prompt-{k // 4:08d}",
            f"weakness {k % 3}",
            f"skill {k % 7}",
            None if k % 5 == 0 else rng.random(),
            rng.random(),
            text_gap="no plan" if k % 5 == 0 else "",
            passed=(None, True, False)[k % 3],
        )
        for k in range(count)
    ]


def test_a_table_reads_like_its_rows() -> None:
    rows = many_rows(50)
    table = RewardTable(rows)
    assert (list(table), table[-1], table[3:9:2], len(table)) == (rows, rows[-1], rows[3:9:2], 50)
    assert RewardTable.of(table) is table
    weights = weigh(table, Policy())
    assert (list(weights), weights[-1]) == (list(weigh(rows, Policy())), list(weights)[-1])
    assert diagnose_weights(table, weights, Policy()) == diagnose_weights(rows, list(weights), Policy())
    with pytest.raises(IndexError):
        table[50]


def test_a_million_rows_would_take_little_memory() -> None:
    """Rows and their weights as objects take about 500 bytes each."""
    count = 40_000
    weigh(many_rows(4), Policy())  # numpy is loaded
    tracemalloc.start()
    table = RewardTable(row for row in many_rows(count))
    weights = weigh(table, Policy())
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(weights) == count
    assert held / count < 200


def test_what_is_left_out_counts_as_unscored_in_the_health_of_weights() -> None:
    """Its text weighs nothing, which is no text that weighs less than that of a worse image."""
    rows = [
        RewardRow(f"p{k}-{c}", f"p{k}", "w", "s", 0.5, reward) for k in range(40) for c, reward in enumerate((1.0, 0.5))
    ]
    policy = Policy(policy="uniform")
    report = diagnose_weights(rows, weigh(rows, policy, {f"p{k}-0" for k in range(40)}), policy)
    assert report.warnings == ()
    assert {(row.samples, row.scored, row.kept, row.single_groups) for row in report.rows} == {(80, 40, 40, 40)}
    assert {row.modality: row.mean_reward for row in report.rows} == {"text": 0.5, "image": 0.5}


def make_ahead(*advantages: tuple[float | None, float | None]) -> list[RewardRow]:
    """Rows of one group with advantages of text and image."""
    rows = enumerate(advantages)
    rewards = [(k, *(None if each is None else 0.5 + 0.1 * k for each in pair), *pair) for k, pair in rows]
    return [
        RewardRow(f"a-{k}", "a", "w", "s", text, image, text_advantage=ahead, image_advantage=ahead_image)
        for k, text, image, ahead, ahead_image in rewards
    ]


def test_joined_before_the_positive_advantage_is_the_weight() -> None:
    rows = make_ahead((1.5, -1.0), (-1.5, 0.25), (1e-12, 0.75))
    plain = Policy(policy="advantage", join="before", normalize="none", clip=None)
    found = weigh(rows, plain)
    assert [weight.text_weight for weight in found] == [1.5, 0, 0]
    assert [weight.image_weight for weight in found] == [0, 0.25, 0.75]
    assert found[0].reason == "text: weighted; image: not better than the mean of its group"
    shared = Policy(policy="advantage", join="before", normalize="none", clip=None, modalities="shared", joint="mean")
    assert [weight.image_weight for weight in weigh(rows, shared)] == [0.25, 0, pytest.approx(0.375)]


def test_joined_after_is_what_it_was_and_is_not_written() -> None:
    rows = make_ahead((1.5, -1.0), (-1.5, 0.25), (0.5, 0.75))
    policy = Policy(policy="advantage")
    assert list(weigh(rows, policy)) == list(weigh([replace(row, text_advantage=None) for row in rows], policy))
    assert "join" not in policy.model_dump(mode="json")
    assert Policy(policy="advantage", join="before").model_dump(mode="json")["join"] == "before"


@pytest.mark.parametrize("fields", [{"policy": "rwr"}, {"policy": "advantage", "modalities": "shared"}])
def test_joined_before_needs_advantages_that_add(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="join: before"):
        Policy(join="before", **fields)


@pytest.mark.parametrize("policy", [Policy(), Policy(policy="advantage", join="before"), Policy(drop_equal=True)])
def test_rewards_weigh_one_modality_alone_and_the_other_as_uniform_does(policy: Policy) -> None:
    rows = make_ahead((1.5, -1.0), (-1.5, 0.25), (0.5, 0.75))
    both, none = weigh(rows, policy), weigh(rows, Policy(policy="uniform"))
    image = weigh(rows, policy.model_copy(update={"only": "image"}))
    assert [row.image_weight for row in image] == [row.image_weight for row in both]
    assert [row.text_weight for row in image] == [row.text_weight for row in none] == [1, 1, 1]
    text = weigh(rows, policy.model_copy(update={"only": "text"}))
    assert [row.text_weight for row in text] == [row.text_weight for row in both]
    assert [row.image_weight for row in text] == [1, 1, 1]


def test_one_modality_alone_needs_a_weight_of_its_own() -> None:
    with pytest.raises(ValidationError, match="only: text"):
        Policy(only="text", modalities="shared")
