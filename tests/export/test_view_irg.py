"""The six learning modes of IRG: their parts, flags and mix, on rows whose every part is known."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from view_rows import REFLECTION, make_row

from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.export.views.irg import MODES, Options, view

ALL = Options(share=1, judged=False)
PUBLISHED = {
    "initial_thinking_understanding": "prompt image+vit THINK",
    "initial_thinking_generation": "prompt THINK",
    "initial_full": "prompt THINK IMAGE",
    "improving_thinking_understanding": "prompt image+vit refined+vit REFLECT",
    "improving_thinking_generation": "prompt think image+vae+vit REFLECT",
    "improving_full": "prompt think image+vae+vit REFLECT REFINED",
}
"""What each mode shows and teaches, in the order of the sequence; capitals are learned."""


def spell(example: Example) -> str:
    words = []
    for part in example.parts:
        word = part.role.split()[0]
        words.append(word.upper() if part.learned else f"{word}+{part.sees}" if part.sees else word)
    return " ".join(words)


def run(options: Options = ALL, **changes: Any) -> dict[str, Example]:
    return {example.task: example for example in view([make_row("reflect", **changes)], options)}


def test_a_reflected_sample_gives_the_six_modes_with_their_flags() -> None:
    assert {mode: spell(example) for mode, example in run().items()} == PUBLISHED
    assert PUBLISHED.keys() == MODES.keys()


def test_learned_parts_carry_the_weight_of_their_modality_and_conditions_none() -> None:
    for example in run().values():
        for part in example.parts:
            assert part.loss in (0.0, {"text": 0.5, "image": 2.0}[part.kind])
            assert not (part.learned and (part.sees or part.role == "prompt"))


def test_texts_and_images_are_those_of_the_sample() -> None:
    row = make_row("reflect")
    *_, thought, first, reflection, improved = run()["improving_full"].parts
    assert (first.image, improved.image) == tuple(row["images"])
    assert (thought.text, reflection.text) == (row["segments"][0]["text"], REFLECTION)
    assert [line.split(":")[0] for line in reflection.text.splitlines()] == [
        "Required improvements",
        "Final prompt",
        "Step-by-step guidance",
    ]


def test_a_switch_is_learned_only_before_an_image_that_is_learned() -> None:
    switches = {
        mode: [part.role for part in example.parts if part.switch] for mode, example in run(switch="autonomous").items()
    }
    assert {mode: roles for mode, roles in switches.items() if roles} == {
        "initial_full": ["think"],
        "improving_full": ["reflect"],
    }
    assert not any(part.switch for example in run().values() for part in example.parts)


def test_the_refined_image_must_beat_the_first() -> None:
    judged = Options(share=1)
    better, same, worse, unknown = (set(run(judged, gain=gain)) for gain in (0.25, 0.0, -0.25, None))
    thinking = {"initial_thinking_understanding", "initial_thinking_generation"}
    improving = {mode for mode in MODES if mode.startswith("improving")}
    assert better == thinking | improving
    assert same == worse == thinking | {"initial_full"}
    assert unknown == thinking
    assert set(run(judged, gain=1e-12)) == same


def test_stage_2_has_the_full_modes_alone() -> None:
    assert set(run(Options(stage=2, judged=False))) == {"initial_full", "improving_full"}


def test_stage_1_draws_half_of_the_other_modes_the_same_every_time() -> None:
    rows = [make_row("reflect", id=f"p{k}-00") for k in range(400)]
    drawn = {example.id for example in view(rows, Options(judged=False))}
    assert drawn == {example.id for example in view(reversed(rows), Options(judged=False))}
    counts = Counter(example.task for example in view(rows, Options(judged=False)))
    assert (counts["initial_full"], counts["improving_full"]) == (400, 400)
    others = [counts[mode] for mode in MODES if not mode.endswith("full")]
    # 400 draws at 0.5: four standard deviations are 40
    assert all(160 <= count <= 240 for count in others)
    assert len(set(others)) > 1
    assert not any(mode.endswith("g") for mode in run(Options(share=0, judged=False)))


def test_what_weighs_nothing_is_not_taught() -> None:
    assert run(kept=False) == {}
    assert set(run(text_weight=None)) == {"initial_full", "improving_full"}
    assert set(run(image_weight=0.0)) == set(MODES)


def test_a_run_without_reflection_is_one_clear_line() -> None:
    with pytest.raises(RunError, match="mode 'reflect', but this run has 'think'") as caught:
        list(view([make_row("think", kept=False)], ALL))
    assert "mode: reflect" in str(caught.value)


def test_two_reflections_are_refused() -> None:
    row = make_row("reflect")
    row["segments"] = [*row["segments"], *row["segments"][2:]]
    with pytest.raises(RunError, match="one reflection"):
        list(view([row], ALL))
