"""How long every panel of the costs page takes with a million operations in its range, and how often the interval of a
return on investment holds the truth."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.dataset import build
from bench.figure import Figure, p95, report, timed_ms
from ralex_core.config import Settings
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.monitoring.cache import cache_savings
from ralex_core.monitoring.value import roi, valuation, worth_by, worth_of, worth_over_time
from ralex_core.monitoring.what_if import cheaper_moves
from ralex_core.pricing.book import PriceBook
from ralex_core.stats.bootstrap import ratio_interval
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries.costs import losses, spent_by

LIMIT_MS = 100.0
SPAN_DAYS = 90
RUNS = 300


def questions(store: DuckDBStore, home: Path, end_us: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every panel's question over all 90 days."""
    settings = Settings(home=home)
    book = PriceBook(settings)
    book.warm()
    scope = Scope(Window(end_us - SPAN_DAYS * DAY_US, end_us))
    own, other = valuation(store, book, settings), valuation(store, book, settings, baseline="openai/gpt-5")
    for column in ("tier", "model", "feature", "session_id"):
        yield f"spending by {column}", lambda column=column: spent_by(store, scope, column, 20)
    keys = [row.key for row in spent_by(store, scope, "session_id", 20).rows]
    yield "worth by model", lambda: worth_by(store, scope, book, own, "model")
    yield "worth of 20 sessions", lambda: worth_by(store, scope, book, own, "session_id", keys)
    yield "unit economics by day", lambda: worth_over_time(store, scope, book, own, DAY_US)
    yield "another baseline", lambda: worth_of(store, scope, book, other)
    yield "losses", lambda: losses(store, scope)
    yield "cheaper moves", lambda: cheaper_moves(store, scope, book, settings)
    yield "return with intervals, remembered for a minute", lambda: roi(store, scope, book, own)
    yield "caches with misses, remembered for a minute", lambda: cache_savings(store, scope, book)


def held(sessions: int, spread: float, success: float) -> float:
    """How often the 95 % interval holds a known ratio: log-normal costs of this spread, this share of success."""
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(RUNS):
        costs = rng.lognormal(0, spread, sessions)
        values = costs * 10 * (rng.random(sessions) < success) * rng.lognormal(-0.125, 0.5, sessions)
        found = ratio_interval(values, costs, resamples=600, seed=seed)
        inside += found is not None and found.low <= 10 * success <= found.high
    return inside / RUNS


def run(arguments: list[str] | None = None) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    end_us = time.time_ns() // 1000 // HOUR_US * HOUR_US
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="ralex-bench-") as directory:
        home = Path(directory)
        build(home, given.operations, end_us=end_us)
        store = DuckDBStore(home / "telemetry.duckdb")
        try:
            for name, ask in questions(store, home, end_us):
                figures.append(
                    Figure(f"costs: {name}, p95", p95(timed_ms(ask, given.repeats)), "ms", LIMIT_MS, "the limit")
                )
        finally:
            store.close()
    for sessions in (20, 50, 250):
        for spread, success in ((0.8, 0.9), (1.5, 0.3)):
            name = f"interval holds the truth, {sessions} sessions, σ {spread}, {success:.0%} success"
            figures.append(Figure(name, held(sessions, spread, success), "of runs", 0.95, "promised", True))
    report(figures, given.json)
    return figures


if __name__ == "__main__":
    run()
