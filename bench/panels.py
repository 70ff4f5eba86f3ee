"""How long each panel's question takes, with one million and with ten million operations stored.

For every panel: the 95th percentile over repeated calls of its slowest window and filter. The ratio of the two
sizes says whether a panel gets slower as history grows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.dataset import build, operation_id, trace_id
from bench.figure import Figure, p95, report, timed_ms
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore

LIMIT_MS = 100.0
SIZES = (1_000_000, 10_000_000)

WINDOWS = {
    "15 m": 15 * MINUTE_US,
    "1 h": HOUR_US,
    "24 h": DAY_US,
    "7 d": 7 * DAY_US,
    "30 d": 30 * DAY_US,
    "90 d": 90 * DAY_US,
}
FILTERS = {
    "all": Filters(),
    "project": Filters(project=("checkout",)),
    "model": Filters(model=("claude-sonnet-4-5",)),
    "tier": Filters(tier=("premium",)),
    "user": Filters(user_id=("user-7",)),
    "session": Filters(session_id=("session-11",)),
}

SOME_OPERATION = operation_id(987_654)
SOME_TRACE = trace_id(987_654)
UNKNOWN_ID = operation_id(-1)
"""Among the others in the order of ids, so that no store can tell at a glance that it has none such."""

Question = Callable[[DuckDBStore, Scope], object]

PANELS: dict[str, Question] = {
    "totals": queries.totals,
    "spend by tier": lambda store, scope: queries.cost_over_time(store, scope, "tier", _bucket(scope)),
    "spend by model": lambda store, scope: queries.cost_over_time(store, scope, "model", _bucket(scope)),
    "latency": lambda store, scope: queries.latency_over_time(store, scope, _bucket(scope)),
    "usage": lambda store, scope: queries.usage_over_time(store, scope, _bucket(scope)),
    "models": lambda store, scope: queries.breakdown(store, scope, "model"),
    "tiers": lambda store, scope: queries.breakdown(store, scope, "tier"),
    "busiest operations": lambda store, scope: queries.breakdown(store, scope, "name", 10, order="operations"),
    "drift": lambda store, scope: queries.drift(store, scope),
    "operations, newest": lambda store, scope: queries.operations_page(store, scope),
    "operations, dearest": lambda store, scope: queries.operations_page(store, scope, sort="cost_usd"),
    "operations, slowest": lambda store, scope: queries.operations_page(store, scope, sort="duration_ms"),
    "operations, by name": lambda store, scope: queries.operations_page(store, scope, sort="name", descending=False),
    "operations, failed": lambda store, scope: queries.operations_page(store, scope, status="error"),
    "operations, search": lambda store, scope: queries.operations_page(store, scope, search="opus"),
    "operations, search an id": lambda store, scope: queries.operations_page(store, scope, search=SOME_OPERATION),
    "operations, no such id": lambda store, scope: queries.operations_page(store, scope, search=UNKNOWN_ID),
    "one operation": lambda store, scope: queries.operation(store, SOME_OPERATION),
    "one trace": lambda store, scope: queries.trace(store, SOME_TRACE),
    "status": lambda store, scope: queries.status_totals(store),
    "projects to choose": lambda store, scope: queries.filter_values(store, "project", window=scope.window),
    "users to choose": lambda store, scope: queries.filter_values(store, "user_id", window=scope.window),
}
WITHOUT_SCOPE = frozenset({"one operation", "one trace", "status"})
WITHOUT_FILTER = frozenset({"projects to choose", "users to choose"})


def _bucket(scope: Scope) -> int:
    return queries.bucket_for(scope.window)


def _scopes(panel: str, end_us: int) -> Iterator[tuple[str, Scope]]:
    for window_name, length_us in WINDOWS.items():
        for filter_name, filters in FILTERS.items():
            yield f"{window_name}, {filter_name}", Scope(Window(end_us - length_us, end_us), filters)
            if panel in WITHOUT_SCOPE:
                return
            if panel in WITHOUT_FILTER:
                break


def measure(home: Path, operations: int, end_us: int, repeats: int, verbose: bool) -> dict[str, tuple[float, str]]:
    """Slowest 95th percentile of every panel in milliseconds, and for which window and filter."""
    build(home, operations, end_us=end_us)
    store = DuckDBStore(home / "telemetry.duckdb")
    slowest: dict[str, tuple[float, str]] = {}
    try:
        for panel, question in PANELS.items():
            for name, scope in _scopes(panel, end_us):
                found = p95(timed_ms(lambda ask=question, about=scope: ask(store, about), repeats))
                if verbose:
                    print(f"{operations:>12,}  {panel:<22} {name:<16} {found:8.1f} ms", flush=True)
                if found > slowest.get(panel, (0.0, ""))[0]:
                    slowest[panel] = (found, name)
    finally:
        store.close()
    return slowest


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.panels", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--verbose", action="store_true", help="print every window and filter")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    end_us = time.time_ns() // 1000 // HOUR_US * HOUR_US - 7 * MINUTE_US
    found: dict[int, dict[str, tuple[float, str]]] = {}
    for size in given.sizes:
        with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
            found[size] = measure(Path(directory), size, end_us, given.repeats, given.verbose)
    figures = list(_figures(found))
    report(figures, given.json)
    return figures


def _figures(found: dict[int, dict[str, tuple[Any, str]]]) -> Iterator[Figure]:
    smallest, *larger = sorted(found)
    for panel in PANELS:
        first, where = found[smallest][panel]
        yield Figure(f"{panel}, {smallest:,} ({where}), p95", first, "ms", LIMIT_MS, "the limit")
        for size in larger:
            value, where = found[size][panel]
            yield Figure(f"{panel}, {size:,} ({where}), p95", value, "ms", LIMIT_MS, "the limit")
            yield Figure(f"{panel}, {size // smallest} times the operations take", value / first, "times")


if __name__ == "__main__":
    run()
