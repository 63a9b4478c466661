"""The gallery in a real browser: filters, order, keyboard, overlays, small screens, themes, and an attack."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import Page
from gallery_data import NASTY, make_items, make_plain

from datagen.records import Score
from datagen.report import ReportItem, write_report

VISIBLE = "[...document.querySelectorAll('#groups .card')].filter((c) => c.checkVisibility()).map((c) => c.dataset.id)"
FOCUSED = "document.activeElement.dataset.id"
COUNT = "document.getElementById('count').textContent"


def expect(items: list[ReportItem], keep: Any) -> list[str]:
    return [item.sample.id for item in items if keep(item)]


def test_page_opens_quietly_and_asks_for_nothing(gallery: Page, items: list[ReportItem]) -> None:
    assert gallery.run(VISIBLE) == [item.sample.id for item in items]
    assert gallery.run(COUNT) == f"{len(items)} samples of 18 prompts"
    assert gallery.run("[...document.images].every((image) => image.complete && image.naturalWidth === 96)")
    assert gallery.complaints() == []
    assert gallery.requests() == []


def test_policy_forbids_requests_and_foreign_script(gallery: Page) -> None:
    blocked = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')"
    assert gallery.run(blocked) == "blocked"
    gallery.run(
        "(() => { const foreign = document.createElement('script'); foreign.textContent = 'window.attacked = 1';"
        "document.body.append(foreign); })()"
    )
    assert gallery.run("window.attacked === undefined")
    assert "script" in gallery.await_complaint("Content Security Policy")


@pytest.mark.parametrize(
    ("field", "value", "keep"),
    [
        ("weakness", "spatial", lambda i: i.prompt.weakness == "spatial"),
        ("skill", "attributes/two_colors", lambda i: i.prompt.path == "attributes/two_colors"),
        ("verdict", "fail", lambda i: i.passed is False),
        ("verdict", "unjudged", lambda i: i.passed is None),
        ("cause", "color", lambda i: "color" in i.causes),
        ("low", "0.6", lambda i: i.image_reward is not None and i.image_reward >= 0.6),
        ("high", "0.5", lambda i: i.image_reward is not None and i.image_reward <= 0.5),
    ],
)
def test_each_filter_keeps_what_it_says(
    gallery: Page, items: list[ReportItem], field: str, value: str, keep: Any
) -> None:
    expected = expect(items, keep)
    assert 0 < len(expected) < len(items)
    gallery.set_field(field, value)
    assert gallery.run(VISIBLE) == expected
    assert gallery.run(COUNT).startswith(f"{len(expected)} of {len(items)} samples")
    gallery.run("document.querySelector('button[type=reset]').click()")
    gallery.run("new Promise((done) => setTimeout(done, 20))")
    assert len(gallery.run(VISIBLE)) == len(items)


def test_a_click_on_a_cause_shows_its_samples(gallery: Page, items: list[ReportItem]) -> None:
    place = "button.pick[data-skill='attributes/two_colors'][data-cause='color']"
    expected = expect(items, lambda i: i.prompt.path == "attributes/two_colors" and "color" in i.causes)
    failing = expect(items, lambda i: i.prompt.path == "attributes/two_colors" and i.causes)
    shown = gallery.run(f'document.querySelector("{place}").textContent')
    assert shown == f"{100 * len(expected) / len(failing):.0f}\u00a0%"
    gallery.run(f'document.querySelector("{place}").click()')
    gallery.run("new Promise((done) => setTimeout(done, 20))")
    assert gallery.run(VISIBLE) == expected


def test_a_click_on_what_a_scorer_finds_shows_its_samples(gallery: Page, items: list[ReportItem]) -> None:
    def keep(item: ReportItem, name: str) -> bool:
        return any(s.name == name and s.value is not None and s.value < 1 for s in item.scores)

    gallery.set_field("verdict", "pass")
    for place in ("[data-score='score:counting']:not([data-cause])", "[data-score='score:plan']:not([data-cause])"):
        name = place.split(":")[1].split("'")[0]
        expected = expect(items, lambda i, name=name: keep(i, name))
        button = f'document.querySelector("button.pick{place}")'
        assert gallery.run(f"{button}.textContent") == f"{len(expected)} below 1"
        gallery.run(f"{button}.click()")
        gallery.settle()
        assert gallery.run(VISIBLE) == expected


def test_filters_stand_in_the_address(gallery: Page, items: list[ReportItem]) -> None:
    gallery.set_field("weakness", "counting")
    gallery.set_field("verdict", "fail")
    gallery.run("document.getElementById('planned').click()")
    address, shown = gallery.run("location.href"), gallery.run(VISIBLE)
    assert address.endswith("#weakness=counting&verdict=fail&planned=true")
    gallery.open(address.split("#")[0])
    assert len(gallery.run(VISIBLE)) == len(items)
    gallery.run(f"location.href = {address!r}")
    gallery.run("new Promise((done) => setTimeout(done, 20))")
    gallery.settle()
    assert gallery.run(VISIBLE) == shown
    assert gallery.run("document.getElementById('planned').checked")
    gallery.run("document.querySelector('button[type=reset]').click()")
    gallery.run("new Promise((done) => setTimeout(done, 20))")
    assert "#" not in gallery.run("location.href")


@pytest.mark.parametrize("address", ["#weakness=nothing&low=x&sort=%00&bogus=1", "#h-weights", "#=&=="])
def test_an_address_without_sense_filters_nothing(
    gallery: Page, items: list[ReportItem], report: Path, address: str
) -> None:
    gallery.open(f"{report.as_uri()}{address}")
    assert len(gallery.run(VISIBLE)) == len(items)
    assert gallery.complaints() == []


def test_pictures_stand_above_the_figures_and_open(gallery: Page, items: list[ReportItem]) -> None:
    said = gallery.run("[...document.querySelectorAll('.glance .verdict')].map((each) => each.textContent)")
    weaknesses = sorted({item.prompt.weakness for item in items})
    assert sorted(said) == sorted(
        f"{mark} {weakness}"
        for weakness in weaknesses
        for mark, passed in (("✓", True), ("✗", False))
        if any(i.passed is passed and i.prompt.weakness == weakness for i in items)
    )
    tops = "['#look img', '#h-skills'].map((each) => document.querySelector(each).getBoundingClientRect().top)"
    picture, figures = gallery.run(tops)
    assert picture < figures
    first = next(i for i in items if i.passed and i.prompt.weakness == weaknesses[0])
    gallery.run("document.querySelector('.glance').click()")
    gallery.run("new Promise((done) => setTimeout(done, 50))")
    assert gallery.run("document.querySelector('dialog[open] .origin code').textContent") == first.sample.id


def test_filters_work_together_and_on_any_scorer(gallery: Page, items: list[ReportItem]) -> None:
    def keep(item: ReportItem) -> bool:
        values = {score.name: score.value for score in item.scores}
        plan = values["plan"]
        return item.prompt.weakness == "counting" and plan is not None and 0.6 <= plan <= 0.8

    gallery.set_field("weakness", "counting")
    gallery.set_field("score", "score:plan")
    gallery.set_field("low", "0.6")
    gallery.set_field("high", "0.8")
    assert gallery.run(VISIBLE) == expect(items, keep)
    assert gallery.run("[...document.querySelectorAll('#skill option')].filter((o) => !o.hidden).length") == 3


def test_search_finds_words_of_prompt_reason_and_plan(gallery: Page, items: list[ReportItem]) -> None:
    reason = next(s.reason for i in items for s in i.scores if s.name == "spatial" and s.value == 0)
    gallery.set_field("q", f'"{reason.upper()}"')
    assert gallery.run(VISIBLE) == expect(items, lambda i: any(reason in s.reason for s in i.scores))
    gallery.set_field("q", " ".join(reversed(reason.split())))
    assert len(gallery.run(VISIBLE)) >= 1, "without quotes the words may stand in any order"
    gallery.set_field("q", items[5].sample.id)
    assert gallery.run(VISIBLE) == [items[5].sample.id]
    gallery.set_field("q", "nothing is called this")
    assert gallery.run(VISIBLE) == []
    assert gallery.run("document.getElementById('nothing').checkVisibility()")


def test_whole_prompts_show_the_others_faded(gallery: Page, items: list[ReportItem]) -> None:
    gallery.set_field("verdict", "fail")
    failed = gallery.run(VISIBLE)
    gallery.run("document.getElementById('siblings').click()")
    prompts = {key.rsplit("-", 1)[0] for key in failed}
    assert gallery.run(VISIBLE) == expect(items, lambda i: i.prompt.id in prompts)
    faded = gallery.run("document.querySelectorAll('.card.sibling:not([hidden])').length")
    assert faded == 4 * len(prompts) - len(failed)


@pytest.mark.parametrize("name", ["image_weight", "text_weight", "image_reward", "text_reward"])
def test_sort_orders_prompts_and_candidates(gallery: Page, items: list[ReportItem], name: str) -> None:
    values = {item.sample.id: getattr(item, name) for item in items}
    for way, best, sign in (("down", max, -1), ("up", min, 1)):
        gallery.set_field("sort", f"{name}:{way}")
        order = gallery.run(VISIBLE)
        groups = [[values[key] for key in order[k : k + 4]] for k in range(0, len(order), 4)]
        for group in groups:
            known = [value for value in group if value is not None]
            assert known == sorted(known, key=lambda value: sign * value)
            assert group[: len(known)] == known, "what has no value comes last"
        keys = [best(known) for group in groups if (known := [value for value in group if value is not None])]
        assert keys == sorted(keys, key=lambda value: sign * value)
    gallery.set_field("sort", "")
    assert gallery.run(VISIBLE) == [item.sample.id for item in items]


def test_keyboard_alone_is_enough(gallery: Page, items: list[ReportItem]) -> None:
    ids = [item.sample.id for item in items]
    gallery.press("j")
    assert gallery.run(FOCUSED) == ids[0]
    gallery.press("j", "j", "k")
    assert gallery.run(FOCUSED) == ids[1]
    gallery.press("ArrowRight", "ArrowDown")
    assert gallery.run(FOCUSED) == ids[6]
    gallery.press("ArrowUp", "ArrowLeft")
    assert gallery.run(FOCUSED) == ids[1]
    assert gallery.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    gallery.press("Enter")
    assert gallery.run("document.getElementById('viewer').open")
    gallery.press("j")
    assert gallery.run("document.querySelector('#viewer .card').dataset.id") == ids[2]
    commands = gallery.run("[...document.querySelectorAll('#viewer .commands code')].map((code) => code.textContent)")
    assert commands == [f"datagen {verb} 'outputs/small run' {ids[2]}" for verb in ("sample", "regen")]
    gallery.press("Escape")
    assert not gallery.run("document.getElementById('viewer').open")
    assert gallery.run(FOCUSED) == ids[2]
    gallery.press("/", *"tree")
    assert gallery.run("document.getElementById('q').value") == "tree"
    shown = gallery.run(VISIBLE)
    gallery.press("Escape")
    assert gallery.run(FOCUSED) == shown[0]
    assert gallery.complaints() == []


def test_only_one_card_is_a_tab_stop(gallery: Page) -> None:
    gallery.press("j", "j", "j")
    assert gallery.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1


def test_boxes_lie_over_the_image_and_can_be_hidden(gallery: Page, items: list[ReportItem]) -> None:
    shown = "document.querySelector('.overlay.{}').checkVisibility()"
    assert gallery.run(shown.format("detected"))
    assert not gallery.run(shown.format("planned"))
    gallery.press("b", "p")
    assert not gallery.run(shown.format("detected"))
    assert gallery.run(shown.format("planned"))
    gallery.press("b")
    item = next(i for i in items if any(s.evidence.get("detections") for s in i.scores))
    found = next(s.evidence["detections"] for s in item.scores if s.evidence.get("detections"))
    measured = gallery.run(
        f"(() => {{ const card = document.getElementById({json.dumps('s-' + item.sample.id)});"
        "const image = card.querySelector('img').getBoundingClientRect();"
        "return [...card.querySelectorAll('.overlay.detected rect:not(.under)')].map((rect) => {"
        "const r = rect.getBBox();"
        "return [r.x, r.y, r.x + r.width, r.y + r.height].map((v) => 1000 * v / image.width); }); })()"
    )
    assert len(measured) == len(found)
    for box, detection in zip(measured, found, strict=True):
        assert box == pytest.approx(detection["box"], abs=2)


def test_boxes_lie_over_the_image_alone_where_a_caption_stands_below(chromium: Page, tmp_path: Path) -> None:
    item = next(i for i in make_items(4) if i.sample.image and any(s.evidence.get("detections") for s in i.scores))
    both = replace(item.sample, segments=(*item.sample.segments, item.sample.segments[-1]))
    twice = replace(item, sample=both, rounds=(0.5, 1.0), round_verdicts=(False, True))
    chromium.open(write_report(tmp_path / "r.html", "twice", [twice]))
    sizes = chromium.run(
        "[...document.querySelectorAll('.overlay.detected')].map((overlay) => {"
        "const image = overlay.parentElement.querySelector('img').getBoundingClientRect();"
        "const over = overlay.getBoundingClientRect();"
        "return [over.top - image.top, over.left - image.left,"
        "over.height / image.height, over.width / image.width]; })"
    )
    assert sizes
    assert chromium.run("document.querySelectorAll('.picture .caption').length") == 2
    for place in sizes:
        assert place == pytest.approx([0, 0, 1, 1], abs=0.02)


@pytest.mark.parametrize("width", [320, 360, 414, 768, 1024])
def test_no_width_needs_sideways_scrolling(gallery: Page, width: int) -> None:
    gallery.resize(width, 740)
    assert gallery.run("document.documentElement.scrollWidth") <= width
    gallery.run("document.querySelector('.picture').click()")
    assert gallery.run("document.getElementById('viewer').scrollWidth <= document.getElementById('viewer').clientWidth")


def test_text_has_contrast_in_light_and_dark(gallery: Page) -> None:
    measure = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
    for theme in ("light", "dark"):
        gallery.run(f"document.documentElement.dataset.theme = '{theme}'")
        assert gallery.run(measure) == []


def test_theme_follows_the_system_until_chosen(gallery: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        gallery.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen[scheme] = gallery.run(ground)
    assert seen["light"] != seen["dark"]
    gallery.run("document.getElementById('theme').click()")
    assert gallery.run(ground) == seen["light"], "chosen light on a dark system"
    gallery.call("Emulation.setEmulatedMedia", features=[])


def test_paper_shows_samples_without_controls(gallery: Page) -> None:
    gallery.call("Emulation.setEmulatedMedia", media="print")
    gallery.resize(718, 1000)  # the width of A4 within Chromium's margins
    assert gallery.run("document.documentElement.scrollWidth") <= 718
    assert not gallery.run("document.querySelector('.toolbar').checkVisibility()")
    assert gallery.run("document.querySelector('.card').checkVisibility()")
    gallery.call("Emulation.setEmulatedMedia", media="")


def test_everything_has_a_name_for_a_screen_reader(gallery: Page) -> None:
    assert gallery.run("[...document.images].every((image) => image.alt.length > 20)")
    assert gallery.run("[...document.querySelectorAll('input, select')].every((field) => field.labels.length === 1)")
    named = "(svg) => svg.getAttribute('aria-hidden') || svg.getAttribute('aria-label')"
    assert gallery.run(f"[...document.querySelectorAll('svg')].every({named})")
    assert gallery.run("document.getElementById('count').getAttribute('aria-live')") == "polite"
    ids = gallery.run("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_an_attack_stays_text_even_when_opened(chromium: Page, tmp_path: Path) -> None:
    evidence = {"detections": [{"label": NASTY, "color": "", "box": [0, 0, 500, 500], "confidence": 1}]}
    items = [
        make_plain("p", k, text=NASTY, think=NASTY, scores=[Score("s", "counting", "image", 0.5, NASTY, evidence)])
        for k in range(2)
    ]
    chromium.open(write_report(tmp_path / "r.html", NASTY, items, facts={NASTY: NASTY}, run=NASTY))
    chromium.press("j", "Enter")
    assert "<script>alert(1)</script>" in chromium.run("document.querySelector('#viewer').textContent")
    chromium.press("Escape")
    chromium.set_field("q", "alert(1)")
    assert len(chromium.run(VISIBLE)) == 2
    assert chromium.run("window.attacked === undefined")
    assert chromium.run("document.title").startswith("<script>")
    assert chromium.complaints() == []
    assert chromium.requests() == []


def test_an_empty_run_opens_and_keys_do_no_harm(chromium: Page, tmp_path: Path) -> None:
    chromium.open(write_report(tmp_path / "r.html", "empty", []))
    chromium.press("j", "k", "ArrowDown", "Enter", "b")
    assert chromium.complaints() == []
