from __future__ import annotations

import random

import pytest

from datagen.prompts.contamination import NearDuplicates, band_rows, jaccard, shingles_of
from datagen.prompts.expanded import Diversity

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def text_of(rng: random.Random, words: int = 60) -> list[str]:
    return [rng.choice(WORDS) for _ in range(words)]


def changed(words: list[str], rng: random.Random, count: int) -> list[str]:
    # A run of changes at one end keeps the Jaccard index where the test wants it.
    return [*words[: len(words) - count], *text_of(rng, count)]


def test_shingles_are_word_triples_of_normal_text() -> None:
    assert shingles_of("A  red, STAR shines") == {"a red star", "red star shines"}
    assert shingles_of("star") == {"star"}
    assert jaccard(shingles_of("a b c d"), shingles_of("b c d e")) == 1 / 3
    assert jaccard(frozenset(), frozenset()) == 0


def test_the_same_text_is_no_new_one_and_another_is() -> None:
    near = NearDuplicates(0.85)
    assert near.add("three red stars")
    assert not near.add("Three RED stars!")
    assert near.add("four red stars")
    assert len(near) == 2


def test_texts_over_the_threshold_are_found_and_texts_under_it_pass() -> None:
    rng = random.Random(1)
    near = NearDuplicates(0.85)
    found = passed = above = below = 0
    for _ in range(1500):
        base = text_of(rng)
        assert near.add(" ".join(base))
        variant = " ".join(changed(base, rng, rng.choice((2, 12))))
        likeness = jaccard(shingles_of(" ".join(base)), shingles_of(variant))
        new = near.add(variant)
        if likeness >= 0.92:
            above, found = above + 1, found + (not new)
        elif likeness <= 0.72:
            below, passed = below + 1, passed + new
    assert min(above, below) > 500
    assert found / above > 0.97
    assert passed / below > 0.99


def test_growth_forgets_nothing() -> None:
    rng = random.Random(2)
    texts = [" ".join(text_of(rng, 8)) for _ in range(3000)]
    near = NearDuplicates(0.85)
    assert all(near.add(text) for text in texts)
    assert not any(near.add(text) for text in texts)
    assert len(near) == 3000


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
def test_bands_fit_the_threshold(threshold: float) -> None:
    rows = band_rows(threshold)
    assert 128 % rows == 0
    assert rows == 1 or 1 - (1 - threshold**rows) ** (128 // rows) >= 0.99
    near = NearDuplicates(threshold)
    assert near.add("a red star over a blue house")
    assert not near.add("a red star over a blue house")


def test_empty_texts_and_long_ones_do_no_harm() -> None:
    near = NearDuplicates(0.85)
    assert near.add("")
    assert not near.add("...")
    assert near.add("star " * 5 + "x " * 20_000)


def test_order_alone_decides_and_not_chance() -> None:
    rng = random.Random(3)
    texts = [" ".join(changed(WORDS[:40], rng, rng.randrange(12))) for _ in range(300)]
    one, other = NearDuplicates(0.8), NearDuplicates(0.8)
    assert [one.add(text) for text in texts] == [other.add(text) for text in texts]


def test_variety_is_low_for_one_frame_and_high_for_many_words() -> None:
    dull, varied = Diversity(), Diversity()
    rng = random.Random(4)
    for k in range(2000):
        dull.add(f"a plain picture of one red star number {k % 7}")
        varied.add(" ".join(text_of(rng, 12)))
    low, high = dull.measure(), varied.measure()
    assert set(low) == {"distinct-1", "distinct-2", "distinct-3", "self-similarity"}
    assert all(low[name] < high[name] for name in ("distinct-1", "distinct-2", "distinct-3"))
    assert low["self-similarity"] == 1.0
    assert high["self-similarity"] < 0.1
    assert len(dull.texts) == 500


def test_variety_of_known_texts() -> None:
    sample = Diversity()
    assert sample.measure() == {"distinct-1": 0, "distinct-2": 0, "distinct-3": 0, "self-similarity": 0}
    sample.add("a star a star")
    sample.add("a star a moon")
    # 3 of 8 words, {a star, star a, a moon} of 6 pairs, {a star a, star a star, star a moon} of 4 triples.
    measured = {"distinct-1": 0.375, "distinct-2": 0.5, "distinct-3": 0.75, "self-similarity": 0.3333}
    assert sample.measure() == measured


def test_a_sample_is_the_same_each_time_and_reaches_the_end() -> None:
    samples = [Diversity(50), Diversity(50)]
    for sample in samples:
        for k in range(5000):
            sample.add(str(k))
    assert samples[0].texts == samples[1].texts
    assert max(map(int, samples[0].texts)) > 4000
