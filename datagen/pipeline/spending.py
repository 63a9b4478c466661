"""What a run asks of its models and what that costs: budgets, and the account that is kept in `usage.json`.

A `Meter` is shared by all processes of a call and says whether one more request may be made. An `Account` is kept by
the process that leads them: it sums what models were asked for, in tokens as their servers count them, knows the prices
of the recipe, and tells the meter what has been spent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

from datagen.config import Prices
from datagen.errors import ConfigError, Paused
from datagen.usage import Usage, add_usage

if TYPE_CHECKING:
    from datagen.pipeline.run import Run

FILE = "usage.json"
SAVE_SECONDS = 10.0
"""How often the account is written while a run goes on."""
FEW = 16
"""Fewer answers than this say too little about what one costs; when so many cost nothing, no limit can be kept."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one call: samples to ask the model for, hours, and money in the currency of the recipe's `prices`.

    None is no limit.
    """

    samples: int | None = None
    hours: float | None = None
    cost: float | None = None

    def describe(self) -> str:
        """Return the limits as the command line names them."""
        given = {"--max-samples": self.samples, "--max-hours": self.hours, "--max-cost": self.cost}
        return " and ".join(f"{option} {value:g}" for option, value in given.items() if value is not None)


class Meter:
    """What was asked of a budget so far, shared by the processes of a call; its time begins with it."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._end = None if self.budget.hours is None else time.time() + 3600 * self.budget.hours
        context = get_context("spawn")
        self._asked, self._is_ended = context.Value("q", 0), context.Value("b", False)
        self._spent, self._due = context.Value("d", 0.0), context.Value("d", 0.0)

    @property
    def asked(self) -> int:
        """How many samples the model was asked for."""
        return int(self._asked.value)

    def tell(self, spent: float, due: float) -> None:
        """Take in what has been `spent`, and what is `due` for the requests that are open, as far as is known."""
        self._spent.value, self._due.value = spent, due

    def is_over(self) -> bool:
        """Return whether the hours are over or the money is spent, so that nothing new is begun."""
        is_late = self._end is not None and time.time() >= self._end
        return is_late or (self.budget.cost is not None and self._spent.value >= self.budget.cost)

    def is_spent(self) -> bool:
        """Return whether the model may be asked for nothing more in this call."""
        if (
            self._is_ended.value
            or self.is_over()
            or (self.budget.samples is not None and self.asked >= self.budget.samples)
        ):
            return True
        return self.budget.cost is not None and self._spent.value + self._due.value >= self.budget.cost

    def may_ask(self, samples: int = 1) -> bool:
        """Return whether so many more samples may be asked for, and count them."""
        with self._asked.get_lock():
            most = self.budget.samples
            if self.is_spent() or (most is not None and self.asked + samples > most):
                self._is_ended.value = True  # what was due may turn out to cost less
                return False
            self._asked.value += samples
            return True


class Account:
    """What the models of a run were asked for, in this call and in all calls before, and what this call may still ask.

    Raises ConfigError for a limit on money without prices.
    """

    def __init__(self, run: Run, budget: Budget | None = None) -> None:
        self._run, self._prices = run, run.recipe.prices
        if budget is not None and budget.cost is not None and self._prices is None:
            hint = "add `prices: {backend: {input: 0.15, output: 0.6}}`; see docs/servers.md"
            raise ConfigError("--max-cost needs to know what things cost: the recipe has no `prices`", hint=hint)
        self.meter = Meter(budget)
        self.spent = Spent()
        self._before = read_spent(run)
        self._held_since: float | None = None
        self._models = self._answered = self._made = 0
        self._cost_before = 0.0
        """The cost of this call before the first sample was asked for."""
        self._saved = time.monotonic()

    @property
    def cost(self) -> float | None:
        """The money spent in this call; None without prices."""
        return cost_of(self._so_far(), self._prices)

    def _so_far(self) -> Spent:
        if self._held_since is None:
            return self.spent
        hours = (time.monotonic() - self._held_since) * self._models / 3600
        return replace(self.spent, hours=self.spent.hours + hours)

    @contextmanager
    def hold(self, models: int) -> Iterator[None]:
        """Count the hours for which this many models are held, while the block runs."""
        self._held_since, self._models, self._cost_before = time.monotonic(), models, self.cost or 0.0
        try:
            yield
        finally:
            self.spent, self._held_since = self._so_far(), None
            self.save()

    def count_sample(self, failed: bool) -> None:
        """Take in one answer of the model."""
        self._answered += 1
        self._made += not failed
        self.add({})

    def add(self, usage: Mapping[str, Usage]) -> None:
        """Take in what models in other processes were asked for, and those in this one."""
        self._collect(usage)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def _collect(self, usage: Mapping[str, Usage]) -> None:
        for each in (usage, self._run.take_usage()):
            self.spent = replace(self.spent, usage=add_usage(self.spent.usage, each)) if each else self.spent
        if self.meter.budget.cost is not None:
            self._tell_meter()

    def _tell_meter(self) -> None:
        cost = self.cost or 0.0
        if not cost and self._made >= FEW:
            what = f"--max-cost cannot be kept: {self._made} samples cost nothing by the recipe's `prices`"
            hint = "a server that counts no tokens needs a price by `request`, `image` or `hour`"
            raise ConfigError(what, hint=hint)
        # Requests of which the answer is still on its way here count as open, but their cost may be known already.
        mean = (cost - self._cost_before) / max(FEW, self._answered)
        self.meter.tell(cost, mean * max(0, self.meter.asked - self._answered))

    def require_rest(self, what: str) -> None:
        """Raise Paused, saying `what` is left, when the hours are over or the money is spent."""
        if self.meter.is_over():
            raise Paused(f"paused at {self.meter.budget.describe()}: {what}")

    def describe(self) -> str:
        """Return tokens and money of this call in words, `""` if neither is known."""
        return describe_spent(self._so_far(), self._prices)

    def save(self) -> None:
        """Write what all calls asked for into the folder of the run."""
        self._collect({})
        self._saved = time.monotonic()
        if whole := self._before + self._so_far():
            self._run.folder.write_file(FILE, json.dumps(asdict(whole), indent=2).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Spent:
    """What models were asked for, by the recipe's key of the model, and the hours for which `backend` was held.

    With several models at a time the hours of each count.
    """

    usage: Mapping[str, Usage] = field(default_factory=dict)
    hours: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(add_usage(self.usage, other.usage), self.hours + other.hours)

    def __bool__(self) -> bool:
        return bool(self.usage or self.hours)


def read_spent(run: Run) -> Spent:
    """Return what the calls so far asked for; a file that cannot be read counts as none."""
    try:
        noted = json.loads(run.folder.read_head(FILE, -1) or b"{}")
        return Spent(
            {name: Usage(**counts) for name, counts in noted.get("usage", {}).items()}, noted.get("hours", 0.0)
        )
    except (ValueError, TypeError, AttributeError):
        return Spent()


def cost_of(spent: Spent, prices: Prices | None) -> float | None:
    """Return the money for what was asked; None without prices."""
    if prices is None:
        return None
    total = 0.0
    for name, usage in spent.usage.items():
        if price := prices.of(name):
            tokens = price.input * usage.input_tokens + price.output * usage.output_tokens
            total += tokens / 1e6 + price.image * usage.images + price.request * usage.requests
    return total + (prices.backend.hour * spent.hours if prices.backend else 0.0)


def describe_spent(spent: Spent, prices: Prices | None) -> str:
    """Return tokens and money in words, `""` if neither is known."""
    total = sum(spent.usage.values(), Usage())
    tokens = total.input_tokens + total.output_tokens
    parts = [f"{tokens:,} tokens"] if tokens else []
    cost = cost_of(spent, prices)
    if prices is not None and cost is not None:
        parts.append(f"{cost:,.2f} {prices.currency}")
    return ", ".join(parts)
