"""Performance monitoring as it was planned: response times, resources, and collecting at volume."""

from __future__ import annotations

import random
import statistics
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope, Window
from ralex_core.monitoring import PerformanceMonitor
from ralex_core.monitoring.bottlenecks import analyse, find_bottlenecks
from ralex_core.monitoring.resource_monitor import ResourceMonitor
from ralex_core.simulate.service import FAULTS, Fault, run_service
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import T0
from tests.support.traces import everything

WINDOW_US = 900_000_000
NAMES = ("chat", "edit", "plan", "review", "run tests")
MODELS = (("anthropic", "claude-haiku-4-5"), ("openai", "gpt-4o"), ("google", "gemini-2.5-pro"))


def work(count: int, seed: int = 11) -> list[Operation]:
    """Operations of the last 14 minutes: calls to models, endpoints and a database, some failed, some never timed."""
    source = random.Random(seed)
    made: list[Operation] = []
    for number in range(count):
        kind = source.choice(("llm", "llm", "api", "db"))
        provider, model = source.choice(MODELS) if kind == "llm" else (None, None)
        made.append(
            Operation(
                operation_id=f"{number:032x}",
                kind=kind,
                name=source.choice(NAMES),
                started_at=T0 - source.randrange(WINDOW_US * 14 // 15),
                duration_ms=None if source.random() < 0.02 else source.lognormvariate(6, 1.3),
                status="error" if source.random() < 0.05 else "ok",
                provider=provider,
                model=model,
                input_tokens=1000 if kind == "llm" else None,
                output_tokens=source.randrange(500) if kind == "llm" else None,
            )
        )
    return made


def nearest_rank(values: list[float], percent: int) -> float:
    """The exact percentile by its definition."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def assert_times_are_those_of(row: dict[str, object], operations: list[Operation]) -> None:
    times = [operation.duration_ms for operation in operations if operation.duration_ms is not None]
    assert row["operations"] == len(operations)
    assert row["errors"] == sum(operation.status == "error" for operation in operations)
    assert row["mean_ms"] == pytest.approx(sum(times) / len(times))
    for percent, name in ((50, "p50_ms"), (95, "p95_ms"), (99, "p99_ms"), (100, "max_ms")):
        assert row[name] == pytest.approx(nearest_rank(times, percent), rel=0.01), name


@pytest.mark.parametrize("where", ["alone", "with a store"])
async def test_response_time_tracking(where: str, tmp_path: Path) -> None:
    """Every operation is tracked, and what is answered is what an exact calculation over all of them gives."""
    clock, operations = ManualClock(T0), work(5000)
    store = DuckDBStore(tmp_path / "t.duckdb", clock=clock) if where == "with a store" else None
    monitor = PerformanceMonitor(store, clock=clock, resources=ResourceMonitor(clock, disk_path=tmp_path))
    await monitor.start_monitoring()
    try:
        if store is None:
            monitor.record(operations)
        else:
            store.write(operations)
            store.refresh_rollups()
        found = (await monitor.collect_metrics())["response_times"]
    finally:
        await monitor.stop_monitoring()
        if store is not None:
            store.close()

    assert_times_are_those_of(found, operations)
    groups: defaultdict[tuple[str, str], list[Operation]] = defaultdict(list)
    for operation in operations:
        groups[operation.kind, operation.name].append(operation)
    assert {(row["kind"], row["name"]) for row in found["by_operation"]} == set(groups)
    for row in found["by_operation"]:
        assert_times_are_those_of(row, groups[row["kind"], row["name"]])
    counts = [row["operations"] for row in found["by_operation"]]
    assert counts == sorted(counts, reverse=True)


async def test_resource_usage_monitoring(tmp_path: Path) -> None:
    """Host and process are sampled continuously while the monitor runs, with the figures the system itself gives."""
    samples: list[object] = []
    resources = ResourceMonitor(disk_path=tmp_path, interval_s=0.05, on_records=samples.extend)
    monitor = PerformanceMonitor(resources=resources)
    await monitor.start_monitoring()
    try:
        first = (await monitor.collect_metrics())["resource_usage"]
        later = first
        while later["sampled_at"] == first["sampled_at"]:  # continuously: the next sample comes by itself
            later = (await monitor.collect_metrics())["resource_usage"]
    finally:
        await monitor.stop_monitoring()

    host, process = later["host"], later["process"]
    assert 0 <= host["cpu_ratio"] <= 1
    assert 0 < host["memory_used_bytes"] <= host["memory_total_bytes"] <= psutil.virtual_memory().total
    assert host["disk_total_bytes"] == psutil.disk_usage(str(tmp_path)).total
    assert 0 < host["disk_used_bytes"] <= host["disk_total_bytes"]
    assert process["rss_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.5)
    assert process["threads"] >= 2, "the sampling thread is one of them"
    assert process["cpu_ratio"] >= 0
    assert {state["resource"] for state in later["states"]} >= {"cpu", "memory", "disk"}
    assert all(state["level"] in ("ok", "warn", "critical") and state["reason"] for state in later["states"])
    assert [(row["name"], row["pid"]) for row in later["processes"]][:1] == [("ralex-monitor", psutil.Process().pid)]
    assert later["window"]["samples"] >= 2
    assert later["window"]["max_memory_used_bytes"] >= later["window"]["mean_memory_used_bytes"] > 0
    assert samples, "what was sampled is handed on"
    stopped_with = len(samples)
    assert (await monitor.collect_metrics())["resource_usage"]["sampled_at"] is not None
    assert len(samples) == stopped_with


async def test_metric_collection_performance() -> None:
    """A hundred thousand operations: none lost, all figures right, memory for their groups and not for each of them."""
    clock = ManualClock(T0)
    operations = work(100_000)
    monitor = PerformanceMonitor(clock=clock)
    for start in range(0, 100_000, 500):
        monitor.record(operations[start : start + 500])

    metrics = await monitor.collect_metrics()
    times, api = metrics["response_times"], metrics["api_performance"]
    assert_times_are_those_of(times, operations)
    assert times["outside_window"] == 0
    assert sum(row["operations"] for row in times["by_operation"]) == 100_000
    calls = [operation for operation in operations if operation.kind == "llm"]
    assert sum(row["operations"] for row in api["models"]) == len(calls)
    for row in api["models"]:
        mine = [operation for operation in calls if operation.model == row["model"]]
        assert_times_are_those_of(row, mine)
        assert row["input_tokens"] == 1000 * len(mine)
        assert row["output_tokens"] == sum(operation.output_tokens or 0 for operation in mine)
    for kind, rows in (("api", api["endpoints"]), ("db", api["databases"])):
        for row in rows:
            mine = [operation for operation in operations if (operation.kind, operation.name) == (kind, row["name"])]
            assert_times_are_those_of(row, mine)


async def test_performance_trend_analysis(tmp_path: Path) -> None:
    """Ninety days in a real store: what degrades is warned of, a step is dated, what is unchanged is left alone."""
    day_us, days, each = 86_400_000_000, 90, 120
    end = T0 // day_us * day_us
    source = random.Random(5)
    drifts: dict[str, Callable[[int], float]] = {
        "steady": lambda _: 1.0,
        "degrades": lambda day: 1.2 ** (day / 30),
        "steps": lambda day: 1.6 if day >= 80 else 1.0,
    }
    by_day: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    operations: list[Operation] = []
    for name, drift in drifts.items():
        for day in range(days):
            start = end - (days - day) * day_us
            level = 800 * drift(day) * source.lognormvariate(0, 0.05) * (1.15 if day % 7 < 2 else 1)
            for number in range(each):
                took = level * source.lognormvariate(0, 0.4)
                by_day[name, start].append(took)
                at = start + source.randrange(day_us)
                operations.append(Operation(f"{name}-{day}-{number}", "api", name, at, took))
    store = DuckDBStore(tmp_path / "t.duckdb")
    try:
        store.write(operations)
        store.refresh_rollups()
        monitor = PerformanceMonitor(clock=ManualClock(end), store=store)
        found = await monitor.trends(Scope(Window(end - day_us, end + 1)), "endpoint")
    finally:
        store.close()

    by_key = {trend.key: trend for trend in found}
    assert {key: trend.state for key, trend in by_key.items()} == {
        "steady": "steady",
        "degrades": "degrading",
        "steps": "stepped_up",
    }
    assert found[0].key == "degrades", "what needs attention comes first"
    assert by_key["degrades"].per_month_ratio == pytest.approx(1.2, rel=0.06)
    assert "steadily" in by_key["degrades"].why
    (step,) = by_key["steps"].steps
    assert abs(step.day_us - (end - (days - 80) * day_us)) <= 2 * day_us
    assert step.ratio == pytest.approx(1.6, rel=0.1)
    for name, trend in by_key.items():
        assert len(trend.days) == days
        assert trend.operations == [each] * days
        for start, value in zip(trend.days, trend.values_ms, strict=True):
            assert value == pytest.approx(nearest_rank(by_day[name, start], 95), rel=0.01)


async def test_questions_about_windows_need_a_store() -> None:
    with pytest.raises(ValueError, match="give the monitor one"):
        await PerformanceMonitor().summaries(Scope(Window(T0, T0 + 1)))


def test_the_memory_of_collecting_does_not_grow_with_the_number_of_operations() -> None:
    operations = work(20_000)
    monitor = PerformanceMonitor(clock=ManualClock(T0))
    tracemalloc.start()
    try:
        monitor.record(operations)
        held = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            monitor.record(operations)
        held_for_four_times = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 << 20
    assert held_for_four_times < 1.2 * held, "counts grow, not places to count in"


# --- bottlenecks -------------------------------------------------------------------------------------------------

PLANTED = {
    "n_plus_one": "n_plus_one",
    "lock": "queueing",
    "slow_provider": "slow_provider",
    "retry_storm": "retries",
    "serial_fan_out": "serial_calls",
    "cpu_starvation": "resource_pressure",
}
SEEDS = (3, 8, 15)
"""`bench/bottlenecks.py` runs twenty of each."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_bottleneck_detection(fault: Fault, seed: int) -> None:
    """A planted fault is found first and the gain of removing it foretold; without it nothing is found."""
    with_fault = run_service(seed, fault, requests=500)
    without = run_service(seed, None, strength=fault, requests=500)
    measured = statistics.mean(with_fault.durations_ms) - statistics.mean(without.durations_ms)

    found = analyse(everything(with_fault)).findings
    assert found
    assert found[0].cause == PLANTED[fault]
    assert found[0].gain.mean_ms == pytest.approx(measured, rel=0.2)
    known = {operation.operation_id for operation in with_fault.operations}
    assert found[0].operation_ids
    assert set(found[0].operation_ids) <= known
    assert analyse(everything(without)).findings == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_bottleneck_detection_through_the_store(fault: Fault, tmp_path: Path) -> None:
    """The same from what is stored: a bounded sample of traces, and the machine's resources of the same minutes."""
    run = run_service(21, fault, requests=900, start_us=T0)
    clock = ManualClock(max(op.started_at for op in run.operations) + 1_000_000)
    store = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    try:
        store.write(run.operations)
        store.write_resources(run.samples)
        store.refresh_rollups()
        found = find_bottlenecks(store, Scope(Window(T0, clock.now_us())))
    finally:
        store.close()
    without = run_service(21, None, strength=fault, requests=900)
    measured = statistics.mean(run.durations_ms) - statistics.mean(without.durations_ms)
    assert found.traces == 900
    assert found.traces_looked_at == 400
    assert found.findings[0].cause == PLANTED[fault]
    assert found.findings[0].gain.mean_ms == pytest.approx(measured, rel=0.25), "a sample of the traces tells it"
