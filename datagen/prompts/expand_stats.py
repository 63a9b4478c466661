"""What became of an expansion: how many rewrites were kept, why the others were refused, and how varied the rest is.

Filled by `datagen.prompts.expanded.expand`, written into the notes of a run. Flat memory: counts, three examples for
each reason, and two samples of 500 texts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from datagen.prompts.diversity import Diversity

MAX_EXAMPLES = 3
MAX_SHOWN = 200


@dataclass(slots=True)
class ExpandStats:
    """Counts of an expansion: `asked` = `kept` + the sum of `refused`; `standing` sources had no rewrite that held.

    `sources` counts the prompts that came in, `repeated` those whose very words had been yielded before as a rewrite,
    `unchecked` those for which no rewrite was asked, since none could be checked.
    """

    sources: int = 0
    asked: int = 0
    kept: int = 0
    standing: int = 0
    repeated: int = 0
    unchecked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    before: Diversity = field(default_factory=Diversity)
    after: Diversity = field(default_factory=Diversity)

    def count_source(self, text: str, *, unchecked: bool = False) -> None:
        """Count a prompt that came in."""
        self.sources += 1
        self.unchecked += unchecked
        self.before.add(text)

    def keep(self, text: str, style: str) -> None:
        """Count a rewrite that was kept."""
        self.asked += 1
        self.kept += 1
        self.styles[style] += 1
        self.after.add(text)

    def stand(self, text: str, *, alone: bool) -> None:
        """Count a source that is yielded itself; `alone` when it has no rewrite."""
        self.standing += alone
        self.after.add(text)

    def refuse(self, kind: str, reason: str, text: str) -> None:
        """Count a rewrite that was refused; the first three of a kind are shown, cut to 200 characters."""
        self.asked += 1
        self.refused[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append({"text": text[:MAX_SHOWN], "reason": reason[:MAX_SHOWN]})

    def notes(self) -> list[str]:
        """Return a few lines for people: what was kept, why the rest was not, how varied the prompts became."""
        left = f"left as they are, since no words can check their claims: {self.unchecked:,} of {self.sources:,}"
        if not self.asked:
            return [left] if self.unchecked else []
        reasons = ", ".join(f"{kind} {count}" for kind, count in self.refused.most_common())
        lines = [
            f"{self.kept:,} of {self.asked:,} rewrites hold their claims and are new; "
            f"{self.standing:,} of {self.sources:,} prompts stand as the template wrote them"
        ]
        lines += [f"refused: {reasons}"] if reasons else []
        lines += [left] if self.unchecked else []
        before, after = self.before.measure(), self.after.measure()
        changes = ", ".join(f"{name} {before[name]:.2f} to {after[name]:.2f}" for name in before)
        return [*lines, f"variety before and after: {changes}"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts = {
            name: getattr(self, name) for name in ("sources", "asked", "kept", "standing", "repeated", "unchecked")
        }
        diversity = {"before": self.before.measure(), "after": self.after.measure()}
        shown = {kind: list(examples) for kind, examples in self.examples.items()}
        return {
            **counts,
            "refused": dict(self.refused.most_common()),
            "styles": dict(self.styles.most_common()),
            "examples": shown,
            "diversity": diversity,
        }
