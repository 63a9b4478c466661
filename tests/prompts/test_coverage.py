"""What prompts cover of their skills is counted as a person would count it."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.project import init_project
from datagen.prompts.coverage import cover
from datagen.prompts.templated import plan_prompts
from datagen.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture
def taxonomy(tmp_path: Path) -> Taxonomy:
    init_project(tmp_path / "shop")
    return load_taxonomy([tmp_path / "shop/taxonomies/shop.yaml"], "pictograms")


def test_levels_wordings_and_missing_values_are_counted(taxonomy: Taxonomy) -> None:
    prompts = [prompt for prompt in plan_prompts(taxonomy, 12, 1) if prompt.skill == "few"]
    few = cover(taxonomy, prompts)[0]
    assert few.levels == {level: sum(p.level == level for p in prompts) for level in ("easy", "hard")}
    assert few.prompts == len(prompts) == 6
    assert (few.wordings, few.wordings_used) == (3, len({p.template for p in prompts}))
    slots = {slot.name: slot for slot in few.slots}
    assert slots["n"].values == 3
    for name, slot in slots.items():
        used = {p.slots[name] for p in prompts}
        assert not used & set(slot.missing)
        assert len(used) + len(slot.missing) == slot.values


def test_a_skill_without_a_prompt_lacks_everything(taxonomy: Taxonomy) -> None:
    pair = cover(taxonomy, [])[1]
    assert (pair.path, pair.prompts, pair.wordings_used) == ("shop/pair", 0, 0)
    assert all(len(slot.missing) == slot.values for slot in pair.slots)


def test_enough_prompts_cover_every_value(taxonomy: Taxonomy) -> None:
    few = cover(taxonomy, plan_prompts(taxonomy, 720, 1))[0]
    assert few.distinct.count == 360
    assert not any(slot.missing for slot in few.slots)
