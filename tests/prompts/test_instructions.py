from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config import STYLES
from datagen.errors import ConfigError
from datagen.prompts.expanded import instruct


@pytest.mark.parametrize("style", STYLES)
def test_the_short_form_is_what_a_model_was_trained_on(style: str) -> None:
    assert instruct(style, 'the word "OPEN"', form="pictograms") == f'Rewrite as a {style}: the word "OPEN"'
    shorter = instruct(style, "a star", form="pictograms", persona="a cook", scene="a fair")
    assert shorter == f"Rewrite as a {style}: a star"


@pytest.mark.parametrize("style", STYLES)
def test_the_full_form_says_everything(style: str) -> None:
    said = instruct(style, 'two <red> stars & a "GO"', form="instruct", persona="a cook", scene="a village fair")
    for part in (f"as a {style}.", 'two <red> stars & a "GO"', "a cook", "a village fair", "letter for letter"):
        assert part in said
    assert ('{"prompt":' in said) is (style != "JSON brief")
    assert ('{"objects":' in said) is (style == "JSON brief")
    assert f"A {style} " in said
    assert "\n\n\n" not in said
    assert "{%" not in said


def test_without_persona_and_scene_nothing_is_said_of_them() -> None:
    said = instruct("question", "a star", form="instruct")
    assert "person would" not in said
    assert "setting" not in said


def test_a_style_of_a_user_needs_no_description() -> None:
    assert "as a limerick." in instruct("limerick", "a star", form="instruct")


def test_a_file_takes_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("{{ persona }} says {{ prompt }} ({{ style }})\n")
    assert instruct("question", "a {{ star }}", form=tmp_path / "mine.j2", persona="Ada") == (
        "Ada says a {{ star }} (question)"
    )


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ promt }}", "promt"),
        ("Rewrite it.", "leaves out the prompt"),
        ("{{ prompt ", "fails"),
        ("{{ prompt }}{{ 1 // 0 }}", "fails"),
        ("{{ prompt }}{{ prompt.__class__.__mro__ }}", "fails"),
    ],
)
def test_a_template_that_fails_is_named(tmp_path: Path, template: str, says: str) -> None:
    path = tmp_path / "mine.j2"
    path.write_text(template)
    with pytest.raises(ConfigError, match=says) as caught:
        instruct("question", "a star", form=path)
    assert caught.value.where == str(path)
    assert "{{ prompt }}" in caught.value.hint


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.j2").write_bytes(b"\xff\xfe\xff{{ prompt }}")
    for form in ("nothing", tmp_path / "none.j2", tmp_path / "bad.j2"):
        with pytest.raises(ConfigError, match="template fails"):
            instruct("question", "a star", form=form)
