"""Database statements as the pages and the API show them."""

from __future__ import annotations

from collections.abc import Callable

from ralex_core.dashboard.contexts.database import (
    CallerRow,
    DatabasePage,
    DatabaseTotals,
    DatabaseView,
    SlowSample,
    StatementRow,
    StatementView,
)
from ralex_core.dashboard.contexts.operations import Column
from ralex_core.dashboard.contexts.rows import LatencySeries
from ralex_core.dashboard.figures import starts_of
from ralex_core.dashboard.params import View, href
from ralex_core.dashboard.problems import not_found
from ralex_core.dashboard.rows import operation_href
from ralex_core.dashboard.site import Site
from ralex_core.model.window import MINUTE_US
from ralex_core.render import to_iso
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.database import (
    Repetition,
    SlowCall,
    StatementBucket,
    StatementFigures,
    StatementTraits,
    repeated_statements,
    slowest_calls,
    statement_callers,
    statement_figures,
    statement_over_time,
    statement_traits,
)
from ralex_core.storage.queries.segments import percentiles

PATH = "/database"
STATEMENT_PATH = "/database/statement"
MAX_STATEMENTS = 500

Figure = Callable[[StatementRow], float | None]
SORTS: dict[str, Figure] = {
    "total": lambda row: row.total_ms,
    "calls": lambda row: row.calls,
    "mean": lambda row: row.mean_ms,
    "p50": lambda row: row.p50_ms,
    "p95": lambda row: row.p95_ms,
    "p99": lambda row: row.p99_ms,
    "max": lambda row: row.max_ms,
    "rows": lambda row: row.rows_mean,
    "errors": lambda row: row.errors,
    "repeats": lambda row: row.repeated_most,
}
"""What statements can be sorted by; the largest comes first, what is not known last."""

_COLUMNS = (
    ("statement", "Statement", False),
    ("calls", "Calls", True),
    ("total", "Total time", True),
    ("mean", "Mean", True),
    ("p50", "p50", True),
    ("p95", "p95", True),
    ("p99", "p99", True),
    ("max", "Longest", True),
    ("rows", "Rows", True),
    ("errors", "Errors", True),
)


def database_view(site: Site, view: View, sort: str = "total", limit: int = 100) -> DatabaseView:
    """Statements of a range, sorted, at most `limit`, with the totals of all."""
    store, scope, ask = site.host.active_store(), view.scope, site.pool.ask
    figures = ask(lambda: statement_figures(store, scope))
    overall = ask(lambda: percentiles(store, scope, (0.95,), kind="db").get(()))
    traits = ask(lambda: statement_traits(store, scope))
    repeated = ask(lambda: repeated_statements(store, scope))
    minutes = _minutes(site, view)
    found = figures.result()
    total_ms = sum(row.total_ms for row in found)
    rows = [
        _row(row, traits.result().get(row.name), repeated.result().get(row.name), total_ms, minutes, view)
        for row in found
    ]
    figure = SORTS[sort]
    rows.sort(key=lambda row: (-(figure(row) if figure(row) is not None else -1.0), row.statement))  # type: ignore[operator]
    calls, errors = sum(row.calls for row in found), sum(row.errors for row in found)
    p95 = overall.result()
    totals = DatabaseTotals(
        statements=len(found),
        calls=calls,
        calls_per_minute=calls / minutes if minutes else None,
        errors=errors,
        error_ratio=errors / calls if calls else None,
        total_ms=total_ms,
        p95_ms=value_of(p95[1]) if p95 else None,
        suspects=len(repeated.result()),
        sampled=sum(known.calls for known in traits.result().values()),
    )
    return DatabaseView(totals, rows[:limit])


def database_page(shown: DatabaseView, view: View, sort: str) -> DatabasePage:
    """The view with links to sort it."""
    columns = [
        Column(
            key,
            title,
            key in SORTS,
            href(PATH, [*view.pairs(), ("sort", key)]) if key in SORTS else None,
            "desc" if key == sort else "",
            numeric,
        )
        for key, title, numeric in _COLUMNS
    ]
    return DatabasePage(shown, columns)


def statement_view(site: Site, view: View, statement: str) -> StatementView:
    """One statement in a range.

    Raises:
        RequestProblem: 404, it was not called in the range.
    """
    store, scope, ask = site.host.active_store(), view.scope, site.pool.ask
    buckets = ask(lambda: statement_over_time(store, scope, statement, view.bucket_us))
    slowest = ask(lambda: slowest_calls(store, scope, statement))
    callers = ask(lambda: statement_callers(store, scope, statement))
    row = next(
        (row for row in database_view(site, view, limit=MAX_STATEMENTS).rows if row.statement == statement), None
    )
    if row is None:
        raise not_found(
            "This statement was not called in the range. Choose a longer one, or go back to all statements."
        )
    return StatementView(
        row=row,
        latency=_series(buckets.result(), starts_of(scope.window, view.bucket_us), view.bucket_us),
        slowest=[_sample(call) for call in slowest.result()],
        callers=[
            CallerRow(
                caller.kind,
                caller.name,
                caller.calls,
                caller.parents,
                caller.calls / caller.parents,
                href("/operations", [*view.pairs(), ("kind", caller.kind), ("name", caller.name)]),
            )
            for caller in callers.result()
        ],
        operations_href=href(
            "/operations",
            [*view.pairs(), ("kind", "db"), ("name", statement), ("sort", "duration_ms"), ("dir", "desc")],
        ),
        back_href=href(PATH, view.pairs()),
    )


def _minutes(site: Site, view: View) -> float:
    """Minutes of the range that have passed."""
    window = view.scope.window
    return max(0.0, (min(window.end_us, site.host.clock.now_us()) - window.start_us) / MINUTE_US)


def _row(
    figures: StatementFigures,
    traits: StatementTraits | None,
    repeated: Repetition | None,
    total_ms: float,
    minutes: float,
    view: View,
) -> StatementRow:
    known = traits.rows_known if traits else 0
    return StatementRow(
        statement=figures.name,
        hash=traits.hash if traits else None,
        system=traits.system if traits else None,
        namespace=traits.namespace if traits else None,
        calls=figures.calls,
        calls_per_minute=figures.calls / minutes if minutes else None,
        errors=figures.errors,
        error_ratio=figures.errors / figures.calls,
        total_ms=figures.total_ms,
        share_ratio=figures.total_ms / total_ms if total_ms else None,
        mean_ms=figures.mean_ms,
        p50_ms=figures.p50_ms,
        p95_ms=figures.p95_ms,
        p99_ms=figures.p99_ms,
        max_ms=figures.max_ms,
        sampled=traits.calls if traits else 0,
        rows_mean=traits.rows / known if traits and known else None,
        rows_total=traits.rows if traits and known else None,
        repeated_parents=repeated.parents if repeated else 0,
        repeated_most=repeated.most if repeated else 0,
        repeated_href=operation_href(repeated.operation_id) if repeated else None,
        href=href(STATEMENT_PATH, [*view.pairs(), ("statement", figures.name)]),
    )


def _series(buckets: list[StatementBucket], starts: list[int], bucket_us: int) -> LatencySeries:
    by_start = {bucket.start_us: bucket for bucket in buckets}
    found = [by_start.get(start) for start in starts]
    return LatencySeries(
        bucket_us,
        starts,
        [bucket.calls if bucket else 0 for bucket in found],
        [bucket.errors if bucket else 0 for bucket in found],
        [bucket.p50_ms if bucket else None for bucket in found],
        [bucket.p95_ms if bucket else None for bucket in found],
        [bucket.p99_ms if bucket else None for bucket in found],
    )


def _sample(call: SlowCall) -> SlowSample:
    return SlowSample(
        operation_id=call.operation_id,
        started_at=to_iso(call.started_at) or "",
        started_us=call.started_at,
        duration_ms=call.duration_ms,
        status=call.status,
        error_type=call.error_type,
        service=call.service,
        rows=call.rows,
        sample=call.sample,
        href=operation_href(call.operation_id),
    )
