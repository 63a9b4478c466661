"""The page in a browser: it edits the files and loses no word, whatever else happens to them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.studio import Served, Tab

NAME = "taxonomies/shop.yaml"
TITLE = "title: Small groups and pairs"
TITLE_LINE = 4
FAULTS = "document.getElementById('faults').innerText"


@pytest.fixture
def file(project: Path) -> Path:
    return project / NAME


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def test_it_opens_the_first_taxonomy_and_asks_for_nothing_elsewhere(tab: Tab, served: Served) -> None:
    assert "weakness: shop" in tab.text
    assert tab.run("document.getElementById('fault-count').textContent") == "none"
    assert tab.page.complaints() == []
    assert all(url.startswith(served.address) for url in tab.page.requests())
    assert tab.run("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"


def test_what_is_typed_is_in_the_file(tab: Tab, file: Path) -> None:
    tab.type_at(TITLE_LINE, ", and more: ä")
    tab.wait_saved()
    assert f"{TITLE}, and more: ä\n" in read(file)


def test_a_fault_stands_at_its_line_as_datagen_check_says_it(tab: Tab, file: Path) -> None:
    tab.type_at(3, "!")
    tab.wait(f"{FAULTS}.includes('3:11')")
    tab.wait("document.querySelector('.cm-lint-marker-error') !== null")
    assert tab.run("document.querySelector('.cm-lintRange-error').innerText") == "shop!"
    tab.page.press("Backspace")
    tab.wait(f"{FAULTS} === ''")
    tab.wait_saved()
    assert "weakness: shop\n" in read(file)


def test_broken_yaml_is_kept_and_the_last_prompts_stay(tab: Tab, file: Path) -> None:
    before = tab.run("document.getElementById('prompts').innerText")
    tab.type_at(2, ": [{")
    tab.wait("document.getElementById('prompts').dataset.state === 'error'")
    assert tab.run("document.getElementById('prompts').innerText") == before
    assert "last sound version" in tab.run("document.getElementById('look-error').textContent")
    assert tab.run("document.getElementById('faults').childElementCount") >= 1
    assert "version: 1: [{" in read(file)


def test_a_fault_in_a_template_is_shown_at_the_template_and_a_click_goes_there(tab: Tab, project: Path) -> None:
    template = project / "templates/shop/few.j2"
    template.write_text(read(template) + "{{ mny(n, color, object) }}\n", encoding="utf-8")
    tab.wait(f"{FAULTS}.includes('templates/shop/few.j2:5:')")
    tab.run("document.querySelector('#faults button').click()")
    tab.wait("document.getElementById('file').value === 'templates/shop/few.j2'")
    tab.wait("document.querySelector('.cm-lintRange-error') !== null")
    assert tab.run("document.querySelector('.cm-activeLine').innerText").startswith("{{ mny(")


def test_undo_and_redo_work_and_are_saved(tab: Tab, file: Path) -> None:
    before = read(file)
    tab.type_at(TITLE_LINE, " again")
    tab.wait_saved()
    tab.hold_control("z")
    tab.wait(
        f"![...document.querySelectorAll('.cm-line')].some((line) => line.innerText === {json.dumps(TITLE + ' again')})"
    )
    tab.wait_saved()
    assert read(file) == before
    tab.hold_control("y")
    tab.wait(
        f"[...document.querySelectorAll('.cm-line')].some((line) => line.innerText === {json.dumps(TITLE + ' again')})"
    )
    tab.wait_saved()
    assert f"{TITLE} again" in read(file)


def test_a_file_changed_outside_is_reloaded_and_undo_brings_back_the_old_one(tab: Tab, file: Path) -> None:
    before = read(file)
    file.write_text(before.replace(TITLE, "title: Theirs"), encoding="utf-8")
    tab.wait("document.querySelector('.cm-content').innerText.includes('title: Theirs')")
    assert tab.run("document.getElementById('saved').dataset.state") == "saved"
    tab.type_at(TITLE_LINE, "")  # a click
    tab.hold_control("z")
    tab.wait(f"document.querySelector('.cm-content').innerText.includes({json.dumps(TITLE)})")
    tab.wait_saved()
    assert read(file) == before


@pytest.fixture
def second(program: str, served: Served, tmp_path: Path) -> Iterator[Tab]:
    """Another browser with the same page."""
    other = Tab(program, tmp_path / "profile")
    yield other.open(served.address)
    other.page.close()


def test_what_one_tab_saves_the_other_shows(tab: Tab, second: Tab, file: Path) -> None:
    tab.type_at(TITLE_LINE, " from one")
    second.wait("document.querySelector('.cm-content').innerText.includes('pairs from one')")
    second.type_at(TITLE_LINE, " and two")
    tab.wait("document.querySelector('.cm-content').innerText.includes('pairs from one and two')")
    second.wait_saved()
    assert f"{TITLE} from one and two" in read(file)


def begin_conflict(tab: Tab, file: Path) -> None:
    """Let both sides change the file before either has seen the other's."""
    old = read(file)
    tab.run(
        "(() => { const real = window.fetch; window.gate = new Promise((open) => { window.openGate = open; });"
        "window.fetch = async (...all) => { await window.gate; return real(...all); }; })()"
    )
    tab.type_at(TITLE_LINE, " mine")
    file.write_text(old.replace("Two things, each", "Theirs, each"), encoding="utf-8")
    tab.run("window.openGate()")
    tab.wait("!document.getElementById('conflict').hidden")


def test_two_versions_are_both_shown_and_neither_is_lost(tab: Tab, file: Path) -> None:
    begin_conflict(tab, file)
    assert tab.run("document.getElementById('saved').dataset.state") == "conflict"
    shown = tab.run("[...document.querySelectorAll('.versions pre')].map((each) => each.innerText)")
    assert f"{TITLE} mine" in shown[0]
    assert "Theirs, each" in shown[1]
    assert "Theirs, each" in read(file)
    assert "mine" not in read(file)


def test_mine_can_be_kept(tab: Tab, file: Path) -> None:
    begin_conflict(tab, file)
    tab.run("document.getElementById('keep-mine').click()")
    tab.wait_saved()
    assert f"{TITLE} mine" in read(file)
    assert "Theirs" not in read(file)


def test_the_one_on_disk_can_be_taken_and_undo_brings_mine_back(tab: Tab, file: Path) -> None:
    begin_conflict(tab, file)
    tab.run("document.getElementById('take-theirs').click()")
    tab.wait_saved()
    tab.wait("document.querySelector('.cm-content').innerText.includes('Theirs, each')")
    assert "mine" not in read(file)
    tab.hold_control("z")
    tab.wait_saved()
    tab.wait(f"document.querySelector('.cm-content').innerText.includes({json.dumps(TITLE + ' mine')})")
    tab.wait_saved()
    assert f"{TITLE} mine" in read(file)


def test_a_removed_file_stays_in_the_editor_and_can_be_written_again(tab: Tab, file: Path) -> None:
    before = read(file)
    file.unlink()
    tab.wait("!document.getElementById('conflict').hidden")
    assert not file.exists()
    tab.run("document.getElementById('keep-mine').click()")
    tab.wait_saved()
    assert read(file) == before


def test_what_was_typed_before_the_browser_is_killed_is_in_the_file(
    program: str, served: Served, tmp_path: Path, file: Path
) -> None:
    other = Tab(program, tmp_path / "profile").open(served.address)
    other.type_at(TITLE_LINE, " to the last")
    other.wait_saved()
    other.page.kill()
    assert f"{TITLE} to the last" in read(file)


def test_what_is_typed_while_the_page_is_left_is_saved(tab: Tab, file: Path) -> None:
    tab.type_at(TITLE_LINE, " at the end")
    tab.page.call("Page.navigate", url="about:blank")
    tab.wait("location.href === 'about:blank'")
    for _ in range(200):
        if " at the end" in read(file):
            break
        tab.run("new Promise((done) => setTimeout(done, 50))")
    assert f"{TITLE} at the end" in read(file)


def test_a_studio_that_ended_is_told_and_the_words_stay(tab: Tab, served: Served, file: Path) -> None:
    served.end()
    tab.type_at(TITLE_LINE, " unsaved")
    tab.wait("!document.getElementById('banner').hidden && document.getElementById('saved').dataset.state === 'away'")
    assert f"{TITLE} unsaved" in tab.text
    assert "unsaved" not in read(file)


def test_keys_and_values_of_the_schema_are_offered(tab: Tab) -> None:
    tab.type_at(13, "")
    tab.page.press("Enter")
    tab.page.press(*"x: {f")
    tab.wait("[...document.querySelectorAll('.cm-completionLabel')].some((each) => each.innerText === 'from')")
    time.sleep(0.5)  # for its first 75 ms a list takes no Enter, so that nobody accepts what was not there yet
    tab.page.press("Enter")
    tab.page.press("o")
    tab.wait("[...document.querySelectorAll('.cm-completionLabel')].some((each) => each.innerText === 'objects')")


def test_what_a_file_says_is_text_and_never_html(tab: Tab, project: Path, file: Path) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(1)</script>"
    template = project / "templates/shop/few.j2"
    template.write_text(read(template) + f"{{{{ many(n, color, object) }}}} {evil}\n", encoding="utf-8")
    file.write_text(read(file).replace("A few things of one kind and colour", evil), encoding="utf-8")
    tab.wait("document.getElementById('prompts').innerText.includes('onerror=alert(1)')")
    file.write_text(read(file).replace("share", "x") + f'"{evil}": 1\n', encoding="utf-8")
    tab.wait(f"{FAULTS}.includes('onerror=alert(1)')")
    assert tab.run("document.querySelectorAll('img, script').length") == 1
    assert tab.run("window.attacked") is None
    assert tab.page.complaints() == []


def test_prompts_claims_coverage_and_what_no_scorer_judges(tab: Tab, project: Path) -> None:
    assert tab.run("document.querySelectorAll('#prompts li').length") == 24
    assert tab.run("document.querySelectorAll('.claim.is-unjudged').length") == 0
    assert tab.run("document.getElementById('skills').innerText").count("shop/") == 2
    recipe = project / "recipes/shop.yaml"
    recipe.write_text(read(recipe).replace("[counting, attribute, plan]", "[counting]"), encoding="utf-8")
    tab.wait("document.querySelectorAll('.claim.is-unjudged').length > 0")
    first = tab.run("document.querySelector('.claim.is-unjudged').innerText")
    assert first.startswith("attribute(")


def test_a_new_file_is_made_by_the_keys_alone_and_opened(tab: Tab, project: Path) -> None:
    tab.run("document.getElementById('new').focus()")
    tab.page.press("Enter")
    tab.wait("document.activeElement.id === 'kind'")
    tab.page.press("Tab", *"shop", "Enter")
    tab.wait("document.getElementById('draft-error').textContent.includes('there already')")
    assert tab.run("document.documentElement.scrollWidth <= innerWidth && document.activeElement.id === 'name'")
    tab.page.press(*"2", "Enter")
    tab.wait("document.getElementById('file').value === 'taxonomies/shop2.yaml'")
    tab.wait("document.activeElement.classList.contains('cm-content')")
    assert "weakness: shop2" in tab.text
    assert (project / "templates/shop2/few.j2").is_file()
    tab.run("document.getElementById('new').click()")
    tab.page.set_field("kind", "recipe")
    tab.page.set_field("name", "shop2")
    tab.run("document.querySelector('#draft [type=submit]').click()")
    tab.wait("document.getElementById('recipe').value === 'recipes/shop2.yaml'")
    tab.wait("document.getElementById('cover-note').textContent.includes('prompts of shop2')")


def test_six_samples_are_drawn_with_boxes_reasons_and_rewards(tab: Tab) -> None:
    tab.run("document.getElementById('draw').click()")
    tab.wait("document.getElementById('samples').dataset.state === 'ready'")
    samples = "[...document.querySelectorAll('.sample')]"
    assert tab.run(f"{samples}.length") == 6
    assert tab.run(f"{samples}.every((each) => each.querySelector('img').naturalWidth === 96)")
    assert tab.run("document.querySelectorAll('rect.is-found').length") >= 6
    assert tab.run(f"{samples}.every((each) => /counting (–|[01]\\.\\d\\d): /.test(each.innerText))")
    assert tab.run(f"{samples}.every((each) => /(pass|fail|unjudged) · image (–|[01]\\.)/.test(each.innerText))")
    assert tab.page.complaints() == []


def test_the_editor_works_while_samples_are_drawn_and_drawing_can_be_stopped(tab: Tab, file: Path) -> None:
    tab.run("document.getElementById('draw').click()")
    tab.type_at(TITLE_LINE, " meanwhile")
    tab.run("document.getElementById('stop').click()")
    tab.wait("document.getElementById('samples').dataset.state === 'stopped'")
    tab.wait_saved()
    assert f"{TITLE} meanwhile" in read(file)
    tab.run("document.querySelector('#prompts button').click()")
    tab.wait("document.getElementById('samples').dataset.state === 'ready'")
    ids = tab.run("[...document.querySelectorAll('.sample')].map((each) => each.dataset.id)")
    assert [each.rpartition("-")[2] for each in ids] == [f"{k:02d}" for k in range(6)]
    assert len({each.rpartition("-")[0] for each in ids}) == 1


def test_a_model_that_is_not_there_is_told_beside_the_samples(tab: Tab, project: Path) -> None:
    recipe = project / "recipes/shop.yaml"
    recipe.write_text(read(recipe).replace("backend: embedded", "backend: {name: embedded, checkpoint: none}"), "utf-8")
    tab.run("document.getElementById('draw').click()")
    tab.wait("!document.getElementById('draw-error').hidden")
    assert "none" in tab.run("document.getElementById('draw-error').textContent")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(chromium: Tab, served: Served, width: int) -> None:
    chromium.open(served.address, width, 844)
    assert chromium.run("document.documentElement.scrollWidth") == width
    left, right = (
        chromium.run(f"document.querySelector('.{side}').getBoundingClientRect().top") for side in ("left", "right")
    )
    assert (right > left + 300) == (width == 390)
