"""The statement of a day or month: what each model cost by each witness, how far they are apart, and why.

A statement is made of the operations themselves, so its totals are those of every page to the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring.books.differences import CAUSES, Difference, explain_difference, prices_of
from ralex_core.monitoring.books.period import Day, Period
from ralex_core.monitoring.books.price_fit import fitted_rates
from ralex_core.pricing.book import PriceBook
from ralex_core.storage.queries.segments import measured
from ralex_core.storage.queries.statement import (
    WITNESSES,
    Sums,
    Witness,
    added,
    differing_calls,
    differing_count,
    quarantined_calls,
    statement_sums,
)
from ralex_core.storage.telemetry import Store

UNEXPLAINED_USD = Decimal("0.01")
UNEXPLAINED_RATIO = Decimal("0.01")
"""A line is flagged when what nothing explains is more than a cent and more than 1 % of what was compared."""
MOST_EXPLAINED = 5_000
"""Calls of a statement looked at one by one, of each witness: those furthest apart. The rest counts as unexplained
where it is not shown to be small."""
MOST_QUARANTINED = 100

LineState = Literal["agrees", "explained", "unexplained", "alone"]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why claims of a line differ: `calls` of them, by `difference_usd` together. `cause` None: nothing known."""

    witness: Witness
    cause: str | None
    sentence: str
    calls: int
    difference_usd: Decimal
    distance_usd: Decimal
    """Σ |claimed − computed|: differences in both directions do not cancel out here."""


@dataclass(frozen=True, slots=True)
class Line:
    """One model of one provider. `state`: agrees, explained, unexplained, or alone (nothing to compare with)."""

    provider: str | None
    model: str | None
    sums: Sums
    explanations: tuple[Explanation, ...]
    unexplained_usd: Decimal
    """Σ |claimed − computed| of what nothing known explains."""
    state: LineState


@dataclass(frozen=True, slots=True)
class DayTotal:
    day: Day
    sums: Sums


@dataclass(frozen=True, slots=True)
class QuarantinedClaim:
    """A claim that is kept out of totals, and the sentence that says why."""

    operation: Operation
    usd: Decimal
    sentence: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines: unexplained ones first, then by cost. `days` has every day of the period, also those without calls."""

    period: Period
    total: Sums
    lines: tuple[Line, ...]
    days: tuple[DayTotal, ...]
    quarantined: tuple[QuarantinedClaim, ...]
    unexplained_usd: Decimal
    not_examined: int
    """Calls whose claims differ, but by less than those that were looked at one by one."""
    deleted_calls: int
    """Calls that retention has deleted: in the totals of other pages, no longer itemised here."""
    deleted_usd: Decimal


def make_statement(store: Store, period: Period, book: PriceBook) -> Statement:
    """The statement of a period, as of the last commit."""
    rows = statement_sums(store, period.windows())
    window = period.window
    by_line: defaultdict[tuple[str | None, str | None], list[Sums]] = defaultdict(list)
    by_day: defaultdict[int, list[Sums]] = defaultdict(list)
    for row in rows:
        by_line[row.provider, row.model].append(row.sums)
        by_day[row.day_us].append(row.sums)
    differences, not_examined = _differences(store, window, book)
    by_model: defaultdict[tuple[str | None, str | None], list[Difference]] = defaultdict(list)
    for difference in differences:
        by_model[difference.operation.provider, difference.operation.model].append(difference)
    lines = [_line(key, added(found), by_model.get(key, []), book) for key, found in by_line.items()]
    lines.sort(key=lambda line: (line.state != "unexplained", -line.sums.cost_usd, str(line.provider), str(line.model)))
    total = added(row.sums for row in rows)
    stored_calls, stored_usd = measured(store, Scope(window), ("billable", "cost_usd"), kind="llm")[0]
    deleted = max(0, (stored_calls or 0) - total.calls)
    return Statement(
        period=period,
        total=total,
        lines=tuple(lines),
        days=tuple(DayTotal(day, added(by_day.get(day.window.start_us, []))) for day in period.days),
        quarantined=tuple(_quarantined(op, book) for op in quarantined_calls(store, window, MOST_QUARANTINED)),
        unexplained_usd=sum((line.unexplained_usd for line in lines), ZERO),
        not_examined=not_examined,
        deleted_calls=deleted,
        deleted_usd=Decimal(stored_usd or 0) - total.cost_usd if deleted else ZERO,
    )


def _differences(store: Store, window: Window, book: PriceBook) -> tuple[list[Difference], int]:
    """Every difference beyond rounding that is looked at, and how many were not."""
    found: list[Difference] = []
    left = 0
    for witness in WITNESSES:
        calls = differing_calls(store, window, witness, MOST_EXPLAINED)
        found += [explain_difference(operation, witness, book) for operation in calls]
        if len(calls) == MOST_EXPLAINED:
            left += differing_count(store, window, witness) - MOST_EXPLAINED
    return found, left


def _line(key: tuple[str | None, str | None], sums: Sums, differences: Sequence[Difference], book: PriceBook) -> Line:
    explanations = _explanations(differences, book)
    unexplained = sum((one.distance_usd for one in explanations if one.cause is None), ZERO)
    compared = sums.billed.computed_usd + sums.reported.computed_usd
    state: LineState
    if unexplained > max(UNEXPLAINED_USD, compared * UNEXPLAINED_RATIO):
        state = "unexplained"
    elif any(one.cause is not None for one in explanations):
        state = "explained"
    else:
        state = "agrees" if sums.billed.calls or sums.reported.calls else "alone"
    return Line(key[0], key[1], sums, explanations, unexplained, state)


def _explanations(differences: Sequence[Difference], book: PriceBook) -> tuple[Explanation, ...]:
    """One per witness and cause, the largest distance first."""
    grouped: defaultdict[tuple[Witness, str | None], list[Difference]] = defaultdict(list)
    for difference in differences:
        grouped[difference.witness, difference.cause].append(difference)
    found = [
        Explanation(
            witness,
            cause,
            CAUSES[cause] if cause is not None else _unexplained(members, book),
            len(members),
            sum((one.usd for one in members), ZERO),
            sum((abs(one.usd) for one in members), ZERO),
        )
        for (witness, cause), members in grouped.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.distance_usd, one.witness, str(one.cause))))


def _unexplained(members: Sequence[Difference], book: PriceBook) -> str:
    """That nothing explains it, and the lead there is: the rates that all the claims have in common."""
    rates = fitted_rates(members)
    if rates is None:
        return "unexplained"
    first = members[0].operation
    listed = prices_of(first, book).at(first.started_at).rates
    ours = ""
    if listed is not None:
        prices = listed.base.prices
        ours = f", the price book says {_rate(prices.get('input'))} and {_rate(prices.get('output'))}"
    return (
        f"unexplained, but {rates.calls} of {len(members)} claims fit {_rate(rates.input_usd)} in and "
        f"{_rate(rates.output_usd)} out per million tokens{ours}: one of the two price lists is wrong"
    )


def _rate(usd: Decimal | None) -> str:
    return "nothing" if usd is None else f"${usd.normalize():f}"


def _quarantined(operation: Operation, book: PriceBook) -> QuarantinedClaim:
    claim = operation.billed_usd if operation.quarantine == "billed" else operation.reported_usd
    return QuarantinedClaim(operation, claim or ZERO, book.quarantine_reason(operation))
