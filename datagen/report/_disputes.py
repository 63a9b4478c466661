"""The samples about which scorers contradict each other: how many by who says what, and the widest to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from datagen.report._cards import Picture, make_card
from datagen.report._items import ReportItem
from datagen.rewards._disputes import Dispute, find_dispute

SHOWN = 12
"""Disputes that the page shows; all are counted."""


@dataclass(slots=True)
class Disputes:
    """Counts the disputes of a stream of samples and keeps the widest; `judges` as `find_dispute` takes them."""

    judges: Mapping[str, Collection[str]]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    widest: list[tuple[Dispute, ReportItem]] = field(default_factory=list)

    def add(self, item: ReportItem) -> None:
        """Take one sample in."""
        dispute = find_dispute(item.prompt, item.scores, self.judges)
        if dispute is None:
            return
        self.counts[dispute.no.name, ", ".join(score.name for score in dispute.yes)] += 1
        self.widest.append((dispute, item))
        self.widest.sort(key=lambda each: (-each[0].gap, each[1].sample.id))
        del self.widest[SHOWN:]

    def cards(self) -> Iterator[tuple[Dispute, ReportItem, Picture | None]]:
        """Yield the widest disputes, each with its sample and the last image of that."""
        for dispute, item in self.widest:
            yield dispute, item, next(reversed(make_card(item).pictures), None)
