"""The live hub: figures that agree with the store, groups, throttling, slow clients, days that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings
from ralex_core.dashboard.live import LiveHub, TooManyClients
from ralex_core.dashboard.live_cells import BUCKET_US, MAX_CELLS_PER_BUCKET, WINDOW_US
from ralex_core.dashboard.live_group import Client
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, Filters, Scope, Window
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.queries import spend, totals
from tests.support.operations import make_operation, random_operations

NOW = 1_767_268_800_000_000
"""2026-01-01T12:00:00Z."""
SOON = 2.0
"""Seconds within which a message must come; only ever waited for when the test fails."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def metrics() -> SelfMetrics:
    return SelfMetrics()


@pytest.fixture
def hub(clock: ManualClock, metrics: SelfMetrics, tmp_path: Path) -> LiveHub:
    return LiveHub(clock, Settings(home=tmp_path, timezone="UTC", daily_budget_usd=Decimal(5)), metrics)


@pytest.fixture
def store(clock: ManualClock, tmp_path: Path) -> Iterator[DuckDBStore]:
    opened = DuckDBStore(tmp_path / "t.duckdb", clock=clock)
    yield opened
    opened.close()


@asynccontextmanager
async def running(hub: LiveHub, filters: Filters | None = None) -> AsyncIterator[Client]:
    """A client that has already had its snapshot."""
    hub.start()
    try:
        async with hub.subscribe(filters or Filters()) as client:
            await message(client)
            yield client
    finally:
        await hub.stop()


async def message(client: Client) -> dict[str, Any]:
    return orjson.loads(await asyncio.wait_for(client.next(), SOON))


async def snapshot(hub: LiveHub, filters: Filters | None = None) -> dict[str, Any]:
    from ralex_core.render import to_json

    return orjson.loads(to_json(await hub.snapshot(filters or Filters())))


def recent(count: int, seed: int = 1) -> list[Operation]:
    """Operations of all kinds spread over the last 14 minutes."""
    return random_operations(seed, count, start_us=NOW - 14 * 60_000_000, span_us=14 * 60_000_000)


async def test_the_message_has_the_promised_keys(hub: LiveHub) -> None:
    found = await snapshot(hub)
    assert set(found) == {"kind", "seq", "at", "metrics", "alerts", "health", "feed"}
    assert set(found["metrics"]) == {"performance", "costs", "usage"}
    assert found["alerts"] == []


async def test_live_figures_equal_those_of_the_store(hub: LiveHub, store: DuckDBStore) -> None:
    operations = recent(2000)
    store.write(operations)
    store.refresh_rollups()
    hub.publish(operations)
    first = NOW // BUCKET_US * BUCKET_US - WINDOW_US + BUCKET_US
    for filters in (Filters(), Filters(project=("alpha",)), Filters(user_id=("ann", "ben"), tier=("cheap", ""))):
        expected = totals(store, Scope(Window(first, NOW + 1), filters))
        found = (await snapshot(hub, filters))["metrics"]
        assert found["usage"]["operations"] == expected.operations
        assert found["usage"]["llm_operations"] == expected.llm_operations
        assert found["usage"]["input_tokens"] == expected.input_tokens
        assert found["usage"]["output_tokens"] == expected.output_tokens
        assert found["usage"]["cache_read_tokens"] == expected.cache_read_tokens
        assert found["performance"]["errors"] == expected.errors
        cost = found["costs"]["window"]
        assert Decimal(cost["cost_usd"]) == expected.cost_usd
        assert Decimal(cost["reported_usd"]) == expected.reported_usd
        assert Decimal(cost["computed_usd"]) == expected.computed_usd
        assert Decimal(cost["billed_usd"]) == expected.billed_usd
        assert Decimal(cost["quarantined_usd"]) == expected.quarantined_usd
        assert cost["quarantined_count"] == expected.quarantined_count
        assert cost["coverage_ratio"] == pytest.approx(expected.coverage_ratio)
        assert cost["efficiency_ratio"] == pytest.approx(expected.efficiency_ratio)
        assert cost["basis"] == expected.basis
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            assert found["performance"][name] == pytest.approx(getattr(expected, name), abs=0.051)
        today = found["costs"]["today"]
        spent, billable, priced = spend(store, Scope(Window(NOW // DAY_US * DAY_US, NOW + DAY_US // 2), filters))
        assert Decimal(today["cost_usd"]) == spent
        assert today["coverage_ratio"] == pytest.approx(priced / billable)


async def test_a_hub_seeded_from_the_store_says_the_same_as_one_that_saw_every_commit(
    hub: LiveHub, store: DuckDBStore, clock: ManualClock, tmp_path: Path
) -> None:
    operations = recent(1500)
    store.write(operations)
    hub.publish(operations)
    other = LiveHub(clock, Settings(home=tmp_path, timezone="UTC", daily_budget_usd=Decimal(5)))
    other.seed(store)
    seen, seeded = await snapshot(hub), await snapshot(other)
    assert seen["metrics"] == seeded["metrics"]
    assert {item["operation_id"] for item in seen["feed"]} == {item["operation_id"] for item in seeded["feed"]}


async def test_a_snapshot_covers_fifteen_minutes_and_gaps_are_not_zero(hub: LiveHub) -> None:
    hub.publish([make_operation(started_at=NOW - 60_000_000)])
    series = (await snapshot(hub))["metrics"]["performance"]["series"]
    assert len(series["starts"]) == 180
    assert {b - a for a, b in zip(series["starts"], series["starts"][1:], strict=False)} == {BUCKET_US}
    place = series["starts"].index((NOW - 60_000_000) // BUCKET_US * BUCKET_US)
    assert series["operations"][place] == 1
    assert series["p95_ms"][place] == pytest.approx(1200, rel=0.01)
    assert series["operations"][place - 1] == 0
    assert series["p95_ms"][place - 1] is None


async def test_a_commit_is_told_at_once_with_only_what_changed(hub: LiveHub) -> None:
    hub.publish(recent(50))
    async with running(hub) as client:
        hub.publish([make_operation("new", started_at=NOW - 1)])
        told = await message(client)
    assert told["kind"] == "update"
    assert [item["operation_id"] for item in told["feed"]] == ["new"]
    assert told["metrics"]["performance"]["series"]["starts"] == [(NOW - 1) // BUCKET_US * BUCKET_US]
    assert told["metrics"]["usage"]["operations"] == 51


async def test_clients_with_the_same_filters_share_one_serialised_message(hub: LiveHub) -> None:
    hub.start()
    try:
        async with hub.subscribe(Filters()) as one, hub.subscribe(Filters()) as two:
            assert await one.next() is await two.next()
            hub.publish([make_operation(started_at=NOW - 1)])
            assert await asyncio.wait_for(one.next(), SOON) is await asyncio.wait_for(two.next(), SOON)
    finally:
        await hub.stop()


async def test_a_group_hears_only_of_what_its_filters_let_through(hub: LiveHub) -> None:
    async with running(hub, Filters(project=("alpha",))) as client:
        hub.publish([make_operation("b", project="beta", started_at=NOW - 1)])
        hub.publish([make_operation("a", project="alpha", started_at=NOW - 1)])
        told = await message(client)
        while told["kind"] == "heartbeat":
            told = await message(client)
    assert [item["operation_id"] for item in told["feed"]] == ["a"]
    assert told["metrics"]["usage"]["operations"] == 1
    assert told["metrics"]["costs"]["today"]["budget_usd"] is None


async def test_a_client_that_falls_behind_gets_a_snapshot_and_nothing_queues_up(
    hub: LiveHub, metrics: SelfMetrics
) -> None:
    async with running(hub) as slow, hub.subscribe(Filters()) as quick:
        await message(quick)
        for number in range(3):
            hub.publish([make_operation(f"op-{number}", started_at=NOW - 1)])
            told = await message(quick)
            assert told["kind"] == "update"
        caught_up = await message(slow)
        assert caught_up["kind"] == "snapshot"
        assert caught_up["seq"] == told["seq"]
        assert {item["operation_id"] for item in caught_up["feed"]} == {"op-0", "op-1", "op-2"}
        hub.publish([make_operation("op-3", started_at=NOW - 1)])
        assert (await message(slow))["kind"] == "update"
    assert metrics.counters()["live_messages_replaced_total"] == 2


async def test_nothing_is_sent_while_nothing_changes(hub: LiveHub) -> None:
    async with running(hub) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.next(), 0.6)


async def test_old_operations_leave_the_window(hub: LiveHub, clock: ManualClock) -> None:
    hub.publish(recent(300))
    assert (await snapshot(hub))["metrics"]["usage"]["operations"] == 300
    clock.advance(WINDOW_US / 1e6)
    found = (await snapshot(hub))["metrics"]
    assert found["usage"]["operations"] == 0
    assert found["performance"]["p95_ms"] is None
    assert found["costs"]["window"]["cost_usd"] == "0"
    assert found["usage"]["models"] == [] and found["usage"]["busiest"] == []


async def test_a_watched_window_slides_as_time_passes(hub: LiveHub, clock: ManualClock) -> None:
    hub.publish(recent(300))
    async with running(hub) as client:
        clock.advance(WINDOW_US / 1e6)
        hub.publish([make_operation("late", started_at=NOW + WINDOW_US - 1)])
        told = await message(client)
    assert told["metrics"]["usage"]["operations"] == 1
    assert told["metrics"]["performance"]["errors"] == 0


async def test_a_new_revision_replaces_what_was_counted(hub: LiveHub) -> None:
    hub.publish([make_operation("r", started_at=NOW - 1, output_tokens=5, cost_usd=Decimal(1))])
    hub.publish([make_operation("r", started_at=NOW - 1, output_tokens=9, cost_usd=Decimal(2), revision=1)])
    found = await snapshot(hub)
    assert found["metrics"]["usage"]["operations"] == 1
    assert found["metrics"]["usage"]["output_tokens"] == 9
    assert found["metrics"]["costs"]["today"]["cost_usd"] == "2"
    assert [item["output_tokens"] for item in found["feed"]] == [9]


async def test_a_revision_of_something_forgotten_is_settled_by_asking_the_store(
    hub: LiveHub, store: DuckDBStore, clock: ManualClock
) -> None:
    first = make_operation("r", started_at=NOW - 1, cost_usd=Decimal(1))
    store.write([first])
    hub.seed(store)
    hub._recent.clear()  # as after five thousand other operations
    second = first._replace(cost_usd=Decimal(2), revision=1)
    store.write([second])
    hub.publish([second])
    clock.advance(11)
    third = make_operation("x", started_at=NOW, cost_usd=Decimal(4))
    store.write([third])
    hub.publish([third])
    found = (await snapshot(hub))["metrics"]
    assert found["costs"]["today"]["cost_usd"] == "6"
    assert found["usage"]["operations"] == 2


async def test_the_day_ends_at_local_midnight(clock: ManualClock, tmp_path: Path) -> None:
    hub = LiveHub(clock, Settings(home=tmp_path, timezone="Pacific/Auckland"))  # UTC+13 in January
    hub.publish([make_operation("a", started_at=NOW - 1, cost_usd=Decimal(3))])
    assert (await snapshot(hub))["metrics"]["costs"]["today"]["cost_usd"] == "3"
    clock.advance(23 * 3600 + 60)
    hub.publish([make_operation("b", started_at=clock.now_us() - 1, cost_usd=Decimal(1))])
    today = (await snapshot(hub))["metrics"]["costs"]["today"]
    assert today["cost_usd"] == "1"
    assert today["day_start_at"] == "2026-01-02T11:00:00.000000Z"


async def test_an_imported_log_does_not_push_live_operations_out_of_the_feed(hub: LiveHub) -> None:
    hub.publish([make_operation(f"live-{n}", started_at=NOW - n) for n in range(200)])
    hub.publish([make_operation(f"old-{n}", started_at=NOW - DAY_US * 30 + n) for n in range(5000)])
    feed = (await snapshot(hub))["feed"]
    assert [item["operation_id"] for item in feed] == [f"live-{n}" for n in range(50)]


async def test_an_operation_of_last_year_still_shows_up_in_an_empty_feed(hub: LiveHub) -> None:
    async with running(hub) as client:
        hub.publish([make_operation("old", started_at=NOW - 300 * DAY_US)])
        told = await message(client)
    assert [item["operation_id"] for item in told["feed"]] == ["old"]
    assert told["metrics"]["usage"]["operations"] == 0


async def test_memory_has_a_limit_whatever_is_sent(hub: LiveHub, metrics: SelfMetrics) -> None:
    many = MAX_CELLS_PER_BUCKET * 5
    hub.publish([make_operation(str(n), session_id=f"s{n}", project=f"p{n % 3}", started_at=NOW) for n in range(many)])
    assert metrics.counters()["live_overflow_operations_total"] == many - MAX_CELLS_PER_BUCKET
    assert (await snapshot(hub))["metrics"]["usage"]["operations"] == many
    by_project = await snapshot(hub, Filters(project=("p1",)))
    assert by_project["metrics"]["usage"]["operations"] == len(range(1, many, 3))


async def test_an_operation_dated_far_ahead_is_not_live(hub: LiveHub) -> None:
    hub.publish([make_operation(started_at=NOW + 3_600_000_000)])
    assert (await snapshot(hub))["metrics"]["usage"]["operations"] == 0


async def test_the_hub_takes_no_more_groups_than_it_can_serve(hub: LiveHub) -> None:
    from contextlib import AsyncExitStack

    hub.start()
    try:
        async with AsyncExitStack() as open_clients:
            for number in range(100):
                await open_clients.enter_async_context(hub.subscribe(Filters(project=(str(number),))))
            with pytest.raises(TooManyClients):
                await open_clients.enter_async_context(hub.subscribe(Filters(project=("one more",))))
        async with hub.subscribe(Filters(project=("one more",))):
            pass
    finally:
        await hub.stop()


async def test_a_filtered_group_starts_with_stored_operations_in_its_feed(hub: LiveHub) -> None:
    from ralex_core.dashboard.rows import feed_item

    stored = make_operation("stored", project="alpha", started_at=NOW - DAY_US)
    hub.older_feed_source = lambda filters: [feed_item(stored)]
    hub.publish([make_operation("fresh", project="alpha", started_at=NOW)])
    feed = (await snapshot(hub, Filters(project=("alpha",))))["feed"]
    assert [item["operation_id"] for item in feed] == ["fresh", "stored"]


async def test_a_hub_that_nobody_watches_sleeps_and_misses_nothing(
    hub: LiveHub, store: DuckDBStore, clock: ManualClock
) -> None:
    caught_up: list[int] = []

    def catch_up() -> None:
        caught_up.append(1)
        hub.seed(store)

    hub.seed(store)
    hub.catch_up_source = catch_up
    operation = make_operation("while-asleep", started_at=clock.now_us() - 1_000_000)
    store.write([operation])
    hub.publish([operation])
    message = await hub.snapshot(Filters())
    assert caught_up == [1]
    assert [item.operation_id for item in message.feed] == ["while-asleep"]
    assert message.metrics.usage.operations == 1
