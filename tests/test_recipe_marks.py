"""What runs are known by: the notes, fingerprints and marks of recipes do not depend on how a recipe is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.config import Recipe, fingerprint_of, load_recipe, make_recipe, stage_marks
from datagen.plugins import shipped_path
from datagen.records import hash_of

FILES, MAKERS = {"a": "1"}, {"scores": {"own/scorer.py": "0f"}}
SHIPPED = {
    "du_vlg": ("a768d6b2257ebff4", "0d19f609512e3533", "9927b03fc6fee8bc"),
    "ernie_vilg": ("b3d90c844324fc52", "0d19f609512e3533", "9927b03fc6fee8bc"),
    "expanded": ("1050dff63560944a", "cb031ad6a4b8c7db", "1724cce3b5728815"),
    "got_r1": ("378180a9d2eb8e77", "f7a62c3d89129ca0", "aa132c1b31057cb3"),
    "irg": ("722cd2bd00071f84", "b11d1445bfd21fe3", "0ad98fc50f09786e"),
    "lencom": ("a4d8e1ea6123b776", "c5250d37c076f955", "45ad5b3d4014274a"),
    "preference": ("eaa78702b59214bd", "646d77f8dcb93151", "7d0fcd99c87eae47"),
    "quickstart": ("c44236208b9f1325", "84877edf532317f5", "e2cedd31b978a5f5"),
    "reasongen_r1": ("64b8ea00fe055b61", "5167e7e696541c59", "4473725601ad56d2"),
    "reflect": ("932e0a96c236e639", "8fa810b91a434e6a", "4544e325a4bd4a61"),
    "t2i_r1": ("6b173f7961e2476f", "9c02234d091a30f7", "daf4acfbce8a98b1"),
    "tiger": ("cb0e0bfee72d3a3d", "ce44976b0ec12331", "6b012ee4712ee448"),
    "uae": ("1216b194bab7aaf9", "080672a50f933d49", "567e8ed716367897"),
    "unifluid": ("56991939a56366bb", "0d19f609512e3533", "9927b03fc6fee8bc"),
    "weakness_targeted": ("f8bcb2f4d6710400", "71c5471134574370", "c000f1b2046df0dd"),
    "weakness_targeted_benchmark_aligned": ("5aa2506a203b9f90", "af58db24b3479950", "dd6dd2548b7b9935"),
    "weakness_targeted_broad": ("28ccb39efa61319f", "af58db24b3479950", "dd6dd2548b7b9935"),
}
"""Of what each shipped recipe notes, its fingerprint, and its marks: as they were when their keys were plain values."""
WRITTEN: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "whole numbers where others may stand": (
        {
            "weights": {"beta": 1, "clip": [0, 5]},
            "allocate": {"policy": "manual", "shares": {"counting": 1}, "floor": 0, "smoothing": 4},
        },
        ("0627e4c176dc1d02", "b11e24b80f0a37ed", "40286a291eef5c0a"),
    ),
    "empty": (
        {"weights": {}, "expand": {}, "screen": {}},
        ("a43fd36aa62d16fc", "c414da280bddf90f", "964ca17b6cc83795"),
    ),
    "words": (
        {
            "expand": {"backend": "openai", "temperature": 1},
            "screen": {"pii": "yes", "words": ["shipped"]},
            "allocate": {"policy": "uniform"},
        },
        ("a356ca2c903a991a", "489e7cba41ec1d6d", "0c529699057240e9"),
    ),
    "options": (
        {
            "expand": {"backend": {"name": "openai", "model": "m"}, "styles": ["question"], "keep_source": True},
            "adapt": {"start": 2, "by": ["counting"]},
        },
        ("f4f7150290107ef2", "0ecd3b6f714cad47", "0e60a56658a40516"),
    ),
    "nothing": (
        {"expand": None, "allocate": None, "screen": None, "adapt": None},
        ("e08095b942d0823c", "5805bbdffff882fc", "955180770c6d4bfa"),
    ),
}


def marks_of(recipe: Recipe) -> tuple[str, str, str]:
    marks = stage_marks(recipe, FILES, MAKERS)
    # These keys came later; unset, they are noted as null and mark nothing. `train` and the time-out never do.
    keys = ("images", "prices", "cluster", "source", "filter", "track", "deduplicate", "contamination_images")
    later, never = [(key, None) for key in keys], ("train", "scorer_timeout_seconds")
    noted = {key: value for key, value in recipe.to_dict().items() if key not in never and (key, value) not in later}
    return hash_of(noted), fingerprint_of(recipe, FILES, MAKERS), hash_of(marks)


def test_every_shipped_recipe_has_its_marks() -> None:
    assert SHIPPED.keys() == {path.stem for path in shipped_path("recipes").glob("*.yaml")}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_keeps_its_marks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_path())  # paths of files are noted as they are from here
    assert marks_of(load_recipe(name)) == SHIPPED[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_keys_are_noted_as_they_were_written(name: str) -> None:
    written, marks = WRITTEN[name]
    recipe = make_recipe({"taxonomy": "counting", **written})
    noted = recipe.to_dict()
    assert {key: noted[key] for key in written if key != "adapt"} == {k: v for k, v in written.items() if k != "adapt"}
    assert marks_of(recipe) == marks
    assert marks_of(make_recipe(noted)) == marks, "a run reads what it noted"


def test_what_is_noted_is_not_what_was_given(tmp_path: Path) -> None:
    clip = [0, 5]
    recipe = make_recipe({"taxonomy": "counting", "weights": {"clip": clip}})
    clip.append(7)
    recipe.to_dict()["weights"]["beta"] = 3
    assert recipe.to_dict()["weights"] == {"clip": [0, 5]}
