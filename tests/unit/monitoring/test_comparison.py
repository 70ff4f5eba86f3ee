"""Verdicts through a real store: regressions among many names, what is too little to say, and why it is said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.monitoring.comparison import Against, compare
from ralex_core.monitoring.load import load
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import ResourceSample
from tests.support.operations import T0

NOW = Scope(Window(T0 - HOUR_US, T0))


def traffic(name: str, factor: Callable[[int], float], *, hours: int, each: int, seed: int) -> list[Operation]:
    """`each` operations an hour for `hours` hours before T0; `factor` of the hour (0 is the last one)."""
    source = random.Random(seed)
    return [
        Operation(
            f"{name}-{hour}-{number}",
            "llm",
            name,
            T0 - hour * HOUR_US - source.randrange(1, HOUR_US),
            1000 * factor(hour) * source.lognormvariate(0, 0.5),
            provider="p",
            model="m",
        )
        for hour in range(hours)
        for number in range(each)
    ]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory):
    store = DuckDBStore(tmp_path_factory.mktemp("comparison") / "t.duckdb")
    hours = 8 * 24 + 2
    for number in range(12):
        store.write(traffic(f"calm-{number}", lambda _: 1.0, hours=hours, each=150, seed=number))
    store.write(traffic("slow", lambda hour: 1.6 if hour == 0 else 1.0, hours=hours, each=400, seed=50))
    store.write(traffic("quick", lambda hour: 0.5 if hour == 0 else 1.0, hours=hours, each=400, seed=51))
    store.write(traffic("new", lambda _: 1.0, hours=1, each=300, seed=52))
    store.write(traffic("rare", lambda _: 1.0, hours=hours, each=4, seed=53))
    store.write(traffic("seldom", lambda _: 1.0, hours=hours, each=30, seed=54))
    store.refresh_rollups()
    yield store
    store.close()


@pytest.mark.parametrize("against", get_args(Against))
def test_what_became_slower_is_told_from_what_did_not(filled: DuckDBStore, against: Against) -> None:
    found = {row.now.group[1]: row for row in compare(filled, NOW, against=against).rows}
    states = {name: row.verdict.state for name, row in found.items()}
    assert states["slow"] == "slower"
    assert states["quick"] == "faster"
    assert states["new"] == ("too_few" if against == "usual" else "new")
    assert states["rare"] == "too_few"
    assert [states[f"calm-{number}"] for number in range(12)].count("same") >= 11
    verdict = found["slow"].verdict
    assert verdict.percentile == 95
    assert verdict.ratio == pytest.approx(1.6, rel=0.25)
    assert verdict.low_ratio is not None
    assert verdict.low_ratio > 1
    assert verdict.n_now == 400
    for part in ("Slower: p95", "95 % interval", "400 and", "Chance does this in"):
        assert part in verdict.why
    assert found["seldom"].verdict.percentile == 50, "too few for a p95, enough for a median"
    assert found["seldom"].verdict.state == "same"


def test_the_group_before_is_what_it_was(filled: DuckDBStore) -> None:
    found = {row.now.group[1]: row for row in compare(filled, NOW).rows}
    assert found["slow"].before is not None
    assert found["slow"].before.timed == 400
    assert found["new"].before is None
    usual = {row.now.group[1]: row for row in compare(filled, NOW, against="usual").rows}
    assert usual["slow"].before is None
    assert usual["slow"].verdict.before_ms == pytest.approx(1000 * 2.28, rel=0.1)


def test_an_empty_window_compares_nothing(filled: DuckDBStore) -> None:
    for against in get_args(Against):
        assert compare(filled, Scope(Window(T0 + DAY_US, T0 + 2 * DAY_US)), against=against).rows == []


@pytest.mark.parametrize(("against", "window"), [("last_week", Window(T0 - 8 * DAY_US, T0)), ("tomorrow", NOW.window)])
def test_what_cannot_be_compared_is_refused(filled: DuckDBStore, against: str, window: Window) -> None:
    with pytest.raises(ValueError, match="choose"):
        compare(filled, Scope(window), against=against)  # type: ignore[arg-type]


def test_a_window_of_a_year_is_compared_without_a_past(filled: DuckDBStore) -> None:
    row = compare(filled, Scope(Window(T0 - 365 * DAY_US, T0))).rows[0]
    assert row.verdict.state == "new"
    usual = compare(filled, Scope(Window(T0 - 365 * DAY_US, T0)), against="usual").rows[0]
    assert usual.verdict.state == "too_few"
    assert "Too little history" in usual.verdict.why


def sample(at: int, cpu: float) -> ResourceSample:
    return ResourceSample(at, cpu, 1.0, 5, 10, 0, 5, 10, 1.0, 1.0, 0.0, 0.0, 0.1, 100, 5, 3)


def test_load_is_exact_and_pressure_is_told_with_its_lag(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "t.duckdb")
    source = random.Random(2)
    operations: list[Operation] = []
    minutes = 60
    cpu = [0.3 + 0.6 * source.random() for _ in range(minutes)]
    try:
        for minute in range(minutes):
            for number in range(20):
                at = T0 + minute * 60_000_000 + number * 3_000_000
                took = 800 * (1 + 3 * cpu[minute]) * source.uniform(0.9, 1.1)
                operations.append(Operation(f"{minute}-{number}", "llm", "chat", at, took))
        store.write(operations)
        store.write_resources([sample(T0 + minute * 60_000_000 + 5, cpu[minute]) for minute in range(minutes)])
        store.refresh_rollups()
        window = Window(T0, T0 + HOUR_US)
        found = load(store, Scope(window))
        assert found.operations == 1200
        assert found.per_minute == pytest.approx(20)
        overlap = sum(
            min(op.started_at + (op.duration_ms or 0) * 1000, window.end_us) - op.started_at for op in operations
        )
        assert found.exact is not None
        assert found.exact.mean == pytest.approx(overlap / HOUR_US, rel=1e-3)
        assert found.busy_little == pytest.approx(found.exact.mean, rel=0.01)
        assert found.exact.peak == 2
        (by_cpu,) = [pressure for pressure in found.pressures if pressure.resource == "cpu"]
        assert by_cpu.found is not None
        assert (by_cpu.related, by_cpu.lag_us, by_cpu.found.n) == (True, 0, 60)
        assert by_cpu.found.correlation > 0.9
        (by_memory,) = [pressure for pressure in found.pressures if pressure.resource == "memory"]
        assert (by_memory.related, by_memory.found) == (False, None), "it never moved"
        nothing = load(store, Scope(Window(T0 - DAY_US, T0 - HOUR_US)))
        assert (nothing.operations, nothing.mean_ms, nothing.busy_little, nothing.exact) == (0, None, None, None)
    finally:
        store.close()
