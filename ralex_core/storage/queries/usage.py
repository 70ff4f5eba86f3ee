"""Sums of usage that can be priced again exactly, per group: what other models would have charged for the same work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ralex_core.model.window import DAY_US, Scope
from ralex_core.pricing.rates import Usage
from ralex_core.pricing.repricing import Batch, Breaks
from ralex_core.storage.queries.segments import conditions
from ralex_core.storage.schema import SUCCESS, USABLE
from ralex_core.storage.telemetry import Store

Group = tuple[str | None, ...]

_WRITTEN = "coalesce(cache_write_tokens, cache_write_1h_tokens)"
_PARTS = ("input_tokens", "output_tokens", "cache_read_tokens", _WRITTEN, "cache_write_1h_tokens", "reasoning_tokens")
"""In the order of `Usage`."""
KNOWN = f"{USABLE} and cost_usd is not null"
"""Calls whose usage and cost are known: only they can be compared with what another model would have cost."""


@dataclass(frozen=True, slots=True)
class UsedRow:
    """Calls to models of one group between two breaks; the batch is of those whose usage and cost are known."""

    group: Group
    calls: int
    successes: int
    told: int
    """Calls of which was reported what became of them: their outcome is known."""
    told_successes: int
    errors: int
    cost_usd: Decimal
    """What the calls of the batch really cost."""
    batch: Batch


def used(store: Store, scope: Scope, group: Sequence[str], breaks: Breaks) -> list[UsedRow]:
    """Usage per group and stretch between breaks, unordered: one scan of the operations of the window."""
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = conditions(scope.filters, parameters)
    sql = used_sql(group, breaks, "operations", f"started_at >= $lo and started_at < $hi{condition}")
    return used_rows(store.query(sql, parameters), len(group))


def used_sql(group: Sequence[str], breaks: Breaks, source: str, where: str) -> str:
    """The statement of `used` over any source that has the columns of operations."""
    known = f"filter ({KNOWN})"
    keys = ", ".join([*group, *break_columns(breaks)])
    sums = ", ".join(f"coalesce(sum({part}) {known}, 0)::BIGINT" for part in _PARTS)
    return f"""
        select {"".join(f"{column}, " for column in group)}
            count(*),
            count(*) filter ({SUCCESS}),
            count(*) filter (outcome <> 'unknown'),
            count(*) filter ({SUCCESS} and outcome <> 'unknown'),
            count(*) filter (status = 'error'),
            coalesce(sum(cost_usd) {known}, 0)::DECIMAL(38,18),
            count(*) {known},
            {sums},
            coalesce(min(started_at) {known}, 0),
            coalesce(min(input_tokens) {known}, 0)
        from {source}
        where kind = 'llm' and {where}
        {f"group by {keys}" if keys else ""}
        """


def used_rows(rows: Sequence[tuple[Any, ...]], width: int) -> list[UsedRow]:
    """The rows of `used_sql` with `width` columns of groups."""
    found: list[UsedRow] = []
    for row in rows:
        calls, successes, told, told_successes, errors, cost, known, *rest = row[width:]
        batch = Batch(known, Usage(*rest[:6]), rest[6], rest[7])
        found.append(UsedRow(row[:width], calls, successes, told, told_successes, errors, Decimal(cost), batch))
    return found


def break_columns(breaks: Breaks) -> list[str]:
    """Expressions that differ between two stretches of the same prices; none where prices do not change."""
    found: list[str] = []
    for column, places, sign in (
        ("started_at", breaks.dates, ">="),
        (f"(started_at % {DAY_US})", breaks.hours, ">="),
        ("input_tokens", breaks.sizes, ">"),
    ):
        if places:
            found.append("(" + " + ".join(f"({column} {sign} {place})::INTEGER" for place in places) + ")")
    return found
