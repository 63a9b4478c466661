"""How varied a stream of texts is, measured on a bounded sample of it: distinct n-grams and likeness to each other.

`distinct-n` is the number of different word n-grams over all n-grams (Li et al., arXiv 1510.03055). It falls as texts
are added, so both sides of a comparison are samples of at most the same size. `self-similarity` is the mean, over
texts, of the greatest Jaccard index of word 3-grams with another text of the sample. Used by
`datagen.prompts.expanded`. Not covered: variety of meaning.
"""

from __future__ import annotations

from random import Random

from datagen.prompts.contamination import normalize
from datagen.prompts.minhash import jaccard, shingles_of

SAMPLE = 500


class Diversity:
    """A sample of a stream of any length, at random but the same each time, and its measures."""

    def __init__(self, size: int = SAMPLE) -> None:
        self._size, self._rng, self._seen = size, Random(0), 0
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Let a text be drawn into the sample (reservoir sampling, Vitter's algorithm R)."""
        self._seen += 1
        if len(self.texts) < self._size:
            self.texts.append(text)
            return
        place = self._rng.randrange(self._seen)
        if place < self._size:
            self.texts[place] = text

    def measure(self) -> dict[str, float]:
        """Return `distinct-1` to `distinct-3` and `self-similarity`, each in [0, 1]; 0 for an empty sample."""
        found = {f"distinct-{n}": round(_distinct(self.texts, n), 4) for n in (1, 2, 3)}
        return {**found, "self-similarity": round(_likeness(self.texts), 4)}


def _distinct(texts: list[str], n: int) -> float:
    grams = []
    for text in texts:
        words = normalize(text).split(" ")
        grams += [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    return len(set(grams)) / max(1, len(grams))


def _likeness(texts: list[str]) -> float:
    sets = [shingles_of(text) for text in texts]
    greatest = [0.0] * len(sets)
    for k, one in enumerate(sets):
        for j in range(k):
            found = jaccard(one, sets[j])
            greatest[k], greatest[j] = max(greatest[k], found), max(greatest[j], found)
    return sum(greatest) / max(1, len(greatest))
