"""Summaries against exact calculations over the same operations, by every dimension; and what is asked wrongly."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ralex_core.config import ApdexTargets
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Filters, Scope, Window
from ralex_core.monitoring.latency import DIMENSIONS, MAX_SCAN_DAYS, LatencySummary, dimension_of, summarise
from ralex_core.storage.duckdb_store import DuckDBStore
from tests.support.operations import T0, make_operation, random_operations

WINDOW = Window(T0 - 7 * HOUR_US, T0 + 20 * HOUR_US + 17_000_001)
TARGETS = ApdexTargets(llm=400, db=100, tool=300, task=1000)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DuckDBStore, list[Operation]]]:
    source = random.Random(3)
    operations = [
        operation._replace(
            ttft_ms=source.uniform(50, 900) if operation.kind == "llm" and source.random() < 0.8 else None,
            service=source.choice(("api", "worker", None)),
        )
        for operation in random_operations(21, 3000, start_us=T0 - DAY_US // 2, span_us=2 * DAY_US)
    ]
    store = DuckDBStore(tmp_path_factory.mktemp("latency") / "t.duckdb")
    store.write(operations)
    store.refresh_rollups()
    yield store, operations
    store.close()


def nearest_rank(values: Sequence[float], q: float) -> float:
    return sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]


def exact_apdex(operations: Sequence[Operation]) -> float | None:
    score, timed = 0.0, 0
    for operation in operations:
        if operation.duration_ms is None:
            continue
        timed += 1
        target = TARGETS.of(operation.kind)
        if operation.status != "error":
            score += 1.0 if operation.duration_ms <= target else 0.5 if operation.duration_ms <= 4 * target else 0.0
    return score / timed if timed else None


def assert_is(row: LatencySummary, mine: Sequence[Operation]) -> None:
    times = [operation.duration_ms for operation in mine if operation.duration_ms is not None]
    assert (row.operations, row.timed) == (len(mine), len(times))
    assert row.errors == sum(operation.status == "error" for operation in mine)
    assert row.per_minute == pytest.approx(len(mine) / (WINDOW.length_us / 60e6))
    assert row.total_ms == pytest.approx(sum(times))
    assert row.busy == pytest.approx(sum(times) * 1000 / WINDOW.length_us)
    for q, value in ((0.5, row.p50_ms), (0.9, row.p90_ms), (0.95, row.p95_ms), (0.99, row.p99_ms), (1, row.max_ms)):
        assert value == pytest.approx(nearest_rank(times, q), rel=0.01)
    assert row.apdex == pytest.approx(exact_apdex(mine), abs=0.02)  # a target inside a bin of 2 %
    calls = [operation for operation in mine if operation.kind == "llm"]
    first = [operation.ttft_ms for operation in calls if operation.ttft_ms is not None]
    assert row.mean_ttft_ms == (pytest.approx(sum(first) / len(first)) if first else None)
    assert row.p95_ttft_ms == (nearest_rank(first, 0.95) if first else None)
    tokens = sum(operation.output_tokens or 0 for operation in calls)
    assert row.output_tokens == tokens
    took = sum(operation.duration_ms or 0 for operation in calls)
    assert row.output_tokens_per_s == (pytest.approx(tokens * 1000 / took) if tokens else None)


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_dimension_gives_what_an_exact_calculation_gives(
    filled: tuple[DuckDBStore, list[Operation]], by: str
) -> None:
    store, operations = filled
    dimension = dimension_of(by)
    groups: defaultdict[tuple[str | None, ...], list[Operation]] = defaultdict(list)
    for operation in operations:
        inside = WINDOW.start_us <= operation.started_at < WINDOW.end_us
        if inside and dimension.kind in (None, operation.kind):
            groups[tuple(getattr(operation, column) for column in dimension.columns)].append(operation)
    found = summarise(store, Scope(WINDOW), by, targets=TARGETS)
    assert found.groups == len(groups)
    assert {row.group for row in found.rows} <= set(groups)
    for row in found.rows:
        assert_is(row, groups[row.group])
    everything = [operation for mine in groups.values() for operation in mine]
    if everything:
        assert_is(found.total, everything)
    totals = [row.total_ms for row in found.rows]
    assert totals == sorted(totals, reverse=True)


def test_filters_and_one_group_alone(filled: tuple[DuckDBStore, list[Operation]]) -> None:
    store, operations = filled
    scope = Scope(WINDOW, Filters(project=("alpha",)))
    found = summarise(store, scope, "operation", targets=TARGETS, only={"kind": "llm", "name": "chat"})
    mine = [
        operation
        for operation in operations
        if WINDOW.start_us <= operation.started_at < WINDOW.end_us
        and (operation.project, operation.kind, operation.name) == ("alpha", "llm", "chat")
    ]
    assert [row.key for row in found.rows] == ["llm/chat"]
    assert_is(found.rows[0], mine)


def test_an_empty_window_has_no_rows_and_unknown_figures(filled: tuple[DuckDBStore, list[Operation]]) -> None:
    found = summarise(filled[0], Scope(Window(T0 + 90 * DAY_US, T0 + 91 * DAY_US)))
    assert (found.rows, found.groups, found.total.operations) == ([], 0, 0)
    assert found.total.p95_ms is None
    assert found.total.apdex is None
    assert found.total.error_ratio is None
    assert found.total.per_minute == 0


def test_an_unknown_dimension_is_refused_with_those_there_are(filled: tuple[DuckDBStore, list[Operation]]) -> None:
    with pytest.raises(ValueError, match="choose one of operation, endpoint, model"):
        summarise(filled[0], Scope(WINDOW), "colour")


def test_all_failures_frustrate_and_one_sample_is_its_own_percentile(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "t.duckdb")
    try:
        store.write([make_operation("one", duration_ms=100.0, status="error", output_tokens=None)])
        row = summarise(store, Scope(Window(T0, T0 + 1))).rows[0]
        assert row.apdex == 0
        assert row.error_ratio == 1
        assert row.p50_ms == row.max_ms == pytest.approx(100, rel=0.01)
        assert row.output_tokens_per_s is None
        store.write(
            [
                make_operation("two", started_at=T0 + 5, duration_ms=None),
                make_operation("0", started_at=T0 + 6, duration_ms=0.0),
            ]
        )
        untimed = summarise(store, Scope(Window(T0 + 5, T0 + 6))).rows[0]
        assert (untimed.operations, untimed.timed, untimed.p95_ms, untimed.apdex) == (1, 0, None, None)
        assert summarise(store, Scope(Window(T0 + 6, T0 + 7))).rows[0].p95_ms == 0
    finally:
        store.close()


def test_what_rollups_do_not_know_is_read_for_a_month_at_most(filled: tuple[DuckDBStore, list[Operation]]) -> None:
    long = Window(T0 - 400 * DAY_US, T0 + DAY_US)
    asked = Scope(long)
    assert not summarise(filled[0], asked, "model").clipped
    clipped = summarise(filled[0], asked, "service")
    assert clipped.clipped
    assert clipped.window == Window(long.end_us - MAX_SCAN_DAYS * DAY_US, long.end_us)
    assert not summarise(filled[0], replace(asked, window=clipped.window), "service").clipped


def test_the_part_of_the_window_to_come_does_not_dilute_the_rate(filled: tuple[DuckDBStore, list[Operation]]) -> None:
    window = Window(T0, T0 + 2 * HOUR_US)
    half = summarise(filled[0], Scope(window), now_us=T0 + HOUR_US).total
    assert half.per_minute == pytest.approx(half.operations / 60)
    assert summarise(filled[0], Scope(window), now_us=T0 - 1).total.per_minute is None


@pytest.mark.parametrize(
    ("by", "group", "key"),
    [
        ("operation", ("llm", "a/b c"), "llm/a/b c"),
        ("model", ("a/b", None), "a%2Fb/"),
        ("model", (None, "m"), "/m"),
        ("project", (None,), ""),
    ],
)
def test_keys_name_groups_whatever_they_are_called(by: str, group: tuple[str | None, ...], key: str) -> None:
    dimension = dimension_of(by)
    assert dimension.key_of(group) == key
    assert dimension.group_of(key) == group


def test_a_key_with_too_few_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="kind/name"):
        dimension_of("operation").group_of("chat")
