"""Holds calls to their budgets: the worst case is reserved before a call is made and settled after it.

spent = what the store held when it was last read + what was committed since + what was settled and is not committed
yet; and what calls under way have reserved is held on top. `hear` listens to commits: an operation that is committed
takes the place of what was settled for it, so nothing is counted twice and nothing is forgotten in between.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from ralex_core.budgeting.budget import KEY_ATTRIBUTE, RESERVED_ATTRIBUTE, Budget, CallScope, scope_of
from ralex_core.budgeting.ledger import Ledger, units_of, usd_of
from ralex_core.clock import Clock, SystemClock
from ralex_core.errors import BudgetExceeded
from ralex_core.model.money import format_usd
from ralex_core.model.operation import ASIDE_ATTRIBUTE, Operation
from ralex_core.model.window import DAY_US, MINUTE_US, Window

Spent = Callable[[Budget, Window], Iterable[tuple[int, Decimal]]]
"""What operations in a window have cost a budget, as (UTC µs, USD); one amount is enough unless the period rolls."""

EXPIRES_S = 3600.0
"""A reservation that nobody settles counts as spent from then on."""
MAX_REMEMBERED = 100_000
"""Settled calls whose commit is waited for, and commits that calls under way may still be settled for."""
_MAX_SCOPES = 4096
_MAX_LUMPS = 4096
_AT_ONCE = 256
"""Committed operations counted without letting a caller in between."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room that is held for one call. Settle or release it, once."""

    number: int
    scope: CallScope
    at_us: int
    """When it was made. The operation should carry it as `started_at`, so that both fall into the same period."""
    reserved_usd: Decimal
    """What is held. Where the worst case is not known: all that was left of the tightest hard limit, 0 without one."""
    worst_known: bool
    warnings: tuple[str, ...] = ()
    """A sentence per soft limit that would be passed."""


@dataclass(frozen=True, slots=True)
class BudgetLevel:
    """Where a budget stands in its current period."""

    budget: Budget
    window: Window
    spent_usd: Decimal
    reserved_usd: Decimal


class _Held:
    """An amount that is held or settled, and the ledgers it is in."""

    __slots__ = ("at_us", "ledgers", "others", "scope", "units")

    def __init__(
        self, scope: CallScope, others: Sequence[CallScope], at_us: int, units: int, ledgers: tuple[Ledger, ...]
    ) -> None:
        self.scope, self.others, self.at_us, self.units, self.ledgers = scope, others, at_us, units, ledgers


class BudgetGuard:
    """Any thread may use it. `reserve` and `settle` look at the budgets of a call and ask no store.

    Args:
        budgets: see `Budget`. `load` changes them.
        zone: zone of periods, where a budget names none.
        expires_s: after which a reservation that is not settled counts as spent, at what was reserved.
        hears_commits: whether `hear` will be told of every committed operation. Without it, what is settled stays.
    """

    def __init__(
        self,
        budgets: Sequence[Budget] = (),
        *,
        clock: Clock | None = None,
        zone: tzinfo = UTC,
        expires_s: float = EXPIRES_S,
        hears_commits: bool = False,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._zone = zone
        self._expires_us = round(expires_s * 1e6)
        self._hears = hears_commits
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._ledgers: tuple[Ledger, ...] = ()
        self._by_scope: dict[CallScope, tuple[Ledger, ...]] = {}
        self._wants_key = False
        self._open: dict[int, _Held] = {}
        self._expired: dict[int, _Held] = {}
        self._settled: dict[str, _Held] = {}
        self._committed: dict[str, bool] = {}
        self._lumps: dict[tuple[CallScope, int], int] = {}
        self._lumps_at_most = _MAX_LUMPS
        self._revised: dict[str, tuple[CallScope, int, int]] = {}
        self._stale = False
        self.load(budgets)

    # --- calls -------------------------------------------------------------------------------------------------

    def reserve(self, scope: CallScope, worst_usd: Decimal | None, others: Sequence[CallScope] = ()) -> Reservation:
        """Hold what a call may cost at worst.

        `others` are what it may turn out to belong to instead (another model may answer): their budgets hold it too,
        each once, until it is committed.

        Where the worst case is not known (None), all that is left of the tightest hard limit is held, so such a call
        goes alone; when nothing is left, it is refused.

        Raises:
            BudgetExceeded: with it, a hard limit could be passed; nothing is held.
            ValueError: `worst_usd` is negative or not finite.
        """
        asked = None if worst_usd is None else units_of(worst_usd)
        with self._lock:
            now = self._clock.now_us()
            self._expire(now)
            ledgers = self._matching(scope, others)
            for ledger in ledgers:
                if now >= ledger.end_us:
                    self._roll(ledger, now)
            units = self._left(ledgers) if asked is None else asked
            warnings: list[str] = []
            for ledger in ledgers:
                used = ledger.used + units
                if ledger.hard is not None and (used > ledger.hard or (asked is None and ledger.used >= ledger.hard)):
                    raise self._refusal(ledger, asked)
                if ledger.soft is not None and used > ledger.soft:
                    warnings.append(_warning(ledger, units))
            held = _Held(scope, others, now, units, ledgers)
            for ledger in ledgers:
                ledger.open.add(now, units)
            number = next(self._numbers)
            self._open[number] = held
        reserved = usd_of(units) if worst_usd is None else worst_usd
        return Reservation(number, scope, now, reserved, worst_usd is not None, tuple(warnings))

    def settle(self, reservation: Reservation, actual_usd: Decimal | None, operation_id: str) -> None:
        """The call is over and cost `actual_usd`; None, it is not known: it counts at what was reserved.

        Settle before the operation is handed to the store, so that it is never counted twice, not even for a moment.
        Settling or releasing again changes nothing.
        """
        units = None if actual_usd is None else units_of(actual_usd)
        with self._lock:
            held = self._take(reservation.number)
            if held is None or self._committed.pop(operation_id, False):
                return
            if units is not None:
                held.units = units
            for ledger in held.ledgers:
                ledger.pending.add(held.at_us, held.units)
            if not self._hears:
                self._lump(held)
                return
            self._settled[operation_id] = held
            if len(self._settled) > MAX_REMEMBERED:
                self._lump(self._settled.pop(next(iter(self._settled))))

    def release(self, reservation: Reservation) -> None:
        """The call never reached the provider: what was held is free again."""
        with self._lock:
            self._take(reservation.number)

    # --- what the store says -----------------------------------------------------------------------------------

    def load(self, budgets: Sequence[Budget], spent: Spent | None = None) -> None:
        """Take these budgets from now on, with what the store holds for each; calls under way stay counted.

        Where commits are heard, call it on the thread that commits: then none lies between reading and counting.
        """
        now = self._clock.now_us()
        fresh: list[Ledger] = []
        for budget in budgets:
            ledger = Ledger(budget, now, self._zone)
            for at_us, amount in () if spent is None else spent(budget, ledger.window):
                ledger.stored.add(max(at_us, ledger.start_us), units_of(amount))
            fresh.append(ledger)
        with self._lock:
            self._ledgers = tuple(fresh)
            self._by_scope = {}
            self._wants_key = any(budget.scope == "key" for budget in budgets)
            self._stale = False
            self._forget_old()
            for held in self._open.values():
                held.ledgers = self._matching(held.scope, held.others)
                for ledger in held.ledgers:
                    ledger.open.add(held.at_us, held.units)
            for held in itertools.chain(self._settled.values(), self._expired.values()):
                held.ledgers = self._matching(held.scope, held.others)
                for ledger in held.ledgers:
                    ledger.pending.add(held.at_us, held.units)
            for (scope, at_us), units in self._lumps.items():
                for ledger in self._matching(scope):
                    ledger.pending.add(at_us, units)

    def hear(self, operations: Sequence[Operation]) -> None:
        """Operations were committed (a commit listener): they take the place of what was settled for them."""
        for start in range(0, len(operations), _AT_ONCE):
            with self._lock:
                if not (self._ledgers or self._open or self._settled):
                    self._committed.clear()
                    return  # nothing counts, and the store tells whoever counts later
                now = self._clock.now_us()
                for ledger in self._ledgers:
                    if now >= ledger.end_us:
                        self._roll(ledger, now)
                earliest = min((ledger.start_us for ledger in self._ledgers), default=None)
                for operation in operations[start : start + _AT_ONCE]:
                    self._hear(operation, earliest)

    def _hear(self, operation: Operation, earliest_us: int | None) -> None:
        if operation.kind != "llm":
            if operation.revision and ASIDE_ATTRIBUTE in (operation.attributes or ""):
                self._stale = True  # it counted as a call until another was found to tell of the same one
            return
        identifier = operation.operation_id
        units = counted(operation)
        if self._open:
            self._committed[identifier] = units is not None
            if len(self._committed) > MAX_REMEMBERED:
                del self._committed[next(iter(self._committed))]
        elif self._committed:
            self._committed.clear()
        settled = self._settled.get(identifier)
        if units is None:
            return  # what was settled for it, if anything, goes on counting
        if settled is not None:
            del self._settled[identifier]
            for ledger in settled.ledgers:
                ledger.pending.add(settled.at_us, -settled.units)
        if earliest_us is None:
            return
        if operation.started_at < earliest_us:
            if operation.revision:
                self._stale = True  # an earlier revision may have counted in a period that this one is not in
            return
        scope = scope_of(operation, _attribute(operation, KEY_ATTRIBUTE) if self._wants_key else None)
        if operation.revision:
            self._replace(identifier, scope, operation.started_at, units)
        for ledger in self._matching(scope):
            if not ledger.store(operation.started_at, units):
                self._stale = True

    def _replace(self, identifier: str, scope: CallScope, at_us: int, units: int) -> None:
        """Take back what an earlier revision of the operation counted; one we have not heard of, the store knows."""
        before = self._revised.pop(identifier, None)
        if before is None:
            self._stale = True
        else:
            for ledger in self._matching(before[0]):
                ledger.stored.add(before[1], -before[2])
        self._revised[identifier] = (scope, at_us, units)
        if len(self._revised) > MAX_REMEMBERED:
            del self._revised[next(iter(self._revised))]

    @property
    def has_budgets(self) -> bool:
        """Whether there is anything to hold calls to."""
        return bool(self._ledgers)

    @property
    def limits_models(self) -> bool:
        """Whether there is a hard limit for a model or a tier."""
        return any(ledger.hard is not None and ledger.budget.scope in ("model", "tier") for ledger in self._ledgers)

    @property
    def stale(self) -> bool:
        """Whether the store should be read again soon: a period began, or an operation was replaced."""
        return self._stale

    def levels(self) -> list[BudgetLevel]:
        """Where every budget stands, in the order they were given."""
        with self._lock:
            now = self._clock.now_us()
            self._expire(now)
            for ledger in self._ledgers:
                if now >= ledger.end_us:
                    self._roll(ledger, now)
            return [
                BudgetLevel(
                    ledger.budget,
                    ledger.window,
                    usd_of(ledger.stored.total + ledger.pending.total),
                    usd_of(ledger.open.total),
                )
                for ledger in self._ledgers
            ]

    # --- under the lock ----------------------------------------------------------------------------------------

    def _matching(self, scope: CallScope, others: Sequence[CallScope] = ()) -> tuple[Ledger, ...]:
        if others:
            found = {id(ledger): ledger for one in (scope, *others) for ledger in self._matching(one)}
            return tuple(found.values())
        found = self._by_scope.get(scope)
        if found is None:
            if len(self._by_scope) >= _MAX_SCOPES:
                self._by_scope.clear()
            found = tuple(ledger for ledger in self._ledgers if ledger.budget.covers(scope))
            self._by_scope[scope] = found
        return found

    def _roll(self, ledger: Ledger, now_us: int) -> None:
        ledger.roll(now_us)
        if ledger.budget.period != "rolling":
            self._stale = True

    def _take(self, number: int) -> _Held | None:
        """Out of what is open (or has expired), and out of the tallies."""
        held = self._open.pop(number, None)
        if held is not None:
            for ledger in held.ledgers:
                ledger.open.add(held.at_us, -held.units)
            return held
        held = self._expired.pop(number, None)
        if held is not None:
            for ledger in held.ledgers:
                ledger.pending.add(held.at_us, -held.units)
        return held

    def _expire(self, now_us: int) -> None:
        """Reservations are in the order they were made, so the first one is the oldest."""
        while self._open:
            number, held = next(iter(self._open.items()))
            if held.at_us + self._expires_us > now_us:
                return
            del self._open[number]
            for ledger in held.ledgers:
                ledger.open.add(held.at_us, -held.units)
                ledger.pending.add(held.at_us, held.units)
            self._expired[number] = held
            if len(self._expired) > MAX_REMEMBERED:
                self._lump(self._expired.pop(next(iter(self._expired))))

    def _lump(self, held: _Held) -> None:
        """Keep an amount without its call; it is in the tallies already."""
        key = (held.scope, held.at_us // MINUTE_US * MINUTE_US)
        self._lumps[key] = self._lumps.get(key, 0) + held.units
        if len(self._lumps) > self._lumps_at_most:
            self._forget_old()
            self._lumps_at_most = max(_MAX_LUMPS, 2 * len(self._lumps))

    def _forget_old(self) -> None:
        """Drop what no current period counts any more."""
        start = min((ledger.start_us for ledger in self._ledgers), default=self._clock.now_us() - DAY_US)
        self._lumps = {key: units for key, units in self._lumps.items() if key[1] >= start}
        for waiting in (self._settled, self._expired):
            old = [key for key, held in waiting.items() if held.at_us < start - MINUTE_US]
            for key in old:
                del cast("dict[Any, _Held]", waiting)[key]

    def _left(self, ledgers: Sequence[Ledger]) -> int:
        """All that is left of the tightest hard limit; 0 without one."""
        return min((max(0, ledger.hard - ledger.used) for ledger in ledgers if ledger.hard is not None), default=0)

    def _refusal(self, ledger: Ledger, asked: int | None) -> BudgetExceeded:
        budget, hard = ledger.budget, ledger.hard or 0
        spent, reserved = usd_of(ledger.stored.total + ledger.pending.total), usd_of(ledger.open.total)
        room_at = ledger.room_at(1 if asked is None else asked)
        could = "and what this call costs at worst is not known" if asked is None else f"{_could(asked)}"
        parts = [
            f"The budget {budget.name!r} allows {format_usd(usd_of(hard))} {_per(budget)} for {budget.scope_text}: "
            f"{format_usd(spent)} is spent, {format_usd(reserved)} is held for calls under way, {could}."
        ]
        if room_at is None:
            parts.append("That is more than the whole budget: raise it, or ask for less.")
        else:
            zone = budget.zone(self._zone)
            parts.append(f"There is room again at {datetime.fromtimestamp(room_at / 1e6, zone):%Y-%m-%d %H:%M %Z}.")
        return BudgetExceeded(
            " ".join(parts),
            budget=budget.name,
            budget_id=budget.id,
            limit_usd=usd_of(hard),
            spent_usd=spent,
            reserved_usd=reserved,
            resets_at_us=room_at,
        )


def counted(operation: Operation) -> int | None:
    """What an operation counts: its cost, else what was reserved for it; None when neither is known."""
    if operation.cost_usd is not None:
        return units_of(operation.cost_usd)
    text = _attribute(operation, RESERVED_ATTRIBUTE)
    try:
        return None if text is None else units_of(Decimal(text))
    except (InvalidOperation, ValueError):
        return None


def _attribute(operation: Operation, name: str) -> str | None:
    text = operation.attributes
    if text is None or name not in text:
        return None
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    value: object = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _could(units: int) -> str:
    return f"and this call could cost up to {format_usd(usd_of(units))}"


def _per(budget: Budget) -> str:
    return f"in any {budget.rolling_hours} hours" if budget.period == "rolling" else f"per {budget.period}"


def _warning(ledger: Ledger, units: int) -> str:
    budget = ledger.budget
    return (
        f"The budget {budget.name!r} warns at {format_usd(usd_of(ledger.soft or 0))} {_per(budget)}: "
        f"{format_usd(usd_of(ledger.used))} is spent or held, {_could(units)}."
    )
