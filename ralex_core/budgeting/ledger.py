"""What one budget has spent and holds in its current period, in whole units of 1e-18 dollars: exact, and quick to add.

Not thread-safe: the guard's lock is held around every use.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from decimal import ROUND_CEILING, Context, Decimal
from itertools import chain

from ralex_core.budgeting.budget import Budget
from ralex_core.budgeting.periods import rolling_step_us
from ralex_core.model.window import HOUR_US, Window

_DIGITS = 18
_EXACT = Context(prec=80, rounding=ROUND_CEILING)
_ONE = Decimal(1)


def units_of(amount: Decimal) -> int:
    """Dollars as whole units, rounded up: what is reserved is never less than what may be charged.

    Raises:
        ValueError: it is negative or not finite.
    """
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount is a finite number of dollars, 0 or more, not {amount}")
    return int(amount.scaleb(_DIGITS, _EXACT).quantize(_ONE, context=_EXACT))


def usd_of(units: int) -> Decimal:
    """Whole units as dollars, exactly."""
    return Decimal(units).scaleb(-_DIGITS, _EXACT)


class Tally:
    """A sum of amounts with their moments. With a step it can forget what is older than a time, step by step."""

    __slots__ = ("_buckets", "_start_us", "_step_us", "total")

    def __init__(self, start_us: int, step_us: int | None) -> None:
        self._start_us = start_us
        self._step_us = step_us
        self._buckets: dict[int, int] = {}
        self.total = 0

    def add(self, at_us: int, units: int) -> None:
        """Add an amount (or take it away, when negative); what is from before the start has been forgotten."""
        if at_us < self._start_us:
            return
        self.total += units
        if self._step_us is not None:
            bucket = at_us // self._step_us * self._step_us
            self._buckets[bucket] = self._buckets.get(bucket, 0) + units

    def start_at(self, start_us: int) -> None:
        """Forget what is from before `start_us`."""
        self._start_us = start_us
        if self._step_us is None:
            self.total = 0
            return
        for bucket in [bucket for bucket in self._buckets if bucket < start_us]:
            self.total -= self._buckets.pop(bucket)

    def parts(self) -> list[tuple[int, int]]:
        """(moment, amount) as finely as it is known."""
        return list(self._buckets.items()) if self._step_us is not None else [(self._start_us, self.total)]


class Ledger:
    """One budget in its current period.

    `stored` is what committed operations cost, `pending` what was settled and is not committed yet (or never will be),
    `open` what calls under way may cost at worst.
    """

    __slots__ = ("_zone", "budget", "end_us", "hard", "open", "pending", "soft", "start_us", "stored")

    def __init__(self, budget: Budget, now_us: int, zone: tzinfo) -> None:
        window = budget.window(now_us, zone)
        step = rolling_step_us(budget.rolling_hours or 1) if budget.period == "rolling" else None
        self.budget = budget
        self._zone = zone
        self.hard = None if budget.hard_usd is None else units_of(budget.hard_usd)
        self.soft = None if budget.soft_usd is None else units_of(budget.soft_usd)
        self.start_us, self.end_us = window.start_us, window.end_us
        self.stored, self.pending, self.open = (Tally(window.start_us, step) for _ in range(3))

    @property
    def used(self) -> int:
        return self.stored.total + self.pending.total + self.open.total

    @property
    def window(self) -> Window:
        return Window(self.start_us, self.end_us)

    def store(self, at_us: int, units: int) -> bool:
        """Count a committed operation; False: it lies in a later period, which is read when it begins."""
        if at_us >= self.end_us and self.budget.period != "rolling":
            return False
        self.stored.add(at_us, units)
        return True

    def roll(self, now_us: int) -> None:
        """Begin the period `now_us` is in."""
        window = self.budget.window(now_us, self._zone)
        self.start_us, self.end_us = window.start_us, window.end_us
        for tally in (self.stored, self.pending, self.open):
            tally.start_at(window.start_us)

    def room_at(self, units: int) -> int | None:
        """When a hard limit has room for `units` if nothing else is spent, UTC µs; None: it never has."""
        if self.hard is None or units > self.hard:
            return None
        if self.budget.period != "rolling":
            return self.end_us
        parts: Sequence[tuple[int, int]] = sorted(
            chain(self.stored.parts(), self.pending.parts(), self.open.parts()), key=lambda part: part[0]
        )
        hours = self.budget.rolling_hours or 1
        used = self.used
        for moment, amount in parts:
            used -= amount
            if used + units <= self.hard:
                return moment + rolling_step_us(hours) + hours * HOUR_US
        return self.end_us
