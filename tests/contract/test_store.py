"""What every telemetry store promises (see `ralex_core.storage.telemetry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ralex_core.clock import ManualClock
from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Filters, Scope, Window
from ralex_core.storage import queries
from ralex_core.storage.duckdb_store import DuckDBStore
from ralex_core.storage.telemetry import Amendment
from tests.support.operations import T0, make_operation, random_operations

Open = Callable[[], DuckDBStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    opened: list[DuckDBStore] = []

    def open_it() -> DuckDBStore:
        opened.append(DuckDBStore(tmp_path / "t.duckdb", clock=ManualClock(T0 + 2 * DAY_US)))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


def day(start_us: int = T0, days: int = 1, filters: Filters | None = None) -> Scope:
    return Scope(Window(start_us, start_us + days * DAY_US), filters or Filters())


def test_what_is_written_comes_back_as_it_was(open_store: Open) -> None:
    operation = make_operation(
        "a",
        trace_id="t" * 32,
        span_id="s" * 16,
        ttft_ms=12.5,
        error_type="timeout",
        http_status=504,
        attempt=3,
        reported_usd=Decimal("0.000000000000000001"),
        billed_usd=Decimal("10173.038615995997717240"),
        value_usd=Decimal("1.5"),
        cache_read_tokens=10,
        revision=4,
        attributes='{"é":"\\u0000"}',
        user_id="日本 <b>",
    )
    store = open_store()
    store.write([operation])
    assert queries.operation(store, "a") == operation
    assert queries.operation(store, "b") is None


def test_sending_again_changes_nothing(open_store: Open) -> None:
    store = open_store()
    first = random_operations(1, 500)
    assert store.write(first).inserted == 500
    before = queries.status_totals(store)
    again = store.write(first)
    assert (again.inserted, again.replaced, again.duplicates) == (0, 0, 500)
    assert again.duplicate_ids == frozenset(operation.operation_id for operation in first)
    assert queries.status_totals(store) == before


def test_a_batch_that_repeats_itself_is_stored_once(open_store: Open) -> None:
    store = open_store()
    result = store.write([make_operation("a"), make_operation("a"), make_operation("b")])
    assert (result.inserted, result.duplicates) == (2, 1)
    assert result.duplicate_ids == frozenset()


def test_a_higher_revision_replaces_and_a_lower_one_does_not(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a", output_tokens=5, revision=5)])
    assert store.write([make_operation("a", output_tokens=9, revision=9)]).replaced == 1
    assert store.write([make_operation("a", output_tokens=1, revision=1)]).duplicates == 1
    store.refresh_rollups()
    stored = queries.operation(store, "a")
    assert stored is not None and stored.output_tokens == 9
    assert queries.totals(store, day()).output_tokens == 9


def test_the_highest_revision_of_one_batch_wins(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a", output_tokens=n, revision=n) for n in (2, 7, 3)])
    stored = queries.operation(store, "a")
    assert stored is not None and stored.output_tokens == 7


def test_a_replaced_operation_leaves_nothing_in_the_hour_it_used_to_be_in(open_store: Open) -> None:
    store = open_store()
    filler = make_operation("filler", started_at=T0)
    store.write([make_operation("a", started_at=T0 + HOUR_US, revision=1)])
    store.refresh_rollups()
    store.write([filler, make_operation("a", started_at=T0 + 2 * HOUR_US, revision=2)])
    store.refresh_rollups()
    usage = queries.usage_over_time(store, day(), HOUR_US)
    assert [(row.start_us, row.operations) for row in usage] == [(T0, 1), (T0 + 2 * HOUR_US, 1)]


@pytest.mark.parametrize("days_back", [0, 30], ids=["minutes kept", "minutes not kept"])
def test_rollups_equal_the_operations_after_late_data_in_any_order(open_store: Open, days_back: int) -> None:
    start = T0 - days_back * DAY_US
    store = open_store()
    operations = random_operations(3, 3000, start_us=start)
    for batch in (operations[2000:], operations[:500], operations[500:2000], operations[100:300]):
        store.write(batch)
        store.refresh_rollups()
    rolled = queries.totals(store, day(start))
    expected = queries.totals(store, day(start, filters=Filters(user_id=("ann", "ben", "çelik"))))  # reads operations
    assert rolled == expected
    assert rolled.operations == 3000
    assert rolled.cost_usd == sum((operation.cost_usd or 0 for operation in operations), Decimal(0))


@pytest.fixture(scope="module", params=["all rolled up", "hours behind"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    """Three days of operations; some hours are behind their minutes, or some days have no minutes any more."""
    behind = request.param == "hours behind"
    path = tmp_path_factory.mktemp("windows") / "t.duckdb"
    store = DuckDBStore(path, clock=ManualClock(T0 + 4 * DAY_US), minute_rollup_days=5 if behind else 2)
    store.write(WINDOWED[:400])
    store.refresh_rollups()
    store.write(WINDOWED[400:])
    store.refresh_rollups(coarse=not behind)
    yield store
    store.close()


WINDOWED = random_operations(11, 600, span_us=3 * DAY_US)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 3 * DAY_US),
    length=st.integers(1, 3 * DAY_US),
    filters=st.sampled_from(
        [
            Filters(),
            Filters(project=("alpha",)),
            Filters(project=("beta", ""), model=("gpt-4o",)),
            Filters(tier=("cheap", "")),
            Filters(user_id=("ann", "çelik")),
            Filters(session_id=("s1", "s7")),
            Filters(user_id=("ben",), project=("alpha",)),
        ]
    ),
)
def test_any_window_is_answered_exactly(filled: DuckDBStore, start: int, length: int, filters: Filters) -> None:
    scope = Scope(Window(T0 + start, T0 + start + length), filters)
    inside = [op for op in WINDOWED if matches(op, scope)]
    found = queries.totals(filled, scope)
    assert found.operations == len(inside)
    assert found.cost_usd == sum((op.cost_usd or 0 for op in inside), Decimal(0))
    assert found.quarantined_count == sum(op.quarantine is not None for op in inside)
    for by, kinds in (("model", ("llm",)), ("name", ("llm", "tool", "task", "db")), ("user_id", None)):
        rows = queries.breakdown(filled, scope, by, limit=50)  # type: ignore[arg-type]
        assert sum(row.operations for row in rows) == sum(kinds is None or op.kind in kinds for op in inside)
    bucket = queries.bucket_for(scope.window)
    assert sum(row.operations for row in queries.usage_over_time(filled, scope, bucket)) == len(inside)
    timed = sum(op.kind == "llm" and op.duration_ms is not None for op in inside)
    assert sum(row.operations for row in queries.latency_over_time(filled, scope, bucket)) == timed


def matches(operation: Operation, scope: Scope) -> bool:
    """The definition of a scope, told without SQL."""
    inside = scope.window.start_us <= operation.started_at < scope.window.end_us
    return inside and all((getattr(operation, column) or "") in values for column, values in scope.filters.items())


def test_rollups_survive_a_close_before_they_were_refreshed(open_store: Open) -> None:
    store = open_store()
    store.write(random_operations(5, 200))
    store.close()
    reopened = open_store()
    assert reopened.refresh_rollups() > 0
    assert queries.totals(reopened, day()).operations == 200


def test_percentiles_are_within_one_percent_of_exact(open_store: Open) -> None:
    store = open_store()
    operations = [op for op in random_operations(8, 5000) if op.kind == "llm"]
    store.write(operations)
    store.refresh_rollups()
    exact = sorted(op.duration_ms for op in operations if op.duration_ms is not None)
    found = queries.totals(store, day())
    for quantile, value in ((0.5, found.p50_ms), (0.95, found.p95_ms), (0.99, found.p99_ms)):
        rank = -(-quantile * len(exact) // 1)
        assert value == pytest.approx(exact[int(rank) - 1], rel=0.01)


def test_coverage_counts_what_could_not_be_priced(open_store: Open) -> None:
    store = open_store()
    unknown = make_operation("b", cost_usd=None, computed_usd=None, cost_basis="unknown")
    store.write([make_operation("a"), unknown, make_operation("c", kind="tool", cost_usd=None, cost_basis=None)])
    store.refresh_rollups()
    found = queries.totals(store, day())
    assert (found.billable, found.priced, found.coverage_ratio) == (2, 1, 0.5)
    assert found.basis == {"billed": 0, "computed": 1, "reported": 0, "unknown": 1}


def test_efficiency_pays_for_failures_but_takes_no_credit_for_them(open_store: Open) -> None:
    store = open_store()
    cost, baseline = Decimal("1"), Decimal("10")
    store.write(
        [
            make_operation("good", cost_usd=cost, baseline_usd=baseline, outcome="accepted"),
            make_operation("undone", cost_usd=cost, baseline_usd=baseline, outcome="reworked"),
            make_operation("failed", cost_usd=cost, baseline_usd=baseline, status="error"),
            make_operation("quiet", cost_usd=cost, baseline_usd=baseline),
        ]
    )
    store.refresh_rollups()
    assert queries.totals(store, day()).efficiency_ratio == 5.0


def test_a_quarantined_claim_is_kept_out_of_totals_until_it_is_accepted(open_store: Open) -> None:
    store = open_store()
    wild = make_operation("wild", reported_usd=Decimal("9990"), quarantine="reported", computed_usd=None, cost_usd=None)
    store.write([wild, make_operation("b", reported_usd=Decimal("1"))])
    before = queries.status_totals(store)
    assert (before.reported_usd, before.quarantined_count, before.quarantined_usd) == (1, 1, 9990)
    assert store.amend([Amendment("wild", accept_claim=True)]) == 1
    after = queries.status_totals(store)
    assert (after.reported_usd, after.quarantined_count, after.total_usd) == (9991, 0, Decimal("9990.0035"))


def test_an_outcome_can_be_told_later_and_reaches_the_rollups(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a", baseline_usd=Decimal(7))])
    store.refresh_rollups()
    assert store.amend([Amendment("a", outcome="rejected"), Amendment("nobody", outcome="accepted")]) == 1
    store.refresh_rollups()
    assert queries.totals(store, day()).baseline_success_usd == 0


def test_retention_deletes_operations_keeps_totals_and_takes_no_older_ones_again(tmp_path: Path) -> None:
    clock = ManualClock(T0 + 5 * DAY_US)
    store = DuckDBStore(tmp_path / "t.duckdb", clock=clock, retention_days=3, minute_rollup_days=2)
    try:
        store.write(random_operations(1, 400, span_us=5 * DAY_US))
        store.refresh_rollups()
        before = queries.totals(store, day(days=5))
        deleted = store.apply_retention(clock.now_us())
        assert deleted > 0
        assert queries.totals(store, day(days=5)) == before
        late = store.write([make_operation("late", started_at=T0), make_operation("new", started_at=clock.now_us())])
        assert (late.inserted, late.expired, late.expired_ids) == (1, 1, frozenset({"late"}))
        store.refresh_rollups()
        assert queries.totals(store, day(days=5)) == before
    finally:
        store.close()


def test_pages_are_ordered_filtered_and_counted(open_store: Open) -> None:
    store = open_store()
    operations = random_operations(2, 300)
    store.write(operations)
    store.refresh_rollups()
    page = queries.operations_page(store, day(), sort="cost_usd", limit=10, offset=5)
    costs = sorted((op.cost_usd for op in operations if op.cost_usd is not None), reverse=True)
    assert [row.cost_usd for row in page.rows] == costs[5:15]
    assert (page.total, page.total_is_exact) == (300, True)
    failed = queries.operations_page(store, day(filters=Filters(project=("alpha",))), status="error", limit=500)
    expected = {op.operation_id for op in operations if op.project == "alpha" and op.status == "error"}
    assert {row.operation_id for row in failed.rows} == expected
    assert queries.operations_page(store, day(), search="ÇELIK").total == sum(
        op.user_id == "çelik" for op in operations
    )
    with pytest.raises(ValueError, match="cannot sort by 'attributes'"):
        queries.operations_page(store, day(), sort="attributes")


def test_an_empty_store_answers_every_question(open_store: Open) -> None:
    store = open_store()
    found = queries.totals(store, day())
    assert (found.operations, found.coverage_ratio, found.efficiency_ratio, found.p95_ms) == (0, None, None, None)
    assert queries.extent(store) is None
    assert queries.is_empty(store)
    assert queries.latency_over_time(store, day(), HOUR_US) == []
    assert queries.cost_over_time(store, day(), "tier", HOUR_US).series == {}
    assert queries.breakdown(store, day(), "model") == []
    assert queries.status_totals(store).total_usd == 0


def test_more_series_than_can_be_told_apart_are_added_up(open_store: Open) -> None:
    store = open_store()
    cost = Decimal("0.5")
    store.write([make_operation(str(n), model=f"model-{n}", cost_usd=cost * (n + 1)) for n in range(12)])
    store.refresh_rollups()
    series = queries.cost_over_time(store, day(), "model", HOUR_US).series
    assert len(series) == 8
    assert sum(sum(values) for values in series.values()) == cost * 78
    assert sum(series["other"]) == cost * 15


def test_a_bill_that_is_known_later_reaches_the_rollups(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a", revision=3), make_operation("b"), make_operation("c", started_at=T0 + DAY_US)])
    store.refresh_rollups()
    bill = Decimal("0.004")

    def billed(operation: Operation) -> Operation:
        return operation._replace(billed_usd=bill, cost_usd=bill, cost_basis="billed")

    found = store.revalue(["a", "nobody"], billed)
    assert [(one.before.cost_usd, one.after.cost_usd) for one in found] == [(Decimal("0.0035"), bill)]
    store.refresh_rollups()
    assert (queries.totals(store, day()).cost_usd, queries.totals(store, day()).billed_usd) == (Decimal("0.0075"), bill)
    assert queries.operation(store, "a") == billed(make_operation("a", revision=3))
    assert store.revalue(["a"], billed) == []  # it is so already
    assert store.write([make_operation("a", revision=3)]).duplicates == 1
    assert store.write([make_operation("a", revision=4)]).replaced == 1


def test_correcting_a_price_cannot_change_what_a_sender_said(open_store: Open) -> None:
    store = open_store()
    store.write([make_operation("a"), make_operation("b")])
    with pytest.raises(ValueError, match="more than usage, bill and price"):
        store.revalue(["a", "b"], lambda operation: operation._replace(name="another", cost_usd=Decimal(1)))
    assert queries.operation(store, "a") == make_operation("a")
