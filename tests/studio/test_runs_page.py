"""The page of runs in a browser: filters, order and pages in the address, words as text, and small screens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from datagen import api
from datagen.pipeline import open_run, read_reviews
from datagen.pipeline.review import Review, write_review
from tests.helpers.runs import build_here, small_recipe
from tests.helpers.studio import Served, Tab

IDS = "[...document.querySelectorAll('#cards .card')].map((card) => card.dataset.id)"
QUIET = "document.getElementById('cards').ariaBusy === 'false'"
COUNT = "document.getElementById('count').textContent"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 samples, some of them wrong, with words that a browser could take for a script."""
    folder = tmp_path_factory.mktemp("page") / "one"
    run, _ = build_here(small_recipe(prompts=30, shard_prompts=16, backend={"wrong": 0.5}), folder)
    scores = run.folder.read_scores(0)
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    run.folder.write_scores(0, [replace(score, reason=nasty) for score in scores])
    return folder


@pytest.fixture
def run(project: Path, built: Path) -> Path:
    shutil.copytree(built, project / "outputs/one")
    return project / "outputs/one"


@pytest.fixture
def page(chromium: Tab, run: Path, served: Served) -> Iterator[Tab]:
    """The page with the run open, all of it read."""
    chromium.page.open(f"{served.address}runs#run=one")
    chromium.wait(f"{COUNT} === '60 samples' && document.getElementById('progress').hidden && {QUIET}")
    yield chromium
    chromium.leave()


def choose(page: Tab, name: str, value: str) -> list[str]:
    """Set a filter and return the samples that are shown then."""
    page.page.set_field(name, value)
    page.wait(QUIET)
    shown: list[str] = page.run(IDS)
    return shown


def test_a_run_is_chosen_from_the_list_and_links_lead_back_and_to_the_editor(
    chromium: Tab, run: Path, served: Served
) -> None:
    chromium.page.open(f"{served.address}runs")
    chromium.wait("document.querySelector('#runs a')?.textContent === 'one'")
    chromium.run("document.querySelector('#runs a').click()")
    chromium.wait(f"{IDS}.length === 24")
    assert chromium.run("document.getElementById('title').textContent") == "one"
    chromium.run("document.getElementById('all').click()")
    chromium.wait("!document.getElementById('overview').hidden && document.getElementById('samples').hidden")
    assert (
        chromium.run("document.getElementById('all').hidden && document.getElementById('title').textContent") == "Runs"
    )
    chromium.run("document.getElementById('editor').click()")
    chromium.wait("document.getElementById('prompts')?.dataset.state === 'ready'")
    chromium.leave()


def test_it_shows_the_first_samples_and_asks_for_nothing_elsewhere(page: Tab, run: Path, served: Served) -> None:
    ids = [sample.id for sample in api.open_run(run).samples()]
    assert page.run(IDS) == ids[:24]
    assert page.page.complaints() == []
    assert all(url.startswith(served.address) for url in page.page.requests())
    assert page.run("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"


def test_words_of_a_model_enter_as_text(page: Tab) -> None:
    assert "onerror=alert(1)" in page.run("document.getElementById('cards').innerText")
    assert page.run("window.attacked === undefined && !document.querySelector('#cards script, #cards img[src=x]')")


def test_filters_and_order_are_those_of_the_samples_and_stand_in_the_address(page: Tab, run: Path) -> None:
    samples = list(api.open_run(run).samples())
    failed = [sample for sample in samples if sample.passed is False]
    assert choose(page, "verdict", "fail") == [sample.id for sample in failed][:24]
    shown = choose(page, "sort", "score:plan:up")
    assert shown == [s.id for s in sorted(failed, key=lambda s: s.scores["plan"].value or 0.0)][:24]
    assert page.run("location.hash") == "#run=one&verdict=fail&sort=score%3Aplan%3Aup"
    page.reload()
    page.wait(f"{IDS}.length === {len(shown)} && {QUIET}")
    assert page.run(IDS) == shown
    page.run("document.querySelector('#filters [type=reset]').click()")
    page.wait(f"{COUNT} === '60 samples'")


def test_what_the_model_wrote_is_searched(page: Tab, run: Path) -> None:
    wanted = [sample.id for sample in api.open_run(run).samples() if "moon" in sample.text]
    page.page.set_field("said", "moon")
    page.wait(f"{COUNT} === '{len(wanted)} of 60 samples' && {QUIET}")
    assert page.run(IDS) == wanted[:24]
    assert page.run("location.hash") == "#run=one&said=moon"
    assert page.run("document.getElementById('halt').hidden")
    assert choose(page, "q", "no such word") == []


def test_the_pages_lead_through_all_samples(page: Tab, run: Path) -> None:
    seen = page.run(IDS)
    for number in (2, 3):
        page.run("[...document.querySelectorAll('#pager button')].at(-1).click()")
        page.wait(f"document.querySelector('#pager input').value === '{number}' && {QUIET}")
        seen += page.run(IDS)
    assert seen == [sample.id for sample in api.open_run(run).samples()]
    assert page.run("[...document.querySelectorAll('#pager button')].at(-1).disabled")


def test_a_sample_opens_large_and_the_keys_lead_on(page: Tab) -> None:
    ids = page.run(IDS)
    page.run("document.querySelector('#cards .picture').click()")
    assert page.run("document.querySelector('#viewer[open] .card').dataset.id") == ids[0]
    page.page.press("ArrowRight")
    assert page.run("document.querySelector('#viewer[open] .card').dataset.id") == ids[1]
    page.page.press("Escape")
    page.wait("!document.getElementById('viewer').open")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_out_of_the_window(page: Tab, width: int) -> None:
    page.page.resize(width, 844)
    page.wait(f"innerWidth === {width}")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_samples_that_are_finished_later_appear_by_themselves(chromium: Tab, run: Path, project: Path) -> None:
    late = run / "scores/00001.jsonl"
    content = late.read_bytes()
    late.unlink()
    served = Served(project, word="view", target=run)
    chromium.page.open(served.address)
    chromium.wait(f"{COUNT} === '32 samples'")
    with open_run(str(run)).folder.hold():
        assert not chromium.run("document.getElementById('progress').hidden")
        assert chromium.run("document.getElementById('all').hidden && document.getElementById('editor').hidden")
        late.write_bytes(content)
        chromium.wait(f"{COUNT} === '60 samples' && document.getElementById('progress').hidden")
    code, said = served.end()
    chromium.leave()
    assert code == 130
    assert "Traceback" not in said


def test_a_mark_and_a_comment_are_kept_and_taken_back(page: Tab, run: Path) -> None:
    sample_id = page.run(IDS)[0]
    card = f"document.querySelector('#cards [data-id=\"{sample_id}\"]')"
    page.run(f"{card}.querySelectorAll('.review button')[1].click()")
    page.wait(f"{card}.dataset.mark === 'rejected'")
    page.run(
        f"(() => {{ const field = {card}.querySelector('.review textarea'); field.value = 'six <b>fingers</b>';"
        "field.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )

    opened = open_run(str(run))
    page.wait(f"{card}.querySelector('.review .note').textContent === ''")
    assert read_reviews(opened) == {sample_id: Review("rejected", "six <b>fingers</b>")}
    assert choose(page, "mark", "rejected") == [sample_id]
    page.run(f"{card}.querySelectorAll('.review button')[1].click()")
    page.wait(f"{card}.dataset.mark === ''")
    assert read_reviews(opened) == {sample_id: Review("", "six <b>fingers</b>")}


def test_a_comment_that_another_tab_overtook_stays_on_the_page(page: Tab, run: Path) -> None:
    sample_id = page.run(IDS)[0]
    write_review(open_run(str(run)), sample_id, Review("", "theirs"), "")
    card = f"document.querySelector('#cards [data-id=\"{sample_id}\"]')"
    page.run(
        f"(() => {{ const field = {card}.querySelector('.review textarea'); field.value = 'mine';"
        "field.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    page.wait(f"{card}.querySelector('.review textarea').value === 'theirs'")
    assert "you wrote: mine" in page.run(f"{card}.querySelector('.review .note').textContent")
    assert read_reviews(open_run(str(run))) == {sample_id: Review("", "theirs")}


VIEWED = "document.querySelector('#viewer[open] .card').dataset.id"


def test_the_keys_lead_on_after_a_click_on_next(page: Tab) -> None:
    ids = page.run(IDS)
    page.run("document.querySelector('#cards .picture').click()")
    page.run(
        "(() => { const next = document.querySelectorAll('#viewer nav button')[1]; next.focus(); next.click(); })()"
    )
    page.page.press("ArrowRight")
    assert page.run(VIEWED) == ids[2]
    page.page.press("Escape")
    page.wait(f"document.activeElement.dataset.id === '{ids[2]}'")


def test_a_mark_made_in_the_viewer_stands_on_the_card_too_and_keeps_the_focus(page: Tab) -> None:
    sample_id = page.run(IDS)[0]
    page.run("document.querySelector('#cards .picture').click()")
    page.run(
        "(() => { const accept = document.querySelector('#viewer .review button'); accept.focus(); accept.click(); })()"
    )
    page.wait(f"document.querySelector('#cards [data-id=\"{sample_id}\"]').dataset.mark === 'accepted'")
    page.page.press("Enter")  # the same button takes it back
    page.wait(f"document.querySelector('#cards [data-id=\"{sample_id}\"]').dataset.mark === ''")


def test_a_comment_that_is_being_written_stays_while_samples_arrive(
    chromium: Tab, run: Path, project: Path, served: Served
) -> None:
    late = run / "scores/00001.jsonl"
    content = late.read_bytes()
    late.unlink()
    chromium.page.open(f"{served.address}runs#run=one")
    chromium.wait(f"{COUNT} === '32 samples' && {QUIET}")
    chromium.run("document.querySelector('#cards textarea').focus()")
    chromium.page.press(*"six")
    with open_run(str(run)).folder.hold():
        late.write_bytes(content)
        chromium.wait("document.getElementById('about').textContent.startsWith('60 samples')")
        chromium.page.press(*"ty")
        assert chromium.run("document.activeElement.value") == "sixty"
        chromium.run("document.activeElement.blur()")
        chromium.wait(f"{COUNT} === '60 samples' && {QUIET}")
    assert [said.comment for said in read_reviews(open_run(str(run))).values()] == ["sixty"]
    chromium.leave()


def test_a_long_prompt_is_cut_on_its_card_and_whole_in_the_viewer(page: Tab) -> None:
    write = "document.querySelector('{} h3 bdi').textContent = 'many words '.repeat(180)"
    page.run(write.format("#cards"))
    assert page.run("document.querySelector('#cards h3').offsetHeight") < 130
    page.run("document.querySelector('#cards .picture').click()")
    page.run(write.format("#viewer"))
    assert page.run("document.querySelector('#viewer h3').offsetHeight") > 300
    page.page.press("Escape")


def test_a_run_that_was_away_for_a_while_is_shown_again_without_a_warning(page: Tab, run: Path, project: Path) -> None:
    away = run.rename(project / "away")
    page.wait("document.getElementById('trouble').textContent.includes('no such run')")
    away.rename(run)
    page.wait(f"document.getElementById('trouble').hidden && {COUNT} === '60 samples'")
