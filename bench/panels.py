"""How long each panel's question takes, with one million and with ten million operations stored.

For every panel: the 95th percentile over repeated calls of its slowest window and filter. All are asked first, and the
three that seem slowest again and for longer: the worst of so many short trials would be the machine's worst moment.
Each figure is given as measured and at the speed of the machine that measured the peers (`bench.machine`). The ratio
of the two sizes says whether a panel gets slower as history grows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.dataset import build, operation_id, trace_id
from bench.figure import Figure, median, p95, report, timed_ms
from bench.machine import Machine
from ralex_core.model.window import DAY_US, HOUR_US, MINUTE_US, Filters, Scope, Window
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore

LIMIT_MS = 100.0
SIZES = (1_000_000, 10_000_000)
AGAIN, AGAIN_TIMES = 3, 2
"""So many of a panel's slowest are asked again, and how many times as often."""

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


class Slowest(NamedTuple):
    """Of a panel: its slowest window and filter."""

    scope: str
    p95_ms: float
    median_ms: float
    slower: float
    """How many times as long as the peers' machine this one took at that time."""

    @property
    def there_ms(self) -> float:
        """The 95th percentile at the speed of the peers' machine."""
        return self.p95_ms / self.slower


def measure(store: DuckDBStore, panel: str, end_us: int, repeats: int, machine: Machine) -> Slowest:
    """Ask the question of a panel for every window and filter."""
    question, scopes = PANELS[panel], dict(_scopes(panel, end_us))
    first = {name: p95(timed_ms(lambda about=scope: question(store, about), repeats)) for name, scope in scopes.items()}
    again: list[Slowest] = []
    for name in sorted(first, key=lambda name: -first[name])[:AGAIN]:
        before = machine.slower()
        found = timed_ms(lambda about=scopes[name]: question(store, about), AGAIN_TIMES * repeats)
        again.append(Slowest(name, p95(found), median(found), (before + machine.slower()) / 2))
    return max(again, key=lambda found: found.there_ms)


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.panels", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--panels", nargs="+", default=[""], help="what the names of those to measure begin with")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    panels = [panel for panel in PANELS if panel.startswith(tuple(given.panels))]
    end_us = time.time_ns() // 1000 // HOUR_US * HOUR_US - 7 * MINUTE_US
    machine = Machine()
    found: dict[int, dict[str, Slowest]] = {}
    for size in given.sizes:
        with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
            build(Path(directory), size, end_us=end_us)
            store = DuckDBStore(Path(directory) / "telemetry.duckdb")
            try:
                found[size] = {panel: measure(store, panel, end_us, given.repeats, machine) for panel in panels}
            finally:
                store.close()
    figures = list(_figures(found))
    report(figures, given.json)
    return figures


def _figures(found: dict[int, dict[str, Slowest]]) -> Iterator[Figure]:
    smallest, *larger = sorted(found)
    for panel, first in found[smallest].items():
        for size in (smallest, *larger):
            slowest = found[size][panel]
            yield Figure(f"{panel}, {size:,} ({slowest.scope}), median", slowest.median_ms, "ms")
            yield Figure(f"{panel}, {size:,}, p95", slowest.p95_ms, "ms")
            yield Figure(f"{panel}, {size:,}, p95 at the peers' machine", slowest.there_ms, "ms", LIMIT_MS, "the limit")
        for size in larger:
            ratio = found[size][panel].there_ms / first.there_ms
            yield Figure(f"{panel}, {size // smallest} times the operations take", ratio, "times")
    speeds = [slowest.slower for of_size in found.values() for slowest in of_size.values()]
    yield Figure("the machine takes, of the peers' time", median(speeds), "times")


if __name__ == "__main__":
    run()
