"""What a budget's operations have cost: their known costs, and what was reserved where a cost stayed unknown."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ralex_core.budgeting.budget import RESERVED_ATTRIBUTE, SCOPE_FIELDS, Budget
from ralex_core.model.window import Filters, Scope, Window
from ralex_core.storage.queries.segments import conditions, measured
from ralex_core.storage.telemetry import Store

_COLUMNS = SCOPE_FIELDS | {"key": "gateway_key"}
"""Scope of a budget → field of `Filters`."""


@dataclass(slots=True)
class BudgetSpend:
    """Spend of a window, USD."""

    cost_usd: Decimal = Decimal(0)
    at_reserve_usd: Decimal = Decimal(0)
    """For calls of unknown cost that say what was reserved for them."""
    billable: int = 0
    priced: int = 0

    @property
    def counted_usd(self) -> Decimal:
        """What a budget counts."""
        return self.cost_usd + self.at_reserve_usd

    @property
    def coverage_ratio(self) -> float | None:
        """Calls with a known cost ÷ calls; None when there was none."""
        return self.priced / self.billable if self.billable else None

    def add(self, other: BudgetSpend) -> None:
        self.cost_usd += other.cost_usd
        self.at_reserve_usd += other.at_reserve_usd
        self.billable += other.billable
        self.priced += other.priced


def budget_filters(store: Store, budget: Budget, window: Window) -> Filters | None:
    """Which operations count; None when a pattern matches nothing there is in the window."""
    if budget.scope == "all" or budget.value is None:
        return Filters()
    column = _COLUMNS[budget.scope]
    if not budget.has_pattern:
        return Filters(**{column: (budget.value,)})
    subject = "json_extract_string(attributes, '$.gateway_key')" if column == "gateway_key" else column
    if column == "gateway_key":
        rows = store.query(
            f"select distinct {subject} from operations where started_at >= $lo and started_at < $hi",
            {"lo": window.start_us, "hi": window.end_us},
        )
    else:
        rows = measured(store, Scope(window), ("operations",), group=(column,))
    matching = tuple(sorted(str(row[0]) for row in rows if budget.matches(row[0])))
    return Filters(**{column: matching}) if matching else None


def budget_spend(store: Store, budget: Budget, window: Window) -> BudgetSpend:
    """What a budget's operations in a window have cost; zeros when there were none."""
    whole = BudgetSpend()
    for part in budget_parts(store, budget, window, None).values():
        whole.add(part)
    return whole


def budget_parts(store: Store, budget: Budget, window: Window, bucket_us: int | None) -> dict[int, BudgetSpend]:
    """Spend per bucket (its start; without buckets, that of the window); empty ones are absent."""
    filters = budget_filters(store, budget, window)
    if filters is None:
        return {}
    scope = Scope(window, filters)
    found: defaultdict[int, BudgetSpend] = defaultdict(BudgetSpend)
    unknown = False
    for row in measured(store, scope, ("cost_usd", "billable", "priced"), bucket_us=bucket_us):
        start, cost, billable, priced = row if bucket_us else (window.start_us, *row)
        if billable or cost:
            found[start] = BudgetSpend(Decimal(cost or 0), Decimal(0), billable or 0, priced or 0)
            unknown = unknown or billable != priced
    if unknown:
        for start, reserved in _reserved(store, scope, bucket_us):
            found[start].at_reserve_usd += reserved
    return dict(found)


def _reserved(store: Store, scope: Scope, bucket_us: int | None) -> list[tuple[int, Decimal]]:
    """What was reserved for calls whose cost is not known, where they say it."""
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    bucket = f"started_at // {bucket_us} * {bucket_us}" if bucket_us else "$lo"
    amount = f"try_cast(json_extract_string(attributes, '$.{RESERVED_ATTRIBUTE}') as DECIMAL(38,18))"
    rows = store.query(
        f"select {bucket}::BIGINT, sum({amount}) from operations "
        "where kind = 'llm' and cost_usd is null and started_at >= $lo and started_at < $hi "
        f"and contains(attributes, '{RESERVED_ATTRIBUTE}') and {amount} >= 0{conditions(scope.filters, parameters)} "
        "group by 1",
        parameters,
    )
    return [(start, Decimal(amount)) for start, amount in rows]
