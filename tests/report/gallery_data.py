"""A run's worth of report items from true scenes of the pictogram world: some drawn as asked, some not."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from PIL import Image

from datagen.embedded.pictograms import COLORS, GRID, SHAPES, Item, Scene, render_scene
from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import holds, lay_out
from datagen.records import Claim, Prompt, Sample, Score, Segment
from datagen.report import ReportItem
from datagen.scoring.verdicts import find_causes

NASTY = (
    "<script>alert(1)</script> </script> \"quoted\" 'single' <img src=x onerror=alert(2)> "
    "&amp; \u2028 \u2029 \u202e {{ 7*7 }} <!-- ]]>"
)
RELATIONS = ("left of", "right of", "above", "below")
CAUSE = {"counting": "count", "attribute": "color", "spatial": "place", "text": "misread"}
WORDS = ("OPEN", "CAFE", "STOP", "ZEBRA", "MILK", "SUN")


def encode_png(scene: Scene) -> bytes:
    """Return the true picture of a scene as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(render_scene(scene)).save(buffer, "PNG")
    return buffer.getvalue()


def pick_prompt(index: int, rng: random.Random) -> Prompt:
    """Return prompt number `index`; six skills take turns."""
    first, second = rng.sample(list(SHAPES), 2)
    color, shade = rng.sample(list(COLORS), 2)
    count, relation, word = rng.randint(2, 6), rng.choice(RELATIONS), rng.choice(WORDS)
    one, other = Claim("count", first, value=1), Claim("count", second, value=1)
    red, blue = Claim("attribute", first, "color", color), Claim("attribute", second, "color", shade)
    beside = Claim("relation", first, relation, second)
    kinds = [
        ("counting", "one_kind", f"a photo of {count} {first}s", (Claim("count", first, value=count),)),
        ("counting", "one_kind_colored", f"{count} {color} {first}s", (Claim("count", first, value=count), red)),
        ("spatial", "two_objects", f"a {first} {relation} a {second}", (one, other, beside)),
        ("attributes", "one_color", f"a {color} {first}", (one, red)),
        ("attributes", "two_colors", f"a picture of a {color} {first} and a {shade} {second}", (one, red, other, blue)),
        ("text_rendering", "word", f'a sign that says "{word}"', (Claim("text", value=word),)),
    ]  # fmt: skip
    weakness, skill, text, claims = kinds[index % len(kinds)]
    return Prompt.make(
        f"{text} ({index})", claims, weakness=weakness, skill=skill, level=rng.choice(("easy", "medium", "hard")),
        index=index // len(kinds), seed=7, template=f"{weakness}/{skill}.j2#0",
    )  # fmt: skip


def spoil(scene: Scene, rng: random.Random) -> Scene:
    """Return what a weak model might draw instead: a thing lost, recoloured, moved or misspelt."""
    items = list(scene.items)
    k = rng.randrange(len(items))
    if items[k].kind == "text":
        wrong = "".join(rng.choice("AEIOU") if rng.random() < 0.4 else letter for letter in items[k].word)
        return replace(scene, items=(replace(items[k], word=wrong),))
    fate = rng.random()
    if fate < 0.35 and len(items) > 1:
        del items[k]
    elif fate < 0.7:
        items[k] = replace(items[k], color=rng.choice(list(COLORS)))
    else:
        items = [replace(i, x1=GRID - i.x2, x2=GRID - i.x1, y1=GRID - i.y2, y2=GRID - i.y1) for i in items]
    return replace(scene, items=tuple(items))


def to_thousandths(item: Item) -> list[int]:
    """Return the box of an item in thousandths of the picture."""
    return [round(1000 * cell / GRID) for cell in (item.x1, item.y1, item.x2, item.y2)]


def judge(prompt: Prompt, sample_id: str, scene: Scene) -> tuple[Score, ...]:
    """Return scores of a scene known by construction, in the form that scorers give them."""
    found = Counter(item.kind for item in scene.items)
    boxes = [
        {"label": item.kind, "color": item.color, "confidence": 1.0, "box": to_thousandths(item)}
        for item in scene.items
    ]
    scores = []
    for name, kind in (("counting", "count"), ("attribute", "attribute"), ("spatial", "relation"), ("text", "text")):
        claims = [claim for claim in prompt.claims if claim.kind == kind]
        if not claims:
            scores.append(Score(sample_id, name, "image", None, f"no {kind} claim"))
            continue
        answers = [judge_claim(claim, scene, found) for claim in claims]
        value = sum(right for right, _ in answers) / len(answers)
        reason = "; ".join(why for _, why in answers)
        failed = [str(claim) for claim, (right, _) in zip(claims, answers, strict=True) if not right]
        causes = {"causes": dict.fromkeys(failed, CAUSE[name])} if failed else {}
        evidence = {"detections": boxes, "passed": value == 1, **causes}
        scores.append(Score(sample_id, name, "image", value, reason, evidence))
    return tuple(scores)


def judge_claim(claim: Claim, scene: Scene, found: Counter[str]) -> tuple[bool, str]:
    """Say whether a claim holds in a scene, and why, as a scorer would."""
    mine = [item for item in scene.items if item.kind == claim.subject]
    if claim.kind == "count":
        right = found[claim.subject] == claim.value
        return right, f"expected {claim.value} {claim.subject}s, found {found[claim.subject]}"
    if claim.kind == "attribute":
        wrong = sorted({item.color for item in mine} - {str(claim.value)})
        return not wrong, f"the {claim.subject} is {wrong[0] if wrong else claim.value}, expected {claim.value}"
    if claim.kind == "text":
        word = scene.items[0].word
        return word == claim.value, f'expected "{claim.value}", read "{word}"'
    other = [item for item in scene.items if item.kind == claim.value]
    corners = [(i.x1, i.y1, i.x2, i.y2) for i in (*mine[:1], *other[:1])]
    right = len(corners) == 2 and holds(claim.name, corners[0], corners[1])
    return right, f"the {claim.subject} is {'' if right else 'not '}{claim.name} the {claim.value}"


def make_item(prompt: Prompt, candidate: int, rng: random.Random) -> ReportItem:
    """Return one candidate of a prompt: half of them spoilt, one in twenty unjudged, one in thirty without an image."""
    planned = lay_out(prompt.claims, rng)
    drawn = spoil(planned, rng) if rng.random() < 0.5 else planned
    sample_id = f"{prompt.id}-{candidate:02d}"
    segments = [Segment("text", "think", text=describe_scene(planned))]
    if rng.random() > 1 / 30:
        segments.append(Segment("image", "image", image=encode_png(drawn)))
    scores = judge(prompt, sample_id, drawn) if len(segments) == 2 else ()
    if rng.random() < 0.05 or not scores:
        scores = tuple(replace(s, value=None, reason="nothing to judge was found", evidence={}) for s in scores)
    plan = rng.choice((1.0, 1.0, 0.75, 0.5))
    said = "the plan holds every claim" if plan == 1 else "2 boxes overlap"
    scores += (Score(sample_id, "plan", "text", plan, said),)
    values = [score.value for score in scores if score.target == "image" and score.value is not None]
    reward = sum(values) / len(values) if values else None
    sample = Sample(
        sample_id, prompt.id, candidate, rng.getrandbits(62), "think", "embedded", "autonomous",
        "stop" if len(segments) == 2 else "length", tuple(segments), {"temperature": 1.0},
    )  # fmt: skip
    return ReportItem(
        prompt, sample, scores, text_weight=2.5 * plan**3 / 2, image_weight=None if reward is None else 2.2 * reward**4,
        text_reward=plan, image_reward=reward, passed=None if reward is None else reward == 1,
        causes=find_causes(scores), kept=reward is not None,
        weight_reason="" if reward is not None else "no image reward",
    )  # fmt: skip


def make_items(prompts: int, candidates: int = 4, seed: int = 5) -> Iterator[ReportItem]:
    """Yield the items of a whole run, prompt by prompt; the same ones for the same arguments."""
    for index in range(prompts):
        rng = random.Random(f"{seed}/{index}")
        prompt = pick_prompt(index, rng)
        for candidate in range(candidates):
            yield make_item(prompt, candidate, rng)


def make_plain(
    prompt_id: str = "p", candidate: int = 0, *, skill: str = "one_kind", image: bytes = b"", text: str = "three stars",
    image_reward: float | None = 1.0, passed: bool | None = True, scores: Sequence[Score] = (), think: str = "",
    weight: float | None = 1.0,
) -> ReportItem:  # fmt: skip
    """Return one small item where only what a test names is out of the ordinary."""
    claims = (Claim("count", "star", value=3),)
    prompt = Prompt(prompt_id, text, claims, "counting", skill, "easy", 0, 1, "t")
    segments = [Segment("text", "think", text=think)] if think else []
    segments += [Segment("image", "image", image=image)] if image else []
    sample_id = f"{prompt_id}-{candidate:02d}"
    sample = Sample(
        sample_id, prompt_id, candidate, 9, "think", "embedded", "autonomous", "stop", tuple(segments)
    )  # fmt: skip
    return ReportItem(prompt, sample, tuple(scores), weight, weight, None, image_reward, passed)
