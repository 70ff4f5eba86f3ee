"""PerformanceMonitor: alone in a program, and reading a store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ralex_core.clock import ManualClock
from ralex_core.collection.readings import CpuTimes
from ralex_core.monitoring.performance import MetricsCollector, PerformanceMonitor, ResourceMonitor, ResponseTimeTracker
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import ResourceRecord, ResourceSample
from tests.support.operations import T0, make_operation, random_operations
from tests.support.readings import FakeReadings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0 + 900_000_000)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[DuckDBStore]:
    store = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    yield store
    store.close()


class Running(FakeReadings):
    """A machine on which a second passes with every reading, half of it busy."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def cpu(self) -> CpuTimes:
        self._clock.advance(1)
        self.cpu_times = CpuTimes(self.cpu_times.busy_s + 2, self.cpu_times.total_s + 4)
        return self.cpu_times


def test_it_holds_the_three_parts_by_their_names() -> None:
    monitor = PerformanceMonitor()
    assert isinstance(monitor.metrics_collector, MetricsCollector)
    assert isinstance(monitor.resource_monitor, ResourceMonitor)
    assert isinstance(monitor.response_tracker, ResponseTimeTracker)


async def test_without_work_and_before_the_start_everything_is_unknown_and_nothing_is_zero() -> None:
    metrics = await PerformanceMonitor().collect_metrics()
    assert metrics["response_times"]["p50_ms"] is None
    assert metrics["response_times"]["error_ratio"] is None
    assert metrics["response_times"]["by_operation"] == []
    usage = metrics["resource_usage"]
    assert (usage["sampled_at"], usage["host"], usage["process"]) == (None, None, None)
    assert (usage["window"], usage["processes"], usage["gpus"]) == ({"samples": 0}, [], [])
    assert {(state["resource"], state["level"], state["value"]) for state in usage["states"]} == {
        ("cpu", "unknown", None),
        ("memory", "unknown", None),
        ("disk", "unknown", None),
    }
    assert metrics["api_performance"]["models"] == []
    assert metrics["response_times"]["since"] is None


async def test_metrics_are_json(clock: ManualClock) -> None:
    monitor = PerformanceMonitor(clock=clock)
    await monitor.start_monitoring()
    try:
        monitor.record(random_operations(1, 300, span_us=900_000_000))
        assert json.loads(json.dumps(await monitor.collect_metrics()))["response_times"]["operations"] > 200
    finally:
        await monitor.stop_monitoring()


async def test_what_is_called_is_told_apart_by_what_it_is(clock: ManualClock) -> None:
    now = clock.now_us()
    monitor = PerformanceMonitor(clock=clock)
    monitor.record(
        [
            make_operation("1", kind="api", name="POST /chat", started_at=now, duration_ms=40.0, model=None),
            make_operation("2", kind="db", name="select users", started_at=now, duration_ms=2.0, model=None),
            make_operation("3", kind="tool", name="run tests", started_at=now, model=None),
            make_operation("4", provider="anthropic", model="claude-haiku-4-5", started_at=now, ttft_ms=80.0),
            make_operation("5", provider="anthropic", model=None, requested_model="claude-sonnet-4-5", started_at=now),
            make_operation("6", provider="openai", model="gpt-4o", started_at=now, status="error"),
        ]
    )
    api = await monitor.metrics_collector.get_api_metrics()
    assert [row["name"] for row in api["endpoints"]] == ["POST /chat"]
    assert [row["name"] for row in api["databases"]] == ["select users"]
    assert {(row["provider"], row["model"]) for row in api["models"]} == {
        ("anthropic", "claude-haiku-4-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("openai", "gpt-4o"),
    }
    assert [(row["provider"], row["operations"], row["errors"]) for row in api["providers"]] == [
        ("anthropic", 2, 0),
        ("openai", 1, 1),
    ]
    assert next(row for row in api["models"] if row["model"] == "claude-haiku-4-5")["mean_ttft_ms"] == 80


async def test_a_store_answers_the_same_as_memory(clock: ManualClock, store: DuckDBStore) -> None:
    operations = random_operations(3, 2000, start_us=T0 + 60_000_000, span_us=830_000_000)
    store.write(operations)
    store.refresh_rollups()
    alone, stored = PerformanceMonitor(clock=clock), PerformanceMonitor(store, clock=clock)
    alone.record(operations)
    expected, found = await alone.collect_metrics(), await stored.collect_metrics()
    assert _rounded(found["response_times"]) == _rounded(expected["response_times"])
    assert _rounded(found["api_performance"]) == _rounded(expected["api_performance"])


async def test_a_store_answers_for_its_window_only(clock: ManualClock, store: DuckDBStore) -> None:
    store.write([make_operation("old", started_at=T0 - 1), make_operation("new", started_at=T0 + 1)])
    store.refresh_rollups()
    metrics = await PerformanceMonitor(store, clock=clock).collect_metrics()
    assert metrics["response_times"]["operations"] == 1


async def test_an_empty_store_has_no_figures(clock: ManualClock, store: DuckDBStore) -> None:
    metrics = await PerformanceMonitor(store, clock=clock).collect_metrics()
    assert metrics["response_times"]["operations"] == 0
    assert metrics["response_times"]["p99_ms"] is None
    assert metrics["api_performance"]["providers"] == []


async def test_it_can_be_pointed_at_another_store_while_it_runs(
    clock: ManualClock, store: DuckDBStore, tmp_path: Path
) -> None:
    other = DuckDBStore(tmp_path / "demo.duckdb", clock=clock)
    try:
        other.write([make_operation(started_at=clock.now_us() - 1)])
        other.refresh_rollups()
        monitor = PerformanceMonitor(store, clock=clock)
        monitor.read_from(other)
        assert (await monitor.response_tracker.get_metrics())["operations"] == 1
        monitor.read_from(store)
        assert (await monitor.response_tracker.get_metrics())["operations"] == 0
    finally:
        other.close()


async def test_resource_figures_are_there_right_after_the_start(clock: ManualClock) -> None:
    handed_on: list[ResourceRecord] = []
    monitor = ResourceMonitor(clock, interval_s=0.01, readings=Running(clock), on_records=handed_on.extend)
    await monitor.start()
    try:
        found = await monitor.get_metrics()
    finally:
        await monitor.stop()
    assert found["host"]["cpu_ratio"] == 0.5
    assert found["process"]["threads"] == 5
    assert found["window"]["samples"] >= 1
    assert found["window"]["max_cpu_ratio"] == found["window"]["mean_cpu_ratio"] == 0.5
    assert handed_on
    assert monitor.latest == [record for record in handed_on if isinstance(record, ResourceSample)][-1]
    assert (await monitor.get_metrics())["sampled_at"] is not None


async def test_starting_and_stopping_twice_is_the_same_as_once() -> None:
    monitor = PerformanceMonitor()
    await monitor.start_monitoring()
    await monitor.start_monitoring()
    assert (await monitor.response_tracker.get_metrics())["since"] is not None
    await monitor.stop_monitoring()
    await monitor.stop_monitoring()


async def test_collecting_does_not_hold_up_the_event_loop(clock: ManualClock, store: DuckDBStore) -> None:
    store.write(random_operations(5, 500, start_us=T0, span_us=800_000_000))
    store.refresh_rollups()
    monitor = PerformanceMonitor(store, clock=clock)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await monitor.collect_metrics()
    counting.cancel()
    assert turns > 5


@pytest.mark.parametrize("heavy", ["duckdb", "fastapi", "numpy", "sqlalchemy", "pydantic", "psutil"])
def test_importing_it_into_a_host_loads_nothing_heavy(heavy: str) -> None:
    code = f"from ralex_core.monitoring import PerformanceMonitor; import sys; print({heavy!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False"


def _rounded(value: object) -> object:
    """Sums of floats depend on their order in the last digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items() if key != "outside_window"}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
