"""Questions about spending: who and what it goes to, what of it was for nothing, and what caches saved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ralex_core.model.window import MINUTE_US, Scope
from ralex_core.pricing.repricing import Breaks
from ralex_core.storage.queries.segments import conditions, measured, ranked
from ralex_core.storage.queries.usage import break_columns
from ralex_core.storage.schema import MONEY, USABLE
from ralex_core.storage.telemetry import Store

FEWEST_CACHED = 1024
"""Providers cache no beginning of a request shorter than this."""
CACHE_US = 5 * MINUTE_US
"""How long providers keep a cached beginning at least, unless it is used again."""

_MEASURES = (
    *("cost_usd", "operations", "priced", "successes", "errors"),
    *("basis_billed", "basis_computed", "basis_reported"),
    *("input_tokens", "output_tokens"),
)


@dataclass(frozen=True, slots=True)
class SpentRow:
    """What calls to models of one group cost."""

    key: str | None
    """None where operations do not say."""
    cost_usd: Decimal
    calls: int
    priced: int
    successes: int
    errors: int
    billed: int
    computed: int
    reported: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Spent:
    """The groups that cost most, what the others cost together (None: there are none), and the sum of all."""

    rows: list[SpentRow]
    groups: int
    other: SpentRow | None
    total: SpentRow


def spent_by(store: Store, scope: Scope, column: str, limit: int) -> Spent:
    """Spending per value of a column, the dearest first. From rollups where one knows the column."""
    found, groups = ranked(store, scope, _MEASURES, group=(column,), limit=limit, kind="llm")
    rows = [SpentRow(*row) for row in found]
    sums = measured(store, scope, _MEASURES, kind="llm")[0]
    whole = [Decimal(sums[0] or 0), *(value or 0 for value in sums[1:])]
    total = SpentRow(None, *whole)  # pyright: ignore[reportArgumentType] - money first, then counts
    if groups <= len(rows):
        return Spent(rows, groups, None, total)
    rest = [sum_ - sum(row[1 + place] for row in found) for place, sum_ in enumerate(whole)]
    return Spent(rows, groups, SpentRow(None, *rest), total)  # pyright: ignore[reportArgumentType]


class Loss(NamedTuple):
    """Calls that were paid for nothing in one way."""

    calls: int
    priced: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Losses:
    """What was paid for nothing. One call may be in several; `any` counts it once."""

    failed: Loss
    """Ended with an error."""
    cancelled: Loss
    retries: Loss
    """Second and later attempts."""
    turned_down: Loss
    """The result was rejected, reworked or failed."""
    any: Loss
    total: Loss
    """All calls to models."""


def losses(store: Store, scope: Scope) -> Losses:
    """One scan of the operations of the window."""
    ways = (
        "status = 'error'",
        "status = 'cancelled'",
        "attempt > 1",
        "outcome in ('rejected', 'reworked', 'failed')",
        "(status <> 'ok' or attempt > 1 or outcome in ('rejected', 'reworked', 'failed'))",
        "true",
    )
    columns = ", ".join(
        f"count(*) filter ({way}), count(cost_usd) filter ({way}), coalesce(sum(cost_usd) filter ({way}), 0)::{MONEY}"
        for way in ways
    )
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = conditions(scope.filters, parameters)
    (row,) = store.query(
        f"select {columns} from operations where kind = 'llm' and started_at >= $lo and started_at < $hi{condition}",
        parameters,
    )
    return Losses(*(Loss(*row[place : place + 3]) for place in range(0, len(row), 3)))


@dataclass(frozen=True, slots=True)
class MissedRow:
    """Input that a session had sent to a model before and paid for in full again, between two changes of a price."""

    provider: str | None
    model: str
    service_tier: str | None
    started_at: int
    input_tokens: int
    """When one of the calls was made, and how large its input was: they say which rates hold."""
    missed_tokens: int
    after_pause_tokens: int
    """Of these, after a pause in which a cache expires (`CACHE_US`)."""


def missed(store: Store, scope: Scope, breaks: Breaks) -> list[MissedRow]:
    """What a cache could have held of each call's input but did not, at most: the input of the call before, in the same
    session by the same model, less what was read from the cache. Only calls that tell what they read.

    The costliest question here: 0.2 s a million calls.
    """
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = conditions(scope.filters, parameters)
    keys = ", ".join(["provider", "model", "service_tier", *break_columns(breaks)])
    again = "greatest(0, least(before_tokens, input_tokens) - cache_read_tokens)"
    rows = store.query(
        f"""
        with calls as (
            select provider, model, service_tier, started_at, input_tokens, cache_read_tokens,
                lag(input_tokens) over before as before_tokens,
                lag(started_at) over before as before_at
            from operations
            where kind = 'llm' and session_id is not null and model is not null and cache_read_tokens is not null
                and {USABLE} and started_at >= $lo and started_at < $hi{condition}
            -- numbers in place of four texts and an id: a quarter less time
            window before as (partition by hash(session_id, provider, model, service_tier) order by started_at, id_hash)
        )
        select provider, model, service_tier, min(started_at), min(input_tokens),
            coalesce(sum({again}), 0)::BIGINT,
            coalesce(sum({again}) filter (started_at - before_at > {CACHE_US}), 0)::BIGINT
        from calls
        where before_tokens >= {FEWEST_CACHED}
        group by {keys}
        """,
        parameters,
    )
    return [MissedRow(*row) for row in rows]


def cache_told(store: Store, scope: Scope) -> tuple[int, int, int, int]:
    """(calls to models, those that tell what they read from a cache, their input tokens, and what of it they read)."""
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = conditions(scope.filters, parameters)
    told = "filter (cache_read_tokens is not null and input_tokens is not null)"
    (row,) = store.query(
        f"select count(*), count(*) {told}, coalesce(sum(input_tokens) {told}, 0)::BIGINT, "
        f"coalesce(sum(cache_read_tokens) {told}, 0)::BIGINT from operations "
        f"where kind = 'llm' and started_at >= $lo and started_at < $hi{condition}",
        parameters,
    )
    return row[0], row[1], row[2], row[3]


def models_of(store: Store, scope: Scope) -> list[tuple[str | None, str, str | None]]:
    """Every (provider, model, service tier) that calls of the scope name."""
    parameters: dict[str, Any] = {"lo": scope.window.start_us, "hi": scope.window.end_us}
    condition = conditions(scope.filters, parameters)
    rows = store.query(
        "select distinct provider, model, service_tier from operations where kind = 'llm' and model is not null "
        f"and started_at >= $lo and started_at < $hi{condition} order by all",
        parameters,
    )
    return [(row[0], row[1], row[2]) for row in rows]
